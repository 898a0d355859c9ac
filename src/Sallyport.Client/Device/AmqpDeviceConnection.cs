using System.Buffers.Binary;
using System.Threading.Channels;
using Sallyport.Client.Access;
using Sallyport.Client.Amqp;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Performatives;
using Sallyport.Protocol.Identities;

namespace Sallyport.Client.Device;

/// <summary>Who connects.</summary>
/// <param name="Audience">What the token is for: <c>host/devices/d1</c>.</param>
internal sealed record AmqpDeviceIntroduction(Identity Identity, string Audience, TokenSource Tokens, string ApiVersion, string? ModelId, int MaxInFlight);

/// <summary>
/// One AMQP connection of a device: its token, and the link that its telemetry goes out on. Used by the one loop of <see cref="DeviceClient"/>.
/// </summary>
internal sealed class AmqpDeviceConnection : IAsyncDisposable
{
    private readonly AmqpWire _wire;
    private readonly AmqpDeviceIntroduction _who;
    private readonly LinkedList<Outgoing> _unacknowledged;
    private readonly Queue<Outgoing> _again;
    private Claims? _claims;
    private AmqpSender? _telemetry;
    private Outgoing? _part;
    private int _inFlight;
    private ulong _tag;
    private bool _isBlocked;

    private AmqpDeviceConnection(AmqpWire wire, AmqpDeviceIntroduction who, LinkedList<Outgoing> unacknowledged)
    {
        _wire = wire;
        _who = who;
        _unacknowledged = unacknowledged;
        _again = new Queue<Outgoing>(unacknowledged);
    }

    /// <summary>Opens the connection, puts the token and attaches the link.</summary>
    /// <param name="unacknowledged">In the order of sending; those of an earlier connection are sent again first.</param>
    /// <exception cref="DeviceRefusedException">The hub said no.</exception>
    /// <exception cref="IOException">The hub was not reached, or did not answer in time.</exception>
    /// <exception cref="System.Security.Authentication.AuthenticationException">The hub did not prove who it is.</exception>
    public static async Task<AmqpDeviceConnection> OpenAsync(AmqpTarget target, AmqpDeviceIntroduction who, LinkedList<Outgoing> unacknowledged, CancellationToken stop)
    {
        AmqpDeviceConnection? connection = null;
        await AmqpWire.OpenAsync(target, who.MaxInFlight, (wire, cancel) =>
        {
            connection = new AmqpDeviceConnection(wire, who, unacknowledged);
            return connection.IntroduceAsync(target.Time, cancel);
        }, stop).ConfigureAwait(false);
        return connection!;
    }

    /// <summary>Sends and takes outcomes until nothing more is to be sent; says goodbye then.</summary>
    /// <exception cref="IOException">The connection, or the link, is gone.</exception>
    public async Task ServeAsync(ChannelReader<Outgoing> outgoing, CancellationToken stop)
    {
        using var ended = CancellationTokenSource.CreateLinkedTokenSource(stop);
        Task<bool>? more = null;
        try
        {
            while (true)
            {
                _claims!.RenewWhenDue();
                Send(outgoing);
                var isOver = more is { IsCompletedSuccessfully: true, Result: false };
                if (isOver && _unacknowledged.Count == 0)
                {
                    await _wire.CloseAsync(ended.Token).ConfigureAwait(false);
                    return;
                }

                if (!isOver && more is null or { IsCompleted: true })
                    more = outgoing.WaitToReadAsync(ended.Token).AsTask();
                await _wire.RoundAsync(OnStep, isOver || !HasRoom ? null : more, ended.Token).ConfigureAwait(false);
            }
        }
        finally
        {
            await ended.CancelAsync().ConfigureAwait(false);
        }
    }

    public ValueTask DisposeAsync() => _wire.DisposeAsync();

    private bool HasRoom => !_isBlocked && _inFlight < _who.MaxInFlight && _telemetry!.Credit > 0;

    private async Task IntroduceAsync(TimeProvider time, CancellationToken cancel)
    {
        var session = _wire.Endpoint.BeginSession();
        try
        {
            while (!session.IsOpen)
                await _wire.RoundAsync(OnStep, wake: null, cancel).ConfigureAwait(false);
            _claims = new Claims(session, _who.Tokens, _who.Audience, time);
            _claims.Put();
            while (!_claims.IsAccepted)
                await _wire.RoundAsync(OnStep, wake: null, cancel).ConfigureAwait(false);
            _telemetry = session.AttachSender(
                $"{_who.Identity}-telemetry-{Guid.NewGuid():N}", Address(), source: null, SenderSettleMode.Unsettled, LinkProperties());
            while (!IsAttached)
                await _wire.RoundAsync(OnStep, wake: null, cancel).ConfigureAwait(false);
        }
        catch (AmqpRefusedException refused)
        {
            throw new DeviceRefusedException($"the hub refused the device ({refused.Condition}): {refused.Message}");
        }
    }

