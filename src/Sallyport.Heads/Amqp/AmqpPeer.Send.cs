using System.Runtime.CompilerServices;
using Sallyport.Heads.Amqp.Nodes;
using Sallyport.Heads.Connections;

namespace Sallyport.Heads.Amqp;

/// <content>
/// The one writer of the connection: a work item of the thread pool that settles what is on disk, lets readers send, and writes what has come
/// together in one go. It runs at most once at a time: idle, running, or running and asked again. While a write is under way, what comes
/// goes into a second buffer; readers get no room in it, so it is bounded by what answers need.
/// </content>
internal sealed partial class AmqpPeer
{
    private const int Idle = 0;
    private const int Running = 1;
    private const int Again = 2;

    // What a transfer frame takes at most besides its message, when the message fits one.
    private const int FrameBytes = 80;

    private readonly List<TelemetryNode> _owing = []; // under the gate
    private readonly List<ISource> _sources = []; // under the gate
    private readonly List<ReplyNode> _replies = []; // under the gate
    private OutputBuffer _filling = new(); // under the gate
    private OutputBuffer _writing = new(); // the sender's
    private volatile TaskCompletionSource? _drained;
    private bool _hasCredit; // under the gate
    private TaskCompletionSource? _unread; // under the gate
    private int _stores; // under the gate
    private int _turn; // the sender's
    private bool _isAnswering; // the sender's: what is written next is not filled up
    private int _sender;

    /// <summary>A commit holds something of ours. On the log's thread: only schedules.</summary>
    public void OnCommitted() => Schedule();

    void IThreadPoolWorkItem.Execute() => _ = SendAsync();

    /// <summary>There is something to send, settle or read.</summary>
    internal void Schedule()
    {
        if (Interlocked.Exchange(ref _sender, Again) == Idle)
            ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
    }

    /// <summary>Whether a reader may add a message to what is written next; under the gate. A large one needs half of the room only, else it would wait behind what settles telemetry for ever.</summary>
    internal bool HasRoomFor(int messageBytes) => Room >= Math.Min(messageBytes + FrameBytes, Head.Options.WriteBytes / 2);

    /// <summary>A reader has several: room for all that is written at once is taken in one go; under the gate.</summary>
    internal void Reserve()
    {
        if (Room > 0)
            _filling.GetSpan(Room);
    }

    private int Room => Head.Options.WriteBytes - _filling.Length;

    /// <summary>What waits for the credit of all twin links of the connection; under the gate.</summary>
    internal int WaitingTwinBytes { get; set; }

    /// <summary>Commands and feedback that were taken from their queues and wait to be sent, of all links of the connection; under the gate.</summary>
    internal int TakenBytes { get; set; }

    /// <summary>A batch is on its way to the log (+1), or was taken or rejected (-1); under the gate.</summary>
    internal void Storing(int change) => _stores += change;

    /// <summary>The node waits for the log; under the gate.</summary>
    internal void Owes(TelemetryNode node)
    {
        if (!_owing.Contains(node))
            _owing.Add(node);
    }

    private async Task SendAsync()
    {
        do
        {
            Volatile.Write(ref _sender, Running);
            try
            {
                while (!_peerGone && await CollectAsync().ConfigureAwait(false))
                    await WriteAsync().ConfigureAwait(false);
                CloseIfSettled();
                while (!_peerGone && await CollectAsync().ConfigureAwait(false))
                    await WriteAsync().ConfigureAwait(false);
            }
            catch (Exception e)
            {
                Fail(e);
            }

            WakeDrain();
        }
        while (Interlocked.CompareExchange(ref _sender, Idle, Running) != Running);
    }

    // Outside the gate: closing takes it by itself.
    private void CloseIfSettled(bool anyway = false)
    {
        Action close;
        lock (Gate)
        {
            if (_closeSettled is null || (!anyway && (_owing.Count > 0 || _stores > 0)))
                return;
            close = _closeSettled;
        }

        close();
    }

