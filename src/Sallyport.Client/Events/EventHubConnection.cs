using Sallyport.Client.Access;
using Sallyport.Client.Amqp;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Messages;

namespace Sallyport.Client.Events;

/// <summary>
/// One AMQP connection to the Event Hubs-compatible endpoint: its token, a link for each reading, and the two of <c>$management</c> once something is
/// asked. Used by the one loop of <see cref="EventConsumer"/>.
/// </summary>
internal sealed class EventHubConnection : IAsyncDisposable
{
    private readonly AmqpWire _wire;
    private readonly string _eventHub;
    private readonly EventWork _work;
    private readonly HashSet<object> _asked = [];
    private AmqpSession? _session;
    private Claims? _claims;
    private RequestLinks? _management;

    private EventHubConnection(AmqpWire wire, string eventHub, EventWork work)
    {
        _wire = wire;
        _eventHub = eventHub;
        _work = work;
    }

    /// <summary>Opens the connection and puts the token.</summary>
    /// <exception cref="AmqpRefusedException">The hub refused the token.</exception>
    /// <exception cref="IOException">The hub was not reached, or did not answer in time.</exception>
    /// <exception cref="System.Security.Authentication.AuthenticationException">The hub did not prove who it is.</exception>
    public static async Task<EventHubConnection> OpenAsync(AmqpTarget target, string eventHub, TokenSource tokens, string audience, EventWork work, CancellationToken stop)
    {
        EventHubConnection? connection = null;
        await AmqpWire.OpenAsync(target, maxUnsettled: 16, (wire, cancel) =>
        {
            connection = new EventHubConnection(wire, eventHub, work);
            return connection.IntroduceAsync(tokens, audience, target.Time, cancel);
        }, stop).ConfigureAwait(false);
        return connection!;
    }

    /// <summary>Reads and asks until the consumer is disposed; says goodbye then.</summary>
    /// <exception cref="IOException">The connection is gone.</exception>
    /// <exception cref="AmqpRefusedException">The hub refused more than one reading.</exception>
    public async Task ServeAsync(CancellationToken stop)
    {
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(stop);
        Task? posted = null;
        try
        {
            while (true)
            {
                _work.Take();
                if (_work.IsOver)
                {
                    await _wire.CloseAsync(ended.Token).ConfigureAwait(false);
                    return;
                }

                _claims!.RenewWhenDue();
                Attend();
                if (posted is null or { IsCompleted: true })
                    posted = _work.PostedAsync(ended.Token);
                await _wire.RoundAsync(OnStep, posted, ended.Token).ConfigureAwait(false);
            }
        }
        finally
        {
            await ended.CancelAsync().ConfigureAwait(false);
        }
    }

    public ValueTask DisposeAsync()
    {
        foreach (var reading in _work.Readings)
            reading.Forget();
        return _wire.DisposeAsync();
    }

    private async Task IntroduceAsync(TokenSource tokens, string audience, TimeProvider time, CancellationToken cancel)
    {
        _session = _wire.Endpoint.BeginSession();
        while (!_session.IsOpen)
            await _wire.RoundAsync(OnStep, wake: null, cancel).ConfigureAwait(false);
        _claims = new Claims(_session, tokens, audience, time);
        _claims.Put();
        while (!_claims.IsAccepted)
            await _wire.RoundAsync(OnStep, wake: null, cancel).ConfigureAwait(false);
    }

    private void Attend()
    {
        for (var i = _work.Readings.Count - 1; i >= 0; i--)
        {
            var reading = _work.Readings[i];
            if (reading.IsAttached)
                reading.TopUp();
            else if (!reading.NeedsNewest)
                Attach(reading);
            else if (_asked.Add(reading))
                Ask(reading.PartitionId, (status, description, body) => BeginBehindNewest(reading, status, description, body));
        }

        foreach (var question in _work.Questions)
        {
            if (_asked.Add(question))
                Ask(question.Partition, (status, description, body) => Answer(question, status, description, body));
        }
    }

