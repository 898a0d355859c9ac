using System.Buffers.Binary;

namespace Sallyport.Protocol.Amqp;

/// <summary>What kind of value there is (AMQP 1.0 part 1, 1.6).</summary>
public enum AmqpType : byte
{
    Null,
    Boolean,
    UByte,
    UShort,
    UInt,
    ULong,
    Byte,
    Short,
    Int,
    Long,
    Float,
    Double,
    Char,
    Timestamp,
    Uuid,

    /// <summary>decimal32, decimal64 or decimal128: carried, never calculated with.</summary>
    Decimal,
    Binary,
    String,
    Symbol,
    List,
    Map,
    Array,
    Described,
}

/// <summary>
/// One AMQP value as a view on the bytes it was read from. Cheap to copy; lives as long as those bytes.
/// Accessors for another type return zero or nothing: check <see cref="Type"/> first.
/// </summary>
public readonly ref struct AmqpValue
{
    internal AmqpValue(AmqpType type, ReadOnlySpan<byte> content, int count = 0, byte elementCode = 0)
    {
        Type = type;
        Content = content;
        Count = count;
        ElementCode = elementCode;
    }

    public AmqpType Type { get; }

    /// <summary>
    /// The bytes of a text, binary, uuid or decimal; the big-endian number of anything of fixed width (compact forms are as short as they came);
    /// the elements of a compound; descriptor and value of a described one.
    /// </summary>
    public ReadOnlySpan<byte> Content { get; }

    /// <summary>Elements of a list or array; keys and values of a map. Never more than its bytes can hold, see <see cref="AmqpReader.MaxEmptyElements"/>.</summary>
    public int Count { get; }

    internal byte ElementCode { get; }

    public bool IsText => Type is AmqpType.String or AmqpType.Symbol;

    public bool Boolean => Type == AmqpType.Boolean && Content[0] != 0;

    /// <summary>A signed integer, or a timestamp in Unix milliseconds.</summary>
    public long Signed => Type is AmqpType.Byte or AmqpType.Short or AmqpType.Int or AmqpType.Long or AmqpType.Timestamp ? ReadSigned(Content) : 0;

    /// <summary>An unsigned integer, or a char's code point.</summary>
    public ulong Unsigned => Type is AmqpType.UByte or AmqpType.UShort or AmqpType.UInt or AmqpType.ULong or AmqpType.Char ? ReadUnsigned(Content) : 0;

    public double Real => Type switch
    {
        AmqpType.Float => BinaryPrimitives.ReadSingleBigEndian(Content),
        AmqpType.Double => BinaryPrimitives.ReadDoubleBigEndian(Content),
        _ => 0,
    };

    public Guid Uuid => Type == AmqpType.Uuid ? new Guid(Content, bigEndian: true) : default;

    /// <summary>The elements of a list, or keys and values of a map in turn, or descriptor and value of a described one, or an array's.</summary>
    public AmqpReader Elements() => ElementCode == 0 ? new AmqpReader(Content) : AmqpReader.OfArray(Content, Count, ElementCode);

    private static long ReadSigned(ReadOnlySpan<byte> bytes) => bytes.Length switch
    {
        1 => (sbyte)bytes[0],
        2 => BinaryPrimitives.ReadInt16BigEndian(bytes),
        4 => BinaryPrimitives.ReadInt32BigEndian(bytes),
        8 => BinaryPrimitives.ReadInt64BigEndian(bytes),
        _ => 0,
    };

    private static ulong ReadUnsigned(ReadOnlySpan<byte> bytes) => bytes.Length switch
    {
        1 => bytes[0],
        2 => BinaryPrimitives.ReadUInt16BigEndian(bytes),
        4 => BinaryPrimitives.ReadUInt32BigEndian(bytes),
        8 => BinaryPrimitives.ReadUInt64BigEndian(bytes),
        _ => 0,
    };
}