    // Settles, lets readers send until nothing more fits or there is no more, and takes what is to be written; false when there is nothing.
    private async ValueTask<bool> CollectAsync()
    {
        for (var isFirst = true; Pump(isFirst) && await FillAsync().ConfigureAwait(false); isFirst = false)
        {
        }

        return TakeFilled();
    }

    // True when readers may look for more: while there is room, and when answers do not wait. Those are written before the log is read, which may
    // take its time; but every other time only, so that a connection that is always answered something reads too.
    private bool Pump(bool isFirst)
    {
        lock (Gate)
        {
            Settle();
            _hasCredit = false;
            _isAnswering = isFirst && !_isAnswering && _filling.Length > 0;
            for (var i = 0; i < _sources.Count && Room > 0; i++)
                _sources[(_turn + i) % _sources.Count].Pump();
            _turn++;
            return Room > 0 && !_isAnswering && !_peerGone;
        }
    }

    private bool TakeFilled()
    {
        lock (Gate)
        {
            if (_filling.Length == 0)
                return false;

            (_filling, _writing) = (_writing, _filling);
            Endpoint.Output = _filling;
            _unread?.TrySetResult();
            _unread = null;
            return true;
        }
    }

    private void Settle()
    {
        for (var i = _owing.Count - 1; i >= 0; i--)
        {
            if (!_owing[i].Settle())
                _owing.RemoveAt(i);
        }
    }

    // Pooled: one for each write of some ninety events was 0.4 of the 8 bytes allocated per event.
    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask WriteAsync()
    {
        Volatile.Write(ref _writtenBy, In(Head.Options.StallTimeout));
        try
        {
            var write = await _output.WriteAsync(_writing.WrittenMemory, CancellationToken.None).ConfigureAwait(false);
            if (write.IsCompleted)
                LosePeer();
        }
        catch (Exception)
        {
            LosePeer(); // Whatever the transport calls it, nobody reads any more.
        }
        finally
        {
            Volatile.Write(ref _writtenBy, Never);
            Volatile.Write(ref _lastWrite, Head.Hub.Time.GetTimestamp());
            _writing.Clear();
        }
    }

    // Readers that have credit and nothing to send look for more; true when one of them found it.
    private async ValueTask<bool> FillAsync()
    {
        var found = false;
        for (var i = 0; ; i++)
        {
            ISource source;
            bool isGone;
            lock (Gate)
            {
                if (i >= _sources.Count)
                    return found;
                source = _sources[i];
                isGone = source.IsGone;
                if (isGone)
                    _sources.RemoveAt(i--);
            }

            if (isGone)
                source.Dispose(); // Here, because the sender is the one user of its cursor.
            else
                found |= await source.FillAsync().ConfigureAwait(false);
        }
    }

    // Who does not read what it is told is not heard either, so that its answers have a bound; the stall time-out ends it.
    private ValueTask UnreadTakenAsync()
    {
        lock (Gate)
        {
            if (_peerGone || _filling.Length <= Head.Options.MaxUnreadBytes)
                return default;

            _unread = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            return new ValueTask(_unread.Task);
        }
    }

    private void LosePeer()
    {
        _peerGone = true;
        _abort();
        lock (Gate)
            _unread?.TrySetResult();
        if (_drained is { } drained)
            drained.TrySetResult();
    }

    private void WakeDrain()
    {
        if (_drained is not { } drained)
            return;

        lock (Gate)
        {
            if (!_peerGone && _filling.Length > 0)
                return;
        }

        drained.TrySetResult();
    }

    private async ValueTask DrainAsync()
    {
        var drained = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _drained = drained;
        Schedule();
        await drained.Task.ConfigureAwait(false);
    }

    // The sender is the one user of their cursors: wait until it does not run any more.
    private async ValueTask EndSourcesAsync()
    {
        lock (Gate)
        {
            foreach (var source in _sources)
                source.OnGone();
        }

        var drained = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _drained = drained;
        Schedule();
        await drained.Task.ConfigureAwait(false);
        lock (Gate)
        {
            foreach (var source in _sources)
                source.Dispose();
            _sources.Clear();
            _filling.Clear();
        }
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