    private void Attach(PartitionReading reading)
    {
        try
        {
            reading.Attach(_session!, _eventHub);
        }
        catch (InvalidOperationException full)
        {
            _work.Fail(reading, new AmqpRefusedException(AmqpConditions.ResourceLimitExceeded, full.Message));
        }
    }

    private void Ask(string? partition, AmqpAnswerHandler answered)
    {
        _management ??= Management();
        _management.Ask(
            new RequestMessage
            {
                EncodedId = [], Operation = "READ", Type = partition is null ? "com.microsoft:eventhub" : "com.microsoft:partition", Name = _eventHub, Partition = partition,
            },
            answered);
    }

    private RequestLinks Management()
    {
        try
        {
            return new RequestLinks(_session!, "$management");
        }
        catch (InvalidOperationException full)
        {
            throw new AmqpRefusedException(AmqpConditions.ResourceLimitExceeded, full.Message);
        }
    }

    private void Answer(ManagementQuestion question, int status, string description, AmqpValue body)
    {
        question.Take(status, description, body);
        _work.Answered(question);
    }

    private void BeginBehindNewest(PartitionReading reading, int status, string description, AmqpValue body)
    {
        var question = new ManagementQuestion(reading.PartitionId);
        question.Take(status, description, body);
        if (question.Properties is { } partition)
            reading.BeginBehind(partition.LastEnqueuedSequenceNumber);
        else
            _work.Fail(reading, question.Answered.Exception!.InnerException!);
    }

    private void OnStep(AmqpStep step, in AmqpDelivery delivery)
    {
        var link = _wire.Endpoint.Link;
        switch (step)
        {
            case AmqpStep.Credit:
                _claims?.Pump();
                _management?.Pump();
                break;
            case AmqpStep.Attached when link!.Node is PartitionReading reading:
                if (reading.Has(link))
                    reading.TopUp();
                else
                    link.Detach(null); // It was left while the hub was asked.
                break;
            case AmqpStep.Delivery when link!.Node is PartitionReading reading:
                OnEvent(reading, delivery);
                break;
            case AmqpStep.Attached or AmqpStep.Delivery when _claims is not null && _claims.Has(link):
                _claims.On(step, delivery);
                break;
            case AmqpStep.Attached or AmqpStep.Delivery when _management is not null && _management.Has(link):
                _management.On(step, delivery);
                break;
            case AmqpStep.Detached when link!.Node is PartitionReading reading:
                OnDetached(reading, (AmqpReceiver)link, _wire.Endpoint.PeerError);
                break;
            case AmqpStep.Detached or AmqpStep.Ended:
                throw Gone(_wire.Endpoint.PeerError, wasRefused: step == AmqpStep.Detached && link is AmqpReceiver { Attach.Source: null } or AmqpSender { Attach.Target: null });
            default:
                break;
        }
    }

    private void OnEvent(PartitionReading reading, in AmqpDelivery delivery)
    {
        if (!reading.Has(delivery.Link))
            return;

        if (reading.TryTake(delivery))
        {
            reading.TopUp();
            return;
        }

        // Read again it would be the same.
        reading.Detach();
        _work.Fail(reading, new InvalidDataException($"an event of partition {reading.PartitionId} could not be read"));
    }

    private void OnDetached(PartitionReading reading, AmqpReceiver link, AmqpError? error)
    {
        if (Gone(error, wasRefused: link.Attach.Source is null) is AmqpRefusedException refused)
            _work.Fail(reading, refused);
        else
            throw Gone(error, wasRefused: false);
    }

    // Who was let in and loses its right connects again: what it gets then is the answer that counts.
    private static Exception Gone(AmqpError? error, bool wasRefused)
    {
        if (error is null)
            return new IOException("the hub ended a link");

        var isFinal = !AmqpRefusedException.IsTransient(error.Condition) && (wasRefused || error.Condition != AmqpConditions.UnauthorizedAccess);
        return isFinal ? AmqpRefusedException.Of(error) : new IOException($"the hub ended a link: {error.Description} ({error.Condition})");
    }
}
