using System.Buffers;
using System.IO.Pipelines;
using Sallyport.Heads.Amqp.Nodes;
using Sallyport.Heads.Connections;
using Sallyport.Hub.Access;
using Sallyport.Hub.Limits;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.EventLog;

namespace Sallyport.Heads.Amqp;

/// <summary>
/// One AMQP connection: a thin driver of <see cref="AmqpConnection"/>. Split by concern: this file reads; the others let in, attach links, hold
/// devices, send and end.
/// </summary>
/// <remarks>
/// <see cref="Gate"/> guards the endpoint with its sessions and links, the nodes behind them, and the output. The read loop
/// (<see cref="RunAsync"/>) and the sender take it for what they do without waiting; the watch and whoever closes a device or a reader take
/// it shortly. Nothing of the hub that may call another connection is called under it.
/// </remarks>
internal sealed partial class AmqpPeer : ICommitListener, IThreadPoolWorkItem, IDisposable
{
    private readonly PipeReader _input;
    private readonly PipeWriter _output;
    private readonly PreAuthenticationLease _lease;
    private readonly Action _abort;
    private readonly CancellationToken _closed;
    private readonly ConnectionTokens _tokens;
    private readonly List<TelemetryNode> _touched = []; // The read loop's.

    // The transport failed or was cut: nothing can be read or written any more.
    private volatile bool _peerGone;

    public AmqpPeer(AmqpHead head, IDuplexPipe transport, Peer peer, Surroundings surroundings, PreAuthenticationLease lease, Action abort, CancellationToken closed)
    {
        Head = head;
        Peer = peer;
        _input = transport.Input;
        _output = transport.Output;
        _surroundings = surroundings;
        _lease = lease;
        _abort = abort;
        _closed = closed;
        _tokens = new ConnectionTokens(head.Hub.Devices, head.Hub.Services, head.Hub.PlainKeys, head.Hub.Names, head.Hub.Audit, head.Hub.Attempts, head.Hub.Time);
        _tokens.Renewed += replaced => _replacedFingerprint = replaced;
        Endpoint = new AmqpConnection(new AmqpOptions { ContainerId = ContainerId }, isServer: true, _filling)
        {
            Mechanisms = MechanismsOf(surroundings),
            MaxSessions = head.Options.UnauthenticatedSessions,
            MaxLinks = head.Options.UnauthenticatedLinks,
        };
        _admittedBy = In(head.Options.ConnectTimeout);
        _heardUntil = In(Endpoint.Options.IdleTimeOut * 2);
    }

    public AmqpHead Head { get; }

    public Peer Peer { get; }

    public Lock Gate { get; } = new();

    /// <summary>Under the gate.</summary>
    public AmqpConnection Endpoint { get; }

    /// <summary>The certificates that the peer showed, as diagnosis writes them; empty when none.</summary>
    public string PresentedCertificates => _surroundings.Certificate?.Describe() ?? "";

    /// <summary>Cancelled when the connection is gone.</summary>
    public CancellationToken Closed => _closed;

    // One id for the process: what a client sees of us says nothing else.
    private static string ContainerId { get; } = Guid.NewGuid().ToString("N");

    /// <summary>Serves the connection to its end.</summary>
    public async Task RunAsync()
    {
        try
        {
            await ReadAsync().ConfigureAwait(false);
        }
        catch (AmqpProtocolException e)
        {
            Refuse(e.Error, HubErrors.FormatError, e.Message);
        }
        catch (OperationCanceledException) when (_closed.IsCancellationRequested)
        {
            _peerGone = true;
        }
        catch (Exception e)
        {
            Fail(e);
        }

        try
        {
            await FinishAsync().ConfigureAwait(false);
        }
        catch (Exception e)
        {
            Fail(e);
        }
    }

    /// <summary>Takes a node's batch at the end of the read that filled it.</summary>
    internal void Touched(TelemetryNode node) => _touched.Add(node);

    private async Task ReadAsync()
    {
        while (!_peerGone && !Endpoint.IsOver)
        {
            ReadResult read;
            try
            {
                read = await _input.ReadAsync().ConfigureAwait(false);
            }
            catch (NonBinaryMessageException e)
            {
                throw new AmqpProtocolException(AmqpConditions.FramingError, e.Message);
            }
            catch (Exception)
            {
                _peerGone = true; // Whatever the transport calls it, the peer is gone.
                return;
            }

            Volatile.Write(ref _heardUntil, In(Endpoint.Options.IdleTimeOut * 2));
            var input = read.Buffer;
            var step = AmqpStep.Handled;
            try
            {
                while (step is not (AmqpStep.NeedMore or AmqpStep.Closed) && !_peerGone)
                {
                    step = Take(ref input);
                    await HandleAsync(step).ConfigureAwait(false);
                }

                await StoreTouchedAsync().ConfigureAwait(false);
            }
            catch (AmqpProtocolException)
            {
                await StoreTouchedAsync().ConfigureAwait(false); // What came before the mistake is good.
                throw;
            }
            finally
            {
                _input.AdvanceTo(input.Start, input.End);
                if (EndTurn())
                    Schedule();
            }

            if (_hasChangedDevices)
                TellChangedDevices();

            if (step == AmqpStep.Closed || read.IsCompleted)
                return;

            await UnreadTakenAsync().ConfigureAwait(false);
        }
    }

