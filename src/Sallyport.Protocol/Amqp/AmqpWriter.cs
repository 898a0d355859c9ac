using System.Buffers.Binary;

namespace Sallyport.Protocol.Amqp;

/// <summary>
/// Writes AMQP 1.0 values one after the other into a span that the caller made large enough: a text or binary takes its
/// bytes and <see cref="VariableOverhead"/>, anything else at most <see cref="FixedMax"/>. Allocates nothing.
/// </summary>
/// <remarks>A span that is too small is the caller's mistake and throws <see cref="ArgumentException"/>. Text is not checked here.</remarks>
public ref struct AmqpWriter(Span<byte> target)
{
    /// <summary>Bytes that a text or binary value takes besides its content, at most.</summary>
    public const int VariableOverhead = 5;

    /// <summary>Bytes of any value of fixed width, of a section's descriptor and of a compound's head, at most.</summary>
    public const int FixedMax = 12;

    private readonly Span<byte> _target = target;

    /// <summary>Bytes written so far.</summary>
    public int Written { get; private set; }

    public void Null() => _target[Written++] = AmqpCodes.Null;

    public void Boolean(bool value) => _target[Written++] = value ? AmqpCodes.True : AmqpCodes.False;

    public void UByte(byte value)
    {
        _target[Written] = AmqpCodes.UByte;
        _target[Written + 1] = value;
        Written += 2;
    }

    public void UShort(ushort value)
    {
        _target[Written] = AmqpCodes.UShort;
        BinaryPrimitives.WriteUInt16BigEndian(_target[(Written + 1)..], value);
        Written += 3;
    }

    public void UInt(uint value)
    {
        if (value <= byte.MaxValue)
        {
            _target[Written] = AmqpCodes.SmallUInt;
            _target[Written + 1] = (byte)value;
            Written += 2;
            return;
        }

        _target[Written] = AmqpCodes.UInt;
        BinaryPrimitives.WriteUInt32BigEndian(_target[(Written + 1)..], value);
        Written += 5;
    }

    public void ULong(ulong value)
    {
        _target[Written] = AmqpCodes.ULong;
        BinaryPrimitives.WriteUInt64BigEndian(_target[(Written + 1)..], value);
        Written += 9;
    }

    public void Int(int value)
    {
        _target[Written] = AmqpCodes.Int;
        BinaryPrimitives.WriteInt32BigEndian(_target[(Written + 1)..], value);
        Written += 5;
    }

    public void Uuid(Guid value)
    {
        _target[Written] = AmqpCodes.Uuid;
        value.TryWriteBytes(_target[(Written + 1)..], bigEndian: true, out _);
        Written += 17;
    }

    public void Long(long value)
    {
        _target[Written] = AmqpCodes.Long;
        BinaryPrimitives.WriteInt64BigEndian(_target[(Written + 1)..], value);
        Written += 9;
    }

    /// <param name="unixMs">Milliseconds since 1970, UTC.</param>
    public void Timestamp(long unixMs)
    {
        _target[Written] = AmqpCodes.Timestamp;
        BinaryPrimitives.WriteInt64BigEndian(_target[(Written + 1)..], unixMs);
        Written += 9;
    }

    public void String(scoped ReadOnlySpan<byte> utf8) => Variable(AmqpCodes.String8, AmqpCodes.String32, utf8);

    public void Symbol(ReadOnlySpan<byte> ascii) => Variable(AmqpCodes.Symbol8, AmqpCodes.Symbol32, ascii);

    public void Binary(ReadOnlySpan<byte> bytes) => Variable(AmqpCodes.Binary8, AmqpCodes.Binary32, bytes);

    /// <summary>Writes values that are encoded already.</summary>
    public void Encoded(ReadOnlySpan<byte> values)
    {
        values.CopyTo(_target[Written..]);
        Written += values.Length;
    }

    /// <summary>Writes a section's descriptor; its value must follow.</summary>
    public void Section(AmqpSection section) => Descriptor((byte)section);

    /// <summary>Writes a small descriptor; its value must follow.</summary>
    public void Descriptor(byte code)
    {
        _target[Written] = AmqpCodes.Described;
        _target[Written + 1] = AmqpCodes.SmallULong;
        _target[Written + 2] = code;
        Written += 3;
    }

    /// <summary>Writes a descriptor that is a symbol; its value must follow.</summary>
    public void Descriptor(ReadOnlySpan<byte> symbol)
    {
        _target[Written++] = AmqpCodes.Described;
        Symbol(symbol);
    }

    /// <summary>Writes an array of symbols; each at most 255 bytes.</summary>
    public void Symbols(ReadOnlySpan<string> symbols)
    {
        _target[Written] = AmqpCodes.Array32;
        var mark = Written + 1;
        Written += 9;
        _target[Written++] = AmqpCodes.Symbol8;
        foreach (var symbol in symbols)
        {
            _target[Written] = (byte)symbol.Length;
            Written += 1 + System.Text.Encoding.ASCII.GetBytes(symbol, _target[(Written + 1)..]);
        }

        End(mark, symbols.Length);
    }

    /// <summary>Starts a list; give what this returns to <see cref="End"/>.</summary>
    public int BeginList() => Begin(AmqpCodes.List32);

    /// <summary>Starts a map; give what this returns to <see cref="End"/>.</summary>
    public int BeginMap() => Begin(AmqpCodes.Map32);

    /// <summary>Ends a list or map.</summary>
    /// <param name="mark">What its begin returned.</param>
    /// <param name="elements">How many values it has; in a map keys count too.</param>
    public readonly void End(int mark, int elements)
    {
        BinaryPrimitives.WriteInt32BigEndian(_target[mark..], Written - mark - 4);
        BinaryPrimitives.WriteInt32BigEndian(_target[(mark + 4)..], elements);
    }

    /// <summary>Writes the head of a binary value whose content is sent behind what is written here.</summary>
    public void BinaryHead(int length) => VariableHead(AmqpCodes.Binary8, AmqpCodes.Binary32, length);

    /// <summary>Writes the head of a binary value and gives its content to fill in.</summary>
    public Span<byte> BinaryContent(int length)
    {
        BinaryHead(length);
        var content = _target.Slice(Written, length);
        Written += length;
        return content;
    }

    private int Begin(byte code)
    {
        _target[Written] = code;
        var mark = Written + 1;
        Written += 9;
        return mark;
    }

    private void Variable(byte code8, byte code32, scoped ReadOnlySpan<byte> content)
    {
        VariableHead(code8, code32, content.Length);
        content.CopyTo(_target[Written..]);
        Written += content.Length;
    }

    private void VariableHead(byte code8, byte code32, int length)
    {
        if (length <= byte.MaxValue)
        {
            _target[Written] = code8;
            _target[Written + 1] = (byte)length;
            Written += 2;
            return;
        }

        _target[Written] = code32;
        BinaryPrimitives.WriteInt32BigEndian(_target[(Written + 1)..], length);
        Written += 5;
    }
}
