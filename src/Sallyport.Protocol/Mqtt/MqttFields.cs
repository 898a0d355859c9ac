using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using System.Text.Unicode;

namespace Sallyport.Protocol.Mqtt;

/// <summary>Reads the fields of a packet's body one after the other, checking every bound.</summary>
internal ref struct MqttFields(ReadOnlySequence<byte> body)
{
    private SequenceReader<byte> _reader = new(body);

    public readonly bool IsAtEnd => _reader.End;

    public readonly ReadOnlySequence<byte> Rest => _reader.UnreadSequence;

    public byte Byte(string field) =>
        _reader.TryRead(out var value) ? value : throw CutOff(field);

    public ushort UInt16(string field)
    {
        Span<byte> copy = stackalloc byte[2];
        if (!_reader.TryCopyTo(copy))
            throw CutOff(field);

        _reader.Advance(2);
        return BinaryPrimitives.ReadUInt16BigEndian(copy);
    }

    /// <summary>Bytes behind a length of two bytes.</summary>
    public ReadOnlySequence<byte> Bytes(string field)
    {
        var length = UInt16(field);
        return _reader.TryReadExact(length, out var bytes) ? bytes : throw CutOff(field);
    }

    /// <summary>A UTF-8 string, checked: well formed and without U+0000.</summary>
    public string Text(string field)
    {
        var bytes = Bytes(field);
        var text = bytes.IsSingleSegment ? bytes.FirstSpan : bytes.ToArray();
        CheckText(text, field);
        return Encoding.UTF8.GetString(text); // [MQTT-1.5.3-3]
    }

    public static void CheckText(ReadOnlySpan<byte> utf8, string field)
    {
        if (!Utf8.IsValid(utf8)) // [MQTT-1.5.3-1]
            throw new MqttProtocolException($"{field} is not UTF-8");
        if (utf8.Contains((byte)0)) // [MQTT-1.5.3-2]
            throw new MqttProtocolException($"{field} holds U+0000");
    }

    private static MqttProtocolException CutOff(string field) => new($"the packet ends in its {field}");
}