    // A refusal is an attach without target, and a detach behind it [AMQP-2.6.3].
    private bool IsAttached => _telemetry is { IsAttached: true, Attach.Target: not null };

    private string Address()
    {
        var module = _who.Identity.ModuleId is null ? "" : $"/modules/{_who.Identity.ModuleId}";
        return $"/devices/{_who.Identity.DeviceId}{module}/messages/events";
    }

    private byte[] LinkProperties()
    {
        var target = new byte[256 + (3 * (_who.ModelId?.Length ?? 0))];
        var writer = new AmqpWriter(target);
        var map = writer.BeginMap();
        writer.Symbol("com.microsoft:client-version"u8);
        writer.String("Sallyport.Client/0.1"u8);
        writer.Symbol("com.microsoft:api-version"u8);
        writer.String(System.Text.Encoding.ASCII.GetBytes(_who.ApiVersion));
        if (_who.ModelId is { } model)
        {
            writer.Symbol("com.microsoft:model-id"u8);
            writer.String(System.Text.Encoding.UTF8.GetBytes(model));
        }

        writer.End(map, _who.ModelId is null ? 4 : 6);
        return target[..writer.Written];
    }

    private void OnStep(AmqpStep step, in AmqpDelivery delivery)
    {
        switch (step)
        {
            case AmqpStep.Credit:
                _isBlocked = false;
                _claims?.Pump();
                break;
            case AmqpStep.Outcomes:
                _isBlocked = false;
                TakeOutcomes();
                break;
            case AmqpStep.Detached or AmqpStep.Ended:
                throw Gone(_wire.Endpoint.PeerError);
            case AmqpStep.Attached or AmqpStep.Delivery when _claims is not null && _claims.Has(_wire.Endpoint.Link):
                _claims.On(step, delivery);
                break;
            default:
                break;
        }
    }

    // A refusal is the hub's answer. A device that was in, and is put out, connects again: what it gets then is the answer that counts.
    private Exception Gone(AmqpError? error)
    {
        if (error is null)
            return new IOException("the hub ended the link");

        var wasIn = _telemetry is { Attach.Target: not null };
        return wasIn || AmqpRefusedException.IsTransient(error.Condition) || error.Condition == AmqpConditions.LinkStolen
            ? new IOException($"the hub ended the link: {error.Description} ({error.Condition})")
            : AmqpRefusedException.Of(error);
    }

    private void Send(ChannelReader<Outgoing> outgoing)
    {
        while (Next(outgoing) is { } one)
        {
            if (!TrySend(one))
                return;
        }
    }

    // What is sent in part comes first, then what an earlier connection left, then what is new; null when nothing may be sent.
    private Outgoing? Next(ChannelReader<Outgoing> outgoing)
    {
        if (_part is not null)
            return _isBlocked ? null : _part;

        while (_again.TryPeek(out var one))
        {
            if (!one.IsGivenUp)
                return HasRoom ? _again.Dequeue() : null;
            _unacknowledged.Remove(_again.Dequeue());
        }

        while (HasRoom && outgoing.TryRead(out var one))
        {
            if (one.IsGivenUp)
                continue;
            _unacknowledged.AddLast(one);
            return one;
        }

        return null;
    }

    private bool TrySend(Outgoing one)
    {
        var most = _telemetry!.Attach.MaxMessageSize;
        if (most > 0 && (ulong)(one.Head.Length + one.Body.Length) > most)
        {
            _unacknowledged.Remove(one);
            one.Fail(new AmqpRefusedException(AmqpConditions.MessageSizeExceeded, $"the message is larger than the {most} bytes that the hub takes"));
            return true;
        }

        Span<byte> tag = stackalloc byte[sizeof(ulong)];
        BinaryPrimitives.WriteUInt64BigEndian(tag, _tag);
        _part = null;
        if (_telemetry.TrySend(one.Head, one.Body.Span, tag, format: 0, settled: false, one) == AmqpSendResult.Sent)
        {
            _tag++;
            _inFlight++;
            return true;
        }

        // Some of it may have gone; the rest goes first when the hub takes it.
        _part = one;
        _isBlocked = true;
        return false;
    }

    private void TakeOutcomes()
    {
        while (_wire.Endpoint.TryTakeOutcome(out var outcome))
        {
            if (outcome.Context is not Outgoing one || outcome.State is DeliveryState.Received)
                continue;
            if (!outcome.IsSettled)
                outcome.Link.Settle(outcome.Id, outcome.Id, outcome.State);

            // Told in the order of sending, nearly always: the first.
            _unacknowledged.Remove(one);
            _inFlight--;
            if (outcome.State is DeliveryState.Accepted or DeliveryState.None)
                one.Acknowledge();
            else
                one.Fail(outcome.Error is { } error
                    ? AmqpRefusedException.Of(error)
                    : new AmqpRefusedException(AmqpRefusedException.Released, $"the hub did not take the message ({outcome.State})"));
        }
    }
}
