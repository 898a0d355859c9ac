using System.Buffers.Binary;
using System.Text;

namespace Sallyport.Storage.Metadata;

/// <summary>Events of the outbox in a row of it (<c>docs/formats/metadata.md</c>). Pure.</summary>
internal static class OutboxBatch
{
    /// <summary>A row has no more, so that who takes the oldest need not take megabytes.</summary>
    public const int MaxEvents = 256;

    /// <summary>Of messages, and one message.</summary>
    public const int MaxBytes = 256 * 1024;

    private const byte Format = 1;
    private const int IdBytes = 16;
    private const int FixedBytes = IdBytes + sizeof(ushort) + sizeof(byte) + sizeof(byte) + sizeof(uint);

    public static int LengthOf(ReadOnlySpan<OutboxRecord> records)
    {
        var length = 1;
        foreach (var record in records)
            length += FixedBytes + Encoding.UTF8.GetByteCount(record.DeviceId) + record.Message.Length;
        return length;
    }

    /// <param name="batch">At least <see cref="LengthOf"/>.</param>
    public static void Encode(ReadOnlySpan<OutboxRecord> records, Span<byte> batch)
    {
        batch[0] = Format;
        var target = batch[1..];
        foreach (var record in records)
        {
            record.Id.TryWriteBytes(target);
            BinaryPrimitives.WriteUInt16BigEndian(target[IdBytes..], record.Stream);
            target[IdBytes + 2] = record.Source;
            var device = Encoding.UTF8.GetBytes(record.DeviceId, target[(IdBytes + 4)..]);
            target[IdBytes + 3] = checked((byte)device);
            BinaryPrimitives.WriteInt32BigEndian(target[(IdBytes + 4 + device)..], record.Message.Length);
            record.Message.CopyTo(target[(FixedBytes + device)..]);
            target = target[(FixedBytes + device + record.Message.Length)..];
        }
    }

    /// <exception cref="FormatException">It is not what <see cref="Encode"/> made.</exception>
    public static void Read(ReadOnlySpan<byte> batch, List<OutboxRecord> records)
    {
        if (batch is not [Format, .. var rest])
            throw new FormatException("events in the outbox are of an unknown format");

        while (!rest.IsEmpty)
        {
            var device = rest.Length >= FixedBytes ? rest[IdBytes + 3] : 0;
            if (rest.Length < FixedBytes + device)
                throw Cut();

            var message = BinaryPrimitives.ReadInt32BigEndian(rest[(IdBytes + 4 + device)..]);
            if (message < 0 || rest.Length - FixedBytes - device < message)
                throw Cut();

            records.Add(new OutboxRecord(
                new Guid(rest[..IdBytes]), Encoding.UTF8.GetString(rest.Slice(IdBytes + 4, device)), BinaryPrimitives.ReadUInt16BigEndian(rest[IdBytes..]), rest[IdBytes + 2],
                rest.Slice(FixedBytes + device, message).ToArray()));
            rest = rest[(FixedBytes + device + message)..];
        }
    }

    private static FormatException Cut() => new("events in the outbox are cut off");
}
