using System.Buffers;
using System.Buffers.Binary;

namespace Sallyport.Storage.EventLog;

/// <summary>
/// Records being encoded for one partition: each is <see cref="RecordHeader"/> and message, laid out exactly as on disk,
/// so that an append is one copy. A connection owns one and reuses it. Not thread-safe.
/// </summary>
public sealed class RecordBatch : IBufferWriter<byte>
{
    private byte[] _buffer = new byte[4096];
    private int _recordAt = -1;

    /// <summary>How many ended records it holds.</summary>
    public int Count { get; private set; }

    /// <summary>Bytes of the ended records and of the one being written.</summary>
    public int Bytes { get; private set; }

    /// <summary>The partition all its records are for; set by the first <see cref="Begin"/>.</summary>
    public int Partition { get; private set; }

    /// <summary>The ended records, one after the other.</summary>
    public Span<byte> Written => _buffer.AsSpan(0, _recordAt < 0 ? Bytes : _recordAt);

    /// <summary>Bytes written of the message that is being written.</summary>
    public int MessageBytes => Bytes - _recordAt - RecordHeader.Length;

    /// <summary>The message that is being written, to fill in sizes.</summary>
    public Span<byte> Message => _buffer.AsSpan(_recordAt + RecordHeader.Length, MessageBytes);

    public void Clear()
    {
        Count = 0;
        Bytes = 0;
        _recordAt = -1;
    }

    /// <summary>Starts a record; its message is then written through <see cref="IBufferWriter{T}"/>.</summary>
    /// <exception cref="InvalidOperationException">A record is open, or belongs to another partition.</exception>
    public void Begin(StreamId stream, int partition, SourceKind source, ulong endpoints, Guid idempotencyId = default)
    {
        if (_recordAt >= 0 || (Count > 0 && partition != Partition))
            throw new InvalidOperationException("end the open record first, and keep a batch to one partition");

        Partition = partition;
        _recordAt = Bytes;
        var header = GetSpan(RecordHeader.Length)[..RecordHeader.Length];
        header.Clear();
        RecordHeader.Write(header, stream, partition, source, endpoints, idempotencyId);
        Bytes += RecordHeader.Length;
    }

    public void End()
    {
        BinaryPrimitives.WriteInt32LittleEndian(_buffer.AsSpan(_recordAt), Bytes - _recordAt);
        _recordAt = -1;
        Count++;
    }

    /// <summary>Sends every ended record to another stream, and to no endpoint. No record is open.</summary>
    public void Redirect(StreamId stream)
    {
        for (var at = 0; at < Bytes; at += RecordHeader.TotalLength(_buffer.AsSpan(at)))
            RecordHeader.Redirect(_buffer.AsSpan(at), stream);
    }

    /// <summary>Forgets the ended records behind a point; no record is open.</summary>
    /// <param name="count"><see cref="Count"/> at that point.</param>
    /// <param name="bytes"><see cref="Bytes"/> at that point.</param>
    public void CutTo(int count, int bytes)
    {
        Count = count;
        Bytes = bytes;
    }

    /// <summary>Forgets the record that is being written.</summary>
    public void Abandon()
    {
        Bytes = _recordAt;
        _recordAt = -1;
    }

    public void Advance(int count) => Bytes += count;

    public Memory<byte> GetMemory(int sizeHint = 0)
    {
        Grow(sizeHint);
        return _buffer.AsMemory(Bytes);
    }

    public Span<byte> GetSpan(int sizeHint = 0)
    {
        Grow(sizeHint);
        return _buffer.AsSpan(Bytes);
    }

    private void Grow(int sizeHint)
    {
        var needed = Bytes + Math.Max(sizeHint, 1);
        if (needed > _buffer.Length)
            Array.Resize(ref _buffer, Math.Max(_buffer.Length * 2, needed));
    }
}
