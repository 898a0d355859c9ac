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
    private int _publishedBytes; // of _outgoing, by TryPublish; guarded by _outgoingGate
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

    // On the read loop: sends at once, unless it is being sent already. A work item would wait behind those of all other connections, with its bytes in a rented array: a fleet that is
    // answered together outgrew the pool of arrays by it (6 KB allocated for each twin that was read, before).
    private void SendNow()
    {
        if (Interlocked.Exchange(ref _sender, Again) == Idle)
            _ = SendAsync();
    }

    // Hands the reader's answers to the sender.
    private void Post()
    {
        if (_replies.Length == 0)
            return;

        lock (_outgoingGate)
        {
            var unread = _outgoing.Length - _publishedBytes;
            if (unread + _replies.Length > _head.Options.MaxUnreadBytes)
                throw new MqttProtocolException(HubErrors.Throttled, $"{unread} bytes of answers are unread");

            _outgoing.Write(_replies.Written);
        }

        _replies.Clear();
        Schedule();
    }

    /// <summary>Publishes to the device, behind all answers so far. From any thread, once CONNACK is sent; returns at once.</summary>
    /// <param name="topic">At most 65,535 bytes.</param>
    /// <param name="packetId">Not 0 when <paramref name="qos"/> is 1; what comes back is <see cref="MqttServerStep.Acknowledged"/>.</param>
    /// <param name="dup">It may have been delivered before.</param>
    /// <param name="isCommand">Commands are offered again once the device has read what waits for it.</param>
    /// <returns>False, and nothing is sent, when the connection ends or <see cref="MqttOptions.MaxPublishedBytes"/> wait already to be read.</returns>
    internal bool TryPublish(ReadOnlySpan<byte> topic, ReadOnlySpan<byte> payload, byte qos, ushort packetId, bool dup = false, bool isCommand = false)
    {
        var isTaken = TryEnqueue(topic, payload, qos, packetId, dup, isCommand);
        if (isTaken)
            Schedule();
        return isTaken;
    }

    private bool TryEnqueue(ReadOnlySpan<byte> topic, ReadOnlySpan<byte> payload, byte qos, ushort packetId, bool dup = false, bool isCommand = false)
    {
        lock (_outgoingGate)
        {
            if (IsEnding || (_publishedBytes > 0 && _publishedBytes + topic.Length + payload.Length > _head.Options.MaxPublishedBytes))
            {
                _commandsWaitForReading |= isCommand;
                return false;
            }

            var before = _outgoing.Length;
            MqttWriter.Publish(_outgoing, dup, qos, retain: false, packetId, topic, payload);
            _publishedBytes += _outgoing.Length - before;
        }

        return true;
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
                _publishedBytes = 0;
                if (_commandsWaitForReading)
                {
                    _commandsWaitForReading = false;
                    OfferCommands();
                }
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
