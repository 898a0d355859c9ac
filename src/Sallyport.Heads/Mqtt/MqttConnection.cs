using System.IO.Pipelines;
using Sallyport.Heads.Connections;
using Sallyport.Hub.Access;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Diagnosis;
using Sallyport.Hub.Limits;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Mqtt;
using Sallyport.Storage.EventLog;

namespace Sallyport.Heads.Mqtt;

/// <summary>
/// One MQTT connection: a thin driver of <see cref="MqttServerSession"/>. Split by concern: this file reads and ends, the others
/// connect, publish and send.
/// </summary>
/// <remarks>
/// The read loop (<see cref="RunAsync"/>) owns everything but what is marked otherwise. Three others come in from outside:
/// the sender (a work item of the thread pool), the watch of <see cref="MqttHead"/>, and whoever calls <see cref="Close"/>.
/// </remarks>
internal sealed partial class MqttConnection : IDeviceLink, ICommitListener, IThreadPoolWorkItem
{
    private const long Never = long.MaxValue;

    private readonly MqttHead _head;
    private readonly PipeReader _input;
    private readonly PipeWriter _output;
    private readonly PresentedCertificate? _certificate;
    private readonly PreAuthenticationLease _lease;
    private readonly Action _abort;
    private readonly CancellationToken _closed;
    private readonly MqttServerSession _session = new();
    private readonly OutputBuffer _replies = new();

    // Set once, by whoever ends the connection first; read by all.
    private volatile Ending? _ending;

    // The transport failed or was cut: nothing can be read or written any more. Set by reader, sender and watch.
    private volatile bool _peerGone;

    private bool _saidGoodbye;

    // Deadlines in timestamps of the clock, written by the reader, read by the watch.
    private long _quietUntil;
    private long _stalledUntil = Never;
    private long _drainUntil = Never;
    private long _expiresUtcTicks = Never;
    private TimeSpan _longestSilence;
    private HubError _stallError = HubErrors.Throttled;

    public MqttConnection(MqttHead head, IDuplexPipe transport, Peer peer, PresentedCertificate? certificate, PreAuthenticationLease lease, Action abort, CancellationToken closed)
    {
        _head = head;
        _input = transport.Input;
        _output = transport.Output;
        Peer = peer;
        _certificate = certificate;
        _lease = lease;
        _abort = abort;
        _closed = closed;
        _longestSilence = head.Options.ConnectTimeout;
        _quietUntil = In(_longestSilence);
    }

    public Identity Identity { get; private set; }

    public Peer Peer { get; }

    /// <summary>Once it is attached.</summary>
    public Principal Principal => _device!.Principal;

    private bool IsEnding => _peerGone || _ending is not null;

    // Only a valid id is printed: what a stranger sends does not go into the log as it is.
    private string Name =>
        Identity.TryParse(_session.Connect?.ClientId, out var identity) ? identity.ToString() : "unknown";

    /// <summary>Ends the connection after its last acknowledgements. From any thread; returns at once; the first call decides.</summary>
    public void Close(HubError error, string reason)
    {
        if (!TryEnd(error, reason))
            return;

        _head.Logger.ConnectionClosed(Name, Peer.Address, error.Code, reason);
    }

    /// <summary>Serves the connection to its end.</summary>
    public async Task RunAsync()
    {
        try
        {
            await ReadAsync().ConfigureAwait(false);
        }
        catch (MqttProtocolException e)
        {
            Refuse(e);
        }
        catch (OperationCanceledException) when (_closed.IsCancellationRequested)
        {
            _peerGone = true;
        }
        catch (Exception e)
        {
            Fail(e);
        }

        await FinishAsync().ConfigureAwait(false);
    }

    /// <summary>Looks at the deadlines; called about once a second by the head's timer.</summary>
    public void Watch(long now, DateTimeOffset utcNow)
    {
        if (now >= Volatile.Read(ref _drainUntil))
        {
            Cut();
        }
        else if (now >= Volatile.Read(ref _stalledUntil))
        {
            Refuse(_stallError, $"held back for {_head.Options.StallTimeout.TotalSeconds:0} s");
            Cut();
        }
        else if (Volatile.Read(ref _stalledUntil) == Never && now >= Volatile.Read(ref _quietUntil))
        {
            if (_session.IsConnected)
                Close(HubErrors.DeviceConnectionClosedRemotely, "nothing arrived for one and a half times the keep-alive"); // [MQTT-3.1.2-24]
            else
                Refuse(HubErrors.DeviceConnectionClosedRemotely, $"no CONNECT within {_head.Options.ConnectTimeout.TotalSeconds:0} s");
        }
        else if (utcNow.Ticks >= Volatile.Read(ref _expiresUtcTicks))
        {
            Refuse(HubErrors.Unauthorized, _device?.Principal.Certificate is null ? "the token expired" : "the certificate it was let in by, or an issuer of it, expired");
        }
    }

