using System.Buffers.Binary;

namespace Sallyport.Protocol.Amqp;

/// <summary>
/// Reads AMQP 1.0 values one after the other from untrusted bytes: never beyond them, in time linear in their number, without
/// allocating and without recursion. A compound value is one step; its elements are read on demand.
/// </summary>
/// <remarks>A mutable ref struct: keep it in a local and pass it by reference.</remarks>
public ref struct AmqpReader
{
    /// <summary>How many descriptors may follow each other before a value; none is known that needs more than one.</summary>
    public const int MaxDescriptors = 8;

    /// <summary>How many elements an array of a type without content (null, true, the zero of uint …) may claim: such elements take no bytes.</summary>
    public const int MaxEmptyElements = 1024;

    private readonly ReadOnlySpan<byte> _bytes;
    private readonly byte _elementCode;
    private readonly int _elementCount;
    private int _elementsRead;

    public AmqpReader(ReadOnlySpan<byte> bytes) => _bytes = bytes;

    private AmqpReader(ReadOnlySpan<byte> elements, int count, byte code)
    {
        _bytes = elements;
        _elementCount = count;
        _elementCode = code;
    }

    /// <summary>How many bytes the values read so far took.</summary>
    public int Consumed { get; private set; }

    public readonly bool AtEnd => _elementCode != 0 ? _elementsRead == _elementCount : Consumed == _bytes.Length;

    internal static AmqpReader OfArray(ReadOnlySpan<byte> elements, int count, byte code) => new(elements, count, code);

    /// <summary>Reads the next value; false at the end and when the bytes are not valid AMQP (the two differ in <see cref="AtEnd"/>).</summary>
    public bool TryRead(out AmqpValue value)
    {
        value = default;
        if (AtEnd)
            return false;

        if (_elementCode != 0)
        {
            if (!TryReadContent(_elementCode, Consumed, out value, out var elementEnd))
                return false;

            _elementsRead++;
            Consumed = elementEnd;
            return true;
        }

        if (_bytes[Consumed] == AmqpCodes.Described)
            return TryReadDescribed(out value);
        if (!TryReadContent(_bytes[Consumed], Consumed + 1, out value, out var end))
            return false;

        Consumed = end;
        return true;
    }

    private bool TryReadDescribed(out AmqpValue value)
    {
        value = default;
        var at = Consumed;
        var descriptors = 0;
        for (var pending = 1; pending > 0; pending--)
        {
            // A descriptor adds one value to read: itself; what it describes was pending already.
            while (at < _bytes.Length && _bytes[at] == AmqpCodes.Described)
            {
                if (++descriptors > MaxDescriptors)
                    return false; // [AMQP-1.5]
                at++;
                pending++;
            }

            if (at >= _bytes.Length || !TryReadContent(_bytes[at], at + 1, out _, out at))
                return false;
        }

        value = new AmqpValue(AmqpType.Described, _bytes[(Consumed + 1)..at], 2);
        Consumed = at;
        return true;
    }

    private readonly bool TryReadContent(byte code, int at, out AmqpValue value, out int end)
    {
        switch (code)
        {
            case AmqpCodes.Null: return Fixed(AmqpType.Null, 0, at, out value, out end);
            case AmqpCodes.True: return Constant(AmqpType.Boolean, "\x01"u8, at, out value, out end);
            case AmqpCodes.False: return Constant(AmqpType.Boolean, "\0"u8, at, out value, out end);
            case AmqpCodes.UInt0: return Constant(AmqpType.UInt, "\0"u8, at, out value, out end);
            case AmqpCodes.ULong0: return Constant(AmqpType.ULong, "\0"u8, at, out value, out end);
            case AmqpCodes.List0: return Fixed(AmqpType.List, 0, at, out value, out end);
            case AmqpCodes.UByte: return Fixed(AmqpType.UByte, 1, at, out value, out end);
            case AmqpCodes.Byte: return Fixed(AmqpType.Byte, 1, at, out value, out end);
            case AmqpCodes.SmallUInt: return Fixed(AmqpType.UInt, 1, at, out value, out end);
            case AmqpCodes.SmallULong: return Fixed(AmqpType.ULong, 1, at, out value, out end);
            case AmqpCodes.SmallInt: return Fixed(AmqpType.Int, 1, at, out value, out end);
            case AmqpCodes.SmallLong: return Fixed(AmqpType.Long, 1, at, out value, out end);
            case AmqpCodes.Boolean: return Fixed(AmqpType.Boolean, 1, at, out value, out end) && value.Content[0] <= 1;
            case AmqpCodes.UShort: return Fixed(AmqpType.UShort, 2, at, out value, out end);
            case AmqpCodes.Short: return Fixed(AmqpType.Short, 2, at, out value, out end);
            case AmqpCodes.UInt: return Fixed(AmqpType.UInt, 4, at, out value, out end);
            case AmqpCodes.Int: return Fixed(AmqpType.Int, 4, at, out value, out end);
            case AmqpCodes.Float: return Fixed(AmqpType.Float, 4, at, out value, out end);
            case AmqpCodes.Char: return Fixed(AmqpType.Char, 4, at, out value, out end);
            case AmqpCodes.Decimal32: return Fixed(AmqpType.Decimal, 4, at, out value, out end);
            case AmqpCodes.ULong: return Fixed(AmqpType.ULong, 8, at, out value, out end);
            case AmqpCodes.Long: return Fixed(AmqpType.Long, 8, at, out value, out end);
            case AmqpCodes.Double: return Fixed(AmqpType.Double, 8, at, out value, out end);
            case AmqpCodes.Timestamp: return Fixed(AmqpType.Timestamp, 8, at, out value, out end);
            case AmqpCodes.Decimal64: return Fixed(AmqpType.Decimal, 8, at, out value, out end);
            case AmqpCodes.Decimal128: return Fixed(AmqpType.Decimal, 16, at, out value, out end);
            case AmqpCodes.Uuid: return Fixed(AmqpType.Uuid, 16, at, out value, out end);
            case AmqpCodes.Binary8: return Variable(AmqpType.Binary, 1, at, out value, out end);
            case AmqpCodes.String8: return Variable(AmqpType.String, 1, at, out value, out end);
            case AmqpCodes.Symbol8: return Variable(AmqpType.Symbol, 1, at, out value, out end);
            case AmqpCodes.Binary32: return Variable(AmqpType.Binary, 4, at, out value, out end);
            case AmqpCodes.String32: return Variable(AmqpType.String, 4, at, out value, out end);
            case AmqpCodes.Symbol32: return Variable(AmqpType.Symbol, 4, at, out value, out end);
            case AmqpCodes.List8: return Compound(AmqpType.List, 1, at, out value, out end);
            case AmqpCodes.List32: return Compound(AmqpType.List, 4, at, out value, out end);
            case AmqpCodes.Map8: return Compound(AmqpType.Map, 1, at, out value, out end) && value.Count % 2 == 0;
            case AmqpCodes.Map32: return Compound(AmqpType.Map, 4, at, out value, out end) && value.Count % 2 == 0;
            case AmqpCodes.Array8: return Array(1, at, out value, out end);
            case AmqpCodes.Array32: return Array(4, at, out value, out end);
            default: // [AMQP-1.6]
                value = default;
                end = at;
                return false;
        }
    }

    private readonly bool Constant(AmqpType type, ReadOnlySpan<byte> content, int at, out AmqpValue value, out int end)
    {
        value = new AmqpValue(type, content);
        end = at;
        return at <= _bytes.Length;
    }

    private readonly bool Fixed(AmqpType type, int width, int at, out AmqpValue value, out int end)
    {
        value = default;
        end = at + width;
        if (_bytes.Length - at < width)
            return false; // [AMQP-1.2.1]

        value = new AmqpValue(type, _bytes.Slice(at, width));
        return true;
    }

    private readonly bool Variable(AmqpType type, int prefix, int at, out AmqpValue value, out int end)
    {
        value = default;
        end = at;
        if (!TryReadSize(prefix, ref end, out var length) || length > _bytes.Length - end)
            return false; // [AMQP-1.2.2]

        value = new AmqpValue(type, _bytes.Slice(end, length));
        end += length;
        return true;
    }

    // Size and count lead; the size covers the count. An element takes a byte at least, so the count is bounded by the size.
    private readonly bool Compound(AmqpType type, int prefix, int at, out AmqpValue value, out int end)
    {
        if (!Variable(type, prefix, at, out var whole, out end))
        {
            value = default;
            return false;
        }

        value = default;
        var content = whole.Content;
        if (!TryTakeCount(prefix, ref content, out var count) || count > content.Length)
            return false; // [AMQP-1.2.3]

        value = new AmqpValue(type, content, count);
        return true;
    }

    private readonly bool Array(int prefix, int at, out AmqpValue value, out int end)
    {
        value = default;
        if (!Variable(AmqpType.Array, prefix, at, out var whole, out end))
            return false;

        var content = whole.Content;
        if (!TryTakeCount(prefix, ref content, out var count) || content.IsEmpty)
            return false;

        // Arrays of described values do not occur in what we read; they are refused rather than half understood.
        var code = content[0];
        content = content[1..];
        var isEmptyElement = code >> 4 == 4;
        if (code == AmqpCodes.Described || count > (isEmptyElement ? MaxEmptyElements : content.Length))
            return false; // [AMQP-1.2.4] Arrays of described values: none is known.

        value = new AmqpValue(AmqpType.Array, content, count, code);
        return true;
    }

    private readonly bool TryReadSize(int prefix, ref int at, out int size)
    {
        size = 0;
        if (_bytes.Length - at < prefix)
            return false;

        size = prefix == 1 ? _bytes[at] : BinaryPrimitives.ReadInt32BigEndian(_bytes[at..]);
        at += prefix;
        return size >= 0;
    }

    private static bool TryTakeCount(int prefix, ref ReadOnlySpan<byte> content, out int count)
    {
        count = 0;
        if (content.Length < prefix)
            return false;

        count = prefix == 1 ? content[0] : BinaryPrimitives.ReadInt32BigEndian(content);
        content = content[prefix..];
        return count >= 0;
    }
}
