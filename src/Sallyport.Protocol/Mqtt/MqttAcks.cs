using System.Buffers;

namespace Sallyport.Protocol.Mqtt;

/// <summary>
/// The PUBACKs that a connection owes, in the order of their PUBLISHes: a ring of packet ids, each with the log position that must be on
/// disk before it goes out. The reading side stages and releases, the sending side takes; thread-safe between the two.
/// </summary>
/// <remarks>The ring comes from the shared pool and goes back when nothing is owed: an idle connection holds none.</remarks>
public sealed class MqttAcks
{
    private const int SmallestRing = 32;
    private readonly Lock _gate = new();
    private Entry[] _ring = [];
    private int _first;
    private int _count;
    private int _staged;

    /// <summary>How many are owed.</summary>
    public int Count
    {
        get
        {
            lock (_gate)
                return _count;
        }
    }

    /// <summary>Whether something is staged. Only the reading side may ask.</summary>
    public bool HasStaged => _staged > 0;

    /// <summary>Owes an acknowledgement whose position is not known yet.</summary>
    public void Stage(ushort packetId)
    {
        lock (_gate)
        {
            if (_count == _ring.Length)
                Grow();
            _ring[(_first + _count) & (_ring.Length - 1)] = new Entry(long.MaxValue, packetId);
            _count++;
            _staged++;
        }
    }

    /// <summary>Gives everything staged its position.</summary>
    public void Release(long position)
    {
        lock (_gate)
        {
            for (; _staged > 0; _staged--)
            {
                ref var entry = ref _ring[(_first + _count - _staged) & (_ring.Length - 1)];
                entry = entry with { Position = position };
            }
        }
    }

    /// <summary>Forgets what is staged: it will never be acknowledged.</summary>
    public void Drop()
    {
        lock (_gate)
        {
            _count -= _staged;
            _staged = 0;
            GiveBackWhenEmpty();
        }
    }

    /// <summary>Writes the PUBACKs of everything at or below the watermark. [MQTT-4.6.0-2]</summary>
    /// <returns>Bytes written and advanced.</returns>
    public int Take(long committed, IBufferWriter<byte> output)
    {
        lock (_gate)
        {
            var ready = 0;
            while (ready < _count - _staged && _ring[(_first + ready) & (_ring.Length - 1)].Position <= committed)
                ready++;
            if (ready == 0)
                return 0;

            var packets = output.GetSpan(ready * MqttWriter.PubAckLength);
            for (var i = 0; i < ready; i++)
                MqttWriter.PubAck(packets[(i * MqttWriter.PubAckLength)..], _ring[(_first + i) & (_ring.Length - 1)].PacketId);

            output.Advance(ready * MqttWriter.PubAckLength);
            _first = (_first + ready) & (_ring.Length - 1);
            _count -= ready;
            GiveBackWhenEmpty();
            return ready * MqttWriter.PubAckLength;
        }
    }

    private void Grow()
    {
        // The pool's arrays have lengths of powers of two.
        var larger = ArrayPool<Entry>.Shared.Rent(Math.Max(SmallestRing, _ring.Length * 2));
        for (var i = 0; i < _count; i++)
            larger[i] = _ring[(_first + i) & (_ring.Length - 1)];
        if (_ring.Length > 0)
            ArrayPool<Entry>.Shared.Return(_ring);
        _ring = larger;
        _first = 0;
    }

    private void GiveBackWhenEmpty()
    {
        if (_count > 0 || _ring.Length == 0)
            return;

        ArrayPool<Entry>.Shared.Return(_ring);
        _ring = [];
        _first = 0;
    }

    private readonly record struct Entry(long Position, ushort PacketId);
}