    private async Task ReadAsync()
    {
        while (!IsEnding)
        {
            ReadResult read;
            try
            {
                read = await _input.ReadAsync().ConfigureAwait(false);
            }
            catch (NonBinaryMessageException e)
            {
                throw new MqttProtocolException(e.Message); // [MQTT-6.0.0-1]
            }
            catch (Exception)
            {
                _peerGone = true; // Whatever the transport calls it, the peer is gone.
                return;
            }

            var input = read.Buffer;
            var step = MqttServerStep.Handled;
            try
            {
                while (step is not (MqttServerStep.NeedMore or MqttServerStep.Disconnected) && !IsEnding)
                {
                    step = Take(ref input);
                    if (step == MqttServerStep.Connect)
                        await ConnectAsync().ConfigureAwait(false);
                    else if (step == MqttServerStep.SubscriptionsChanged)
                        await SaveSubscriptionsAsync().ConfigureAwait(false);
                    else if (step == MqttServerStep.Request)
                        await OnRequestAsync(_session.Request!).ConfigureAwait(false);
                    else if (step == MqttServerStep.Acknowledged)
                        await OnAcknowledgedAsync(_session.AcknowledgedId).ConfigureAwait(false);
                    else if (step == MqttServerStep.Telemetry)
                        await StoreAsync().ConfigureAwait(false);
                }

                await StoreAsync().ConfigureAwait(false);
                Post();
            }
            catch (MqttProtocolException) when (HoldsTelemetry)
            {
                await StoreAsync().ConfigureAwait(false); // What came before the mistake is good.
                throw;
            }
            finally
            {
                _input.AdvanceTo(input.Start, input.End);
                EndTurn();
            }

            _saidGoodbye = step == MqttServerStep.Disconnected;
            if (_saidGoodbye || read.IsCompleted)
                return;
        }
    }

    private async Task FinishAsync()
    {
        Interlocked.CompareExchange(ref _drainUntil, In(_head.Options.DrainTimeout), Never);
        Volatile.Write(ref _stalledUntil, Never);
        await _withdrawal.DisposeAsync().ConfigureAwait(false);
        if (_device is not null)
        {
            EndCommands();
            await StoreWillAsync().ConfigureAwait(false);
            _head.Devices.Detach(this);
            if (_ending is null)
                _head.Logger.WentAway(Name, Peer.Address);
            if (_isAdmitted)
                NoteEnd();
        }

        await DrainAsync().ConfigureAwait(false);
        await _input.CompleteAsync().ConfigureAwait(false);
        await CompleteOutputAsync().ConfigureAwait(false);
    }

    private void Refuse(MqttProtocolException refusal)
    {
        if (refusal.ConnectCode is not { } code || _session.IsConnected)
        {
            Refuse(refusal.Error, refusal.Message); // [MQTT-4.8.0-1] [MQTT-3.1.4-1]
            return;
        }

        if (!TryEnd(refusal.Error, refusal.Message))
            return;

        Answer(code);
        var isRepeated = _lease.Answered(Identity.TryParse(_session.Connect?.ClientId, out var named) ? named : null);
        if (!isRepeated && _head.RefusalLines.MayWrite())
            _head.Logger.ConnectRefused(Name, Peer.Address, refusal.Error.Code, refusal.Message);
        if (!_isAudited)
            Note(refusal.Error, refusal.Message);
    }

    private void Refuse(HubError error, string reason)
    {
        if (!TryEnd(error, reason))
            return;

        if (_head.RefusalLines.MayWrite())
            _head.Logger.ConnectionClosed(Name, Peer.Address, error.Code, reason);
        Note(error, reason);
    }

    // Our mistake: it costs this connection and no other.
    private void Fail(Exception exception)
    {
        var correlationId = Guid.NewGuid().ToString("N");
        _head.Logger.ConnectionFailed(exception, Name, Peer.Address, correlationId);
        if (TryEnd(HubErrors.ServerError, correlationId) && !_session.IsConnected && _session.Connect is not null)
            Answer(MqttConnectCode.ServerUnavailable);
    }

    private void Answer(MqttConnectCode code)
    {
        MqttMeter.Answered(code);
        MqttWriter.ConnAck(_replies, sessionPresent: false, code); // [MQTT-3.2.2-4] [MQTT-3.2.2-5]
        Post();
    }

    private bool TryEnd(HubError error, string reason)
    {
        if (Interlocked.CompareExchange(ref _ending, new Ending(error, reason), null) is not null)
            return false;

        MqttMeter.Closed(error.Code);
        Interlocked.CompareExchange(ref _drainUntil, In(_head.Options.DrainTimeout), Never);
        _input.CancelPendingRead();
        return true;
    }

    private void NoteEnd()
    {
        var (code, reason) = _ending is { } ending ? (ending.Error.Code, ending.Reason)
            : (0, _saidGoodbye ? "the device ended it (DISCONNECT)" : "the device or the network ended it without DISCONNECT");
        if (code != HubErrors.ConnectionForcefullyClosedOnNewConnection.Code) // Whoever decides take-over has noted it.
            _head.Attempts.Note(new Attempt(Identity.ToString(), Peer, AttemptOutcome.Closed, code, reason) { Fingerprint = _device!.Principal.CredentialFingerprint });
    }

    private void Note(HubError error, string reason)
    {
        if (!_isAdmitted)
        {
            var claimed = Identity.TryParse(_session.Connect?.ClientId, out var identity) ? identity.ToString() : "";
            _head.Attempts.Note(new Attempt(claimed, Peer, AttemptOutcome.Refused, error.Code, reason));
        }

        _head.Audit.Note(new AuditEntry(
            _device is null ? "anonymous" : $"device:{Identity}",
            _device?.Principal.CredentialFingerprint ?? "",
            "mqtt connection",
            Name,
            "refused",
            $"{error.Code} {reason}",
            "",
            $"{Peer.Protocol} {Peer.Address}"));
    }

    private void Cut()
    {
        LosePeer();
        Schedule();
    }

    private void StayQuietUntil() => Volatile.Write(ref _quietUntil, In(_longestSilence));

    private long In(TimeSpan span) => _head.Time.GetTimestamp() + (long)(span.TotalSeconds * _head.Time.TimestampFrequency);

    private sealed record Ending(HubError Error, string Reason);
}
