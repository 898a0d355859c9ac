using System.Net.Security;
using System.Runtime.CompilerServices;
using System.Security.Authentication;
using System.Threading.Channels;
using Sallyport.Client.Access;
using Sallyport.Client.Amqp;
using Sallyport.Protocol.ConnectionStrings;

namespace Sallyport.Client.Events;

/// <summary>
/// Reads events over AMQP and TLS at the hub's Event Hubs-compatible endpoint, any number of partitions over one connection. It connects when something
/// is read or asked, makes and renews its tokens, and connects again by itself; a reading goes on behind the last event it had, so none is lost or
/// comes twice within it. Checkpoints are the caller's: keep <see cref="ReceivedEvent.SequenceNumber"/> and begin behind it. Thread-safe.
/// </summary>
public sealed class EventConsumer : IAsyncDisposable
{
    private const string DefaultEventHub = "events";
    private const int DefaultPort = 5671;

    // Bounds how long disposal takes.
    private static readonly TimeSpan LastWords = TimeSpan.FromSeconds(5);

    private readonly EventConsumerOptions _options;
    private readonly AmqpTarget _target;
    private readonly string _audience;
    private readonly TokenSource _tokens;
    private readonly EventWork _work = new();
    private readonly CancellationTokenSource _stop;
    private readonly Task _run;

    /// <param name="connectionString">
    /// Of a policy that may read telemetry: <c>HostName=…;SharedAccessKeyName=…;SharedAccessKey=…</c>, or as Event Hubs clients have it,
    /// <c>Endpoint=sb://…;SharedAccessKeyName=…;SharedAccessKey=…;EntityPath=…</c>.
    /// </param>
    /// <exception cref="FormatException">It is not a policy's connection string.</exception>
    /// <exception cref="ArgumentException">An option is outside its range.</exception>
    /// <exception cref="IOException">The CA file cannot be read.</exception>
    public EventConsumer(string connectionString, EventConsumerOptions? options = null)
    {
        _options = options ?? new EventConsumerOptions();
        if (_options.Prefetch is < 1 or > 10_000)
            throw new ArgumentException("the prefetch must be 1 to 10,000", nameof(options));

        var (hostName, port, policy, key, eventHub) = Read(connectionString);
        HostName = hostName;
        EventHubName = eventHub;
        SslClientAuthenticationOptions tls = ServerTrust.Options(hostName, _options.CaFile);
        _target = new AmqpTarget(_options.Address ?? hostName, _options.Port ?? port, hostName, tls, _options.IdleTimeOut, _options.Time);
        _audience = $"sb://{hostName}/{eventHub}";
        _tokens = new TokenSource(_audience, key, policy, _options.TokenLifetime, _options.Time, isForEventHubs: true);
        _stop = new CancellationTokenSource(Timeout.InfiniteTimeSpan, _options.Time);
        _run = Task.Run(() => RunAsync(_stop.Token));
    }

    /// <summary>The hub's, from the connection string.</summary>
    public string HostName { get; }

    /// <summary>From the connection string; <c>events</c> when it does not say.</summary>
    public string EventHubName { get; }

    /// <summary>Asks for the Event Hub's partitions. Waits while the hub is away.</summary>
    /// <exception cref="AmqpRefusedException">The hub refused: the policy is wrong or lacks the right, or there is no such Event Hub.</exception>
    /// <exception cref="AuthenticationException">The hub did not prove who it is.</exception>
    /// <exception cref="ObjectDisposedException">The consumer was disposed.</exception>
    public async Task<EventHubProperties> GetEventHubPropertiesAsync(CancellationToken cancel = default) =>
        (await AskAsync(new ManagementQuestion(partition: null), cancel).ConfigureAwait(false)).Hub!;

    /// <summary>Asks where a partition begins and ends now. Waits while the hub is away.</summary>
    /// <inheritdoc cref="GetEventHubPropertiesAsync" path="/exception"/>
    public async Task<PartitionProperties> GetPartitionPropertiesAsync(string partitionId, CancellationToken cancel = default) =>
        (await AskAsync(new ManagementQuestion(partitionId), cancel).ConfigureAwait(false)).Properties!;

    /// <summary>
    /// Reads a partition from a position on, without end: events in their order as they are stored. Waits while the hub is away, and goes on
    /// where it was. Whoever is slow to take them slows the hub down for this partition alone.
    /// </summary>
    /// <param name="cancel">Ends the reading with <see cref="OperationCanceledException"/>; leaving the enumeration ends it as well.</param>
    /// <exception cref="AmqpRefusedException">
    /// The hub refused, or ended the reading for good: no such consumer group or partition, a reader with a higher owner level
    /// (<c>amqp:link:stolen</c>), a position behind the newest event, the policy is wrong or lacks the right.
    /// </exception>
    /// <exception cref="InvalidDataException">An event could not be read; begin behind it.</exception>
    /// <exception cref="AuthenticationException">The hub did not prove who it is.</exception>
    /// <exception cref="ObjectDisposedException">The consumer was disposed.</exception>
    public async IAsyncEnumerable<ReceivedEvent> ReadEventsFromPartitionAsync(
        string partitionId, EventPosition startingPosition = default, [EnumeratorCancellation] CancellationToken cancel = default)
    {
        var reading = new PartitionReading(partitionId, startingPosition, _options, one => _work.Post(one));
        Post(reading);
        await foreach (var one in reading.AllAsync(cancel).ConfigureAwait(false))
            yield return one;
    }