    // Whether the sender has something to do.
    private bool EndTurn()
    {
        lock (Gate)
        {
            Endpoint.ReleaseBuffers();
            return _filling.Length > 0 || _hasCredit;
        }
    }

    // Takes frames until one needs more than can be done without waiting.
    private AmqpStep Take(ref ReadOnlySequence<byte> input)
    {
        lock (Gate)
        {
            while (true)
            {
                var step = Endpoint.Next(ref input, out var delivery);
                switch (step)
                {
                    case AmqpStep.Handled or AmqpStep.Begun:
                        break;
                    case AmqpStep.Delivery when _closeSettled is not null || (delivery.Link.Node is IReceivingNode node && node.Take(delivery)):
                        break;
                    case AmqpStep.Credit:
                        _hasCredit = true;
                        if (Endpoint.Link?.Node is IDeviceNode { Device: var device })
                            _hasChangedDevices |= _changedDevices.Add(device);
                        break;
                    case AmqpStep.Outcomes:
                        TakeOutcomes();
                        break;
                    case AmqpStep.Detached:
                        OnGone([Endpoint.Link!]);
                        break;
                    case AmqpStep.Ended:
                        OnGone(Endpoint.Session!.Links);
                        break;
                    default:
                        return step;
                }

                if (_hasGoneDevices)
                    return AmqpStep.Handled;
            }
        }
    }

    private ValueTask HandleAsync(AmqpStep step)
    {
        if (_hasGoneDevices)
            LeaveGoneDevices();

        return step switch
        {
            AmqpStep.SaslInit => OnSaslAsync(),
            AmqpStep.Opened => OnOpened(),
            AmqpStep.Attaching => AttachAsync(Endpoint.Link!),
            AmqpStep.Delivery when Endpoint.Link!.Node is IReceivingNode node => node.CompleteAsync(),
            _ => ValueTask.CompletedTask,
        };
    }

    private async ValueTask StoreTouchedAsync()
    {
        foreach (var node in _touched)
            await node.StoreAsync().ConfigureAwait(false);
        _touched.Clear();
    }

    // Outcomes of what we sent. Where nobody waits for them, who settles second is told that we know.
    private void TakeOutcomes()
    {
        while (Endpoint.TryTakeOutcome(out var outcome))
        {
            if (outcome.Link.Node is IOutcomeNode node)
                node.OnOutcome(outcome);
            else if (!outcome.IsSettled)
                outcome.Link.Settle(outcome.Id, outcome.Id, outcome.State);
        }
    }

    private async Task FinishAsync()
    {
        Interlocked.CompareExchange(ref _closeBy, In(Head.Options.CloseTimeout), Never);
        await DropUntilClosedAsync().ConfigureAwait(false);
        LeaveAll();
        await DrainAsync().ConfigureAwait(false);
        await EndSourcesAsync().ConfigureAwait(false);
        await _input.CompleteAsync().ConfigureAwait(false);
        await CompleteOutputAsync().ConfigureAwait(false);
    }

    // We closed: what the peer still sends is dropped until its own close, the end of its bytes, or the deadline [AMQP-2.4.6].
    private async ValueTask DropUntilClosedAsync()
    {
        bool isAwaited;
        lock (Gate)
            isAwaited = Endpoint.IsClosing && !Endpoint.IsOver;

        while (isAwaited && !_peerGone)
        {
            ReadResult read;
            try
            {
                read = await _input.ReadAsync(_closed).ConfigureAwait(false);
            }
            catch (Exception)
            {
                _peerGone = true;
                return;
            }

            var input = read.Buffer;
            try
            {
                lock (Gate)
                {
                    AmqpStep step;
                    do
                        step = Endpoint.Next(ref input, out _);
                    while (step is not (AmqpStep.NeedMore or AmqpStep.Closed));
                    isAwaited = step != AmqpStep.Closed;
                    Endpoint.ReleaseBuffers();
                }
            }
            catch (AmqpProtocolException)
            {
                isAwaited = false;
            }
            finally
            {
                _input.AdvanceTo(input.Start, input.End);
            }

            if (read.IsCompleted)
                return;
        }
    }

    public void Dispose() => _tokens.Dispose();
}
