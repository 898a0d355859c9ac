using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Sallyport.Client.Amqp;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Performatives;

namespace Sallyport.Client.Events;

/// <summary>
/// One reading of one partition, over all its connections. The loop of <see cref="EventConsumer"/> attaches it and brings its events; somebody else takes
/// them. Between the two lie at most <see cref="EventConsumerOptions.Prefetch"/> events: credit is given for what was taken.
/// </summary>
internal sealed class PartitionReading(string partitionId, EventPosition from, EventConsumerOptions options, Action<PartitionReading> lookAtMe)
{
    /// <summary>Event Hubs' bound on an event.</summary>
    private const int MaxMessageBytes = 1024 * 1024;

    private readonly Channel<ReceivedEvent> _events = Channel.CreateUnbounded<ReceivedEvent>(new UnboundedChannelOptions { SingleReader = true, SingleWriter = true });
    private int _waiting;
    private volatile bool _isLeft;

    // The loop's.
    private EventPosition _next = from;
    private AmqpReceiver? _link;
    private int _credit;

    public string PartitionId => partitionId;

    /// <summary>Nobody takes its events any more. Any thread.</summary>
    public bool IsLeft => _isLeft;

    /// <summary>It waits for a number of the partition's newest event before it can be attached: what "latest" means must outlive a lost connection.</summary>
    public bool NeedsNewest => _next.Filter is { IsLatest: true };

    /// <summary>The loop: it has a link in this connection, or has asked for one.</summary>
    public bool IsAttached => _link is not null;

    /// <summary>The loop: this is its link.</summary>
    public bool Has(AmqpLink link) => _link == link;

    /// <summary>The events in their order; ends with the exception that <see cref="Fail"/> is given. Whoever leaves the enumeration ends the reading.</summary>
    public async IAsyncEnumerable<ReceivedEvent> AllAsync([EnumeratorCancellation] CancellationToken cancel)
    {
        try
        {
            while (await _events.Reader.WaitToReadAsync(cancel).ConfigureAwait(false))
            {
                while (_events.Reader.TryRead(out var one))
                {
                    if (Interlocked.Decrement(ref _waiting) == options.Prefetch / 2)
                        lookAtMe(this);
                    yield return one;
                }
            }
        }
        finally
        {
            _isLeft = true;
            lookAtMe(this);
        }
    }

    /// <summary>The loop: it was failed, and is not attached again.</summary>
    public bool IsOver { get; private set; }

    /// <summary>The loop: ends it, behind the events that came.</summary>
    public void Fail(Exception reason)
    {
        IsOver = true;
        Forget();
        _events.Writer.TryComplete(reason);
    }

    /// <summary>The loop: "latest" is behind this event.</summary>
    public void BeginBehind(long sequenceNumber) => _next = EventPosition.FromSequenceNumber(sequenceNumber, isInclusive: false);

    /// <summary>The loop: attaches it in a new connection, where it was.</summary>
    public void Attach(AmqpSession session, string eventHub)
    {
        var address = $"{eventHub}/ConsumerGroups/{options.ConsumerGroup}/Partitions/{partitionId}";
        _credit = 0;
        _link = session.AttachReceiver(
            $"{partitionId}-{Guid.NewGuid():N}", address, target: partitionId, SenderSettleMode.Settled, _next.Filter is { } filter ? filter.Encode() : default, LinkProperties());
        _link.MaxMessageSize = MaxMessageBytes;
        _link.Node = this;
    }

    /// <summary>The loop: the connection is gone.</summary>
    public void Forget() => _link = null;

    /// <summary>The loop: ends the link.</summary>
    public void Detach()
    {
        _link?.Detach(null);
        _link = null;
    }

    /// <summary>The loop: gives credit for what was taken, once it is half of what may be ahead.</summary>
    public void TopUp()
    {
        // A refusal is an attach without source, and a detach behind it [AMQP-2.6.3].
        if (_link is not { IsAttached: true, Attach.Source: not null } || _credit > options.Prefetch / 2)
            return;

        var wanted = options.Prefetch - Volatile.Read(ref _waiting);
        if (wanted <= _credit || wanted < (options.Prefetch + 1) / 2)
            return;

        _credit = wanted;
        _link.Grant((uint)wanted);
    }

    /// <summary>The loop: takes an event; false when it is none.</summary>
    public bool TryTake(in AmqpDelivery delivery)
    {
        if (!delivery.Settled)
            delivery.Link.Settle(delivery.Id, delivery.Id, 1, DeliveryState.Accepted);
        if (EventDecoder.TryRead(partitionId, delivery.Message) is not { } one)
            return false;

        _credit--;
        _next = EventPosition.FromSequenceNumber(one.SequenceNumber, isInclusive: false);
        Interlocked.Increment(ref _waiting);
        _events.Writer.TryWrite(one);
        return true;
    }

    private byte[]? LinkProperties()
    {
        if (options.OwnerLevel is not { } level)
            return null;

        var target = new byte[64];
        var writer = new AmqpWriter(target);
        var map = writer.BeginMap();
        writer.Symbol("com.microsoft:epoch"u8);
        writer.Long(level);
        writer.End(map, 2);
        return target[..writer.Written];
    }
}

/// <summary>A question to <c>$management</c>, asked by somebody and answered by the loop of <see cref="EventConsumer"/>.</summary>
/// <param name="partition">Null asks about the Event Hub.</param>
internal sealed class ManagementQuestion(string? partition)
{
    private readonly TaskCompletionSource _answered = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public string? Partition => partition;

    public EventHubProperties? Hub { get; private set; }

    public PartitionProperties? Properties { get; private set; }

    /// <summary>Completes with the answer, or fails with why there is none.</summary>
    public Task Answered => _answered.Task;

    /// <summary>The loop: takes the answer.</summary>
    public void Take(int status, string description, AmqpValue body)
    {
        if (status is < 200 or >= 300)
        {
            Fail(new AmqpRefusedException(
                status switch { 404 => AmqpConditions.NotFound, 401 or 403 => AmqpConditions.UnauthorizedAccess, >= 500 or 429 => "com.microsoft:server-busy", _ => "com.microsoft:argument-error" },
                $"{description} ({status})"));
            return;
        }

        Hub = partition is null ? EventDecoder.TryReadHub(body) : null;
        Properties = partition is null ? null : EventDecoder.TryReadPartition(body);
        if (Hub is null && Properties is null)
            Fail(new InvalidDataException("the hub's description could not be read"));
        else
            _answered.TrySetResult();
    }

    public void Fail(Exception reason) => _answered.TrySetException(reason);
}