    /// <summary>Reads all partitions at once; events of one are in their order, those of several in any.</summary>
    /// <inheritdoc cref="ReadEventsFromPartitionAsync" path="/param"/>
    /// <inheritdoc cref="ReadEventsFromPartitionAsync" path="/exception"/>
    public async IAsyncEnumerable<ReceivedEvent> ReadEventsAsync(EventPosition startingPosition = default, [EnumeratorCancellation] CancellationToken cancel = default)
    {
        var hub = await GetEventHubPropertiesAsync(cancel).ConfigureAwait(false);
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        var merged = Channel.CreateBounded<ReceivedEvent>(new BoundedChannelOptions(hub.PartitionIds.Count) { SingleReader = true });
        var partitions = hub.PartitionIds.Select(id => CopyAsync(id, startingPosition, merged.Writer, ended.Token)).ToList();
        try
        {
            await foreach (var one in merged.Reader.ReadAllAsync(cancel).ConfigureAwait(false))
                yield return one;
        }
        finally
        {
            await ended.CancelAsync().ConfigureAwait(false);
            await Task.WhenAll(partitions).ConfigureAwait(false);
        }
    }

    /// <summary>Says goodbye if the hub is there, and ends all readings with <see cref="ObjectDisposedException"/>.</summary>
    public async ValueTask DisposeAsync()
    {
        _work.Complete();
        _stop.CancelAfter(LastWords);
        await _run.ConfigureAwait(false);
        _stop.Dispose();
    }

    private static (string HostName, int Port, string Policy, string Key, string EventHub) Read(string connectionString)
    {
        if (EventHubsConnectionString.IsMeant(connectionString))
        {
            var events = EventHubsConnectionString.Parse(connectionString);
            return (events.HostName, events.Port ?? DefaultPort, events.SharedAccessKeyName, events.SharedAccessKey, events.EntityPath ?? DefaultEventHub);
        }

        var hub = ConnectionString.Parse(connectionString);
        return hub.SharedAccessKeyName is { } policy
            ? (hub.HostName, DefaultPort, policy, hub.SharedAccessKey!, DefaultEventHub)
            : throw new FormatException("the connection string is of a device; a policy's is needed, with SharedAccessKeyName");
    }

    // Ends when the reading does; the first one that fails ends the whole.
    private async Task CopyAsync(string partitionId, EventPosition from, ChannelWriter<ReceivedEvent> merged, CancellationToken cancel)
    {
        try
        {
            await foreach (var one in ReadEventsFromPartitionAsync(partitionId, from, cancel).ConfigureAwait(false))
                await merged.WriteAsync(one, cancel).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            merged.TryComplete(e);
        }
    }

    private async Task<ManagementQuestion> AskAsync(ManagementQuestion question, CancellationToken cancel)
    {
        Post(question);
        await question.Answered.WaitAsync(cancel).ConfigureAwait(false);
        return question;
    }

    private void Post(object questionOrReading) => ObjectDisposedException.ThrowIf(!_work.Post(questionOrReading), this);

    private async Task RunAsync(CancellationToken stop)
    {
        var backoff = new Backoff(_options.ReconnectMin, _options.ReconnectMax, _options.Time);
        try
        {
            while (await _work.AnyAsync(stop).ConfigureAwait(false))
            {
                await backoff.WaitAsync(stop).ConfigureAwait(false);
                try
                {
                    var connection = await EventHubConnection.OpenAsync(_target, EventHubName, _tokens, _audience, _work, stop).ConfigureAwait(false);
                    await using var _ = connection.ConfigureAwait(false);
                    backoff.Succeeded();
                    await connection.ServeAsync(stop).ConfigureAwait(false);
                }
                catch (Exception e) when (e is AmqpRefusedException or AuthenticationException)
                {
                    // Trying again would not help those who wait; whoever reads or asks next tries again.
                    _work.FailAll(e);
                    backoff.Failed();
                }
                catch (IOException)
                {
                    backoff.Failed();
                }
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // Disposed while the hub was away.
        }
        finally
        {
            _work.Complete();
            _work.FailAll(new ObjectDisposedException(nameof(EventConsumer)));
        }
    }
}
