using System.Buffers;
using Sallyport.Heads.Connections;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Mqtt;

namespace Sallyport.Heads.Mqtt;

/// <content>
/// The one writer of the connection: a work item of the thread pool that takes what is owed (answers, PUBACKs whose messages are on
/// disk) and flushes it at once. It runs at most once at a time: idle, running, or running and asked again.
/// </content>
internal sealed partial class MqttConnection
{
    private const int Idle = 0;
    private const int Running = 1;
    private const int Again = 2;

    private readonly Lock _outgoingGate = new();
    private readonly OutputBuffer _outgoing = new(); // guarded by _outgoingGate
    private volatile TaskCompletionSource? _room;
    private volatile TaskCompletionSource? _drained;
    private int _sender;

    /// <summary>A commit holds something of ours. On the log's thread: only schedules.</summary>
    public void OnCommitted() => Schedule();

    void IThreadPoolWorkItem.Execute() => _ = SendAsync();

    private void Schedule()
    {
        if (Interlocked.Exchange(ref _sender, Again) == Idle)
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    // Hands the reader's answers to the sender.
    private void Post()
    {
        if (_replies.Length == 0)
            return;

        lock (_outgoingGate)
        {
            if (_outgoing.Length + _replies.Length > _head.Options.MaxUnreadBytes)
                throw new MqttProtocolException(HubErrors.Throttled, $"{_outgoing.Length} bytes of answers are unread");

            _outgoing.Write(_replies.Written);
        }

        _replies.Clear();
        Schedule();
    }

    private async Task SendAsync()
    {
        do
        {
            Volatile.Write(ref _sender, Running);
            try
            {
                if (!_peerGone && WriteOwed())
                {
                    var flush = await _output.FlushAsync().ConfigureAwait(false);
                    if (flush.IsCompleted)
                        LosePeer();
                }
            }
            catch (Exception)
            {
                LosePeer(); // Whatever the transport calls it, nobody reads any more.
            }

            WakeReader();
        }
        while (Interlocked.CompareExchange(ref _sender, Idle, Running) != Running);
    }

    // The reader ends the connection.
    private void LosePeer()
    {
        _peerGone = true;
        _abort();
    }

    private bool WriteOwed()
    {
        var bytes = 0;
        lock (_outgoingGate)
        {
            bytes = _outgoing.Length;
            if (bytes > 0)
            {
                _output.Write(_outgoing.Written);
                _outgoing.Clear();
            }
        }

        if (_device is { } device)
            bytes += _session.Acks.Take(_head.Log.CommittedPosition(device.Stamp.Partition), _output);
        return bytes > 0;
    }

    private void WakeReader()
    {
        if (_room is { } room && (_peerGone || _session.Acks.Count <= _head.Options.MaxUnacknowledged / 2))
            room.TrySetResult();
        if (_drained is { } drained && (_peerGone || OwesNothing()))
            drained.TrySetResult();
    }

    private bool OwesNothing()
    {
        lock (_outgoingGate)
            return _outgoing.Length == 0 && _session.Acks.Count == 0;
    }

    // Too much is unacknowledged: the disk is slow or the peer does not read. Reading goes on at half.
    private async ValueTask WaitForRoomAsync()
    {
        var room = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        Stall(HubErrors.Throttled);
        _room = room;
        Schedule();
        await room.Task.ConfigureAwait(false);
        _room = null;
        Resume();
    }

    private async ValueTask DrainAsync()
    {
        var drained = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _drained = drained;
        Schedule();
        await drained.Task.ConfigureAwait(false);
    }

    private async ValueTask CompleteOutputAsync()
    {
        try
        {
            await _output.CompleteAsync().ConfigureAwait(false);
        }
        catch (Exception) when (_peerGone)
        {
            _abort(); // Bytes that nobody takes any more could not be flushed.
        }
    }
}
