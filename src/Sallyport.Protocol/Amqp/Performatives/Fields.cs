using System.Text;
using System.Text.Unicode;

namespace Sallyport.Protocol.Amqp.Performatives;

/// <summary>
/// The fields of a performative's list in their order (AMQP 1.0 part 1, 1.4): what is missing at the end or null has its default.
/// The first field of a wrong type, or a missing mandatory one, ends the connection.
/// </summary>
/// <param name="of">The performative's name, for the error.</param>
internal ref struct Fields(AmqpValue list, string of)
{
    private readonly AmqpValue _list = list;
    private AmqpReader _reader = list.Elements();
    private int _left = list.Count;

    public AmqpValue Next()
    {
        if (_left == 0)
            return default; // [AMQP-1.4] What is left out at the end is null.

        _left--;
        return _reader.TryRead(out var value) ? value : throw Broken("could not be read");
    }

    public void Skip() => Next();

    public uint UInt(uint otherwise)
    {
        var value = Next();
        return value.Type switch
        {
            AmqpType.Null => otherwise,
            AmqpType.UInt => (uint)value.Unsigned,
            _ => throw Broken("is no uint"),
        };
    }

    public uint? OptionalUInt()
    {
        var value = Next();
        return value.Type switch
        {
            AmqpType.Null => null,
            AmqpType.UInt => (uint)value.Unsigned,
            _ => throw Broken("is no uint"),
        };
    }

    public uint RequiredUInt() => OptionalUInt() ?? throw Broken("is missing");

    public ushort UShort(ushort otherwise)
    {
        var value = Next();
        return value.Type switch
        {
            AmqpType.Null => otherwise,
            AmqpType.UShort => (ushort)value.Unsigned,
            _ => throw Broken("is no ushort"),
        };
    }

    public ushort? OptionalUShort()
    {
        var value = Next();
        return value.Type switch
        {
            AmqpType.Null => null,
            AmqpType.UShort => (ushort)value.Unsigned,
            _ => throw Broken("is no ushort"),
        };
    }

    public ulong ULong(ulong otherwise)
    {
        var value = Next();
        return value.Type switch
        {
            AmqpType.Null => otherwise,
            AmqpType.ULong => value.Unsigned,
            _ => throw Broken("is no ulong"),
        };
    }

    public byte? OptionalUByte()
    {
        var value = Next();
        return value.Type switch
        {
            AmqpType.Null => null,
            AmqpType.UByte => (byte)value.Unsigned,
            _ => throw Broken("is no ubyte"),
        };
    }

    public bool Boolean()
    {
        var value = Next();
        return value.Type switch
        {
            AmqpType.Null => false,
            AmqpType.Boolean => value.Boolean,
            _ => throw Broken("is no boolean"),
        };
    }

    public bool RequiredBoolean()
    {
        var value = Next();
        return value.Type == AmqpType.Boolean ? value.Boolean : throw Broken("is missing, or no boolean");
    }

    /// <summary>A text of at most so many bytes; null when absent.</summary>
    public string? Text(int maxBytes)
    {
        var value = Next();
        if (value.Type == AmqpType.Null)
            return null;
        if (!value.IsText || !Utf8.IsValid(value.Content))
            throw Broken("is no text");
        if (value.Content.Length > maxBytes)
            throw Broken($"is longer than {maxBytes} bytes");

        return Encoding.UTF8.GetString(value.Content);
    }

    public ReadOnlySpan<byte> Binary()
    {
        var value = Next();
        return value.Type switch
        {
            AmqpType.Null => default,
            AmqpType.Binary => value.Content,
            _ => throw Broken("is no binary"),
        };
    }

    public ReadOnlySpan<byte> Symbol()
    {
        var value = Next();
        return value.Type switch
        {
            AmqpType.Null => default,
            AmqpType.Symbol => value.Content,
            _ => throw Broken("is no symbol"),
        };
    }

    /// <summary>A map with its constructor, as it came; empty when absent.</summary>
    public byte[] Map()
    {
        var from = _reader.Consumed;
        var value = Next();
        return value.Type switch
        {
            AmqpType.Null => [],
            AmqpType.Map => _list.Content[from.._reader.Consumed].ToArray(),
            _ => throw Broken("is no map"),
        };
    }

    /// <summary>A source or target together with its bytes.</summary>
    public Terminus? EncodedTerminus(bool isSource)
    {
        var from = _reader.Consumed;
        var value = Next();
        return Terminus.Read(value, _list.Content[from.._reader.Consumed], isSource);
    }

    /// <summary>Passes offered-capabilities by and returns the bytes of desired-capabilities; empty when they are absent.</summary>
    public byte[] DesiredCapabilities()
    {
        Skip();
        var from = _reader.Consumed;
        var value = Next();
        return value.Type is AmqpType.Symbol or AmqpType.Array ? _list.Content[from.._reader.Consumed].ToArray() : [];
    }

    public AmqpError? Error() => ErrorIn(Next());

    public readonly AmqpError? ErrorIn(AmqpValue value)
    {
        if (value.Type == AmqpType.Null)
            return null;
        if (!Described(value, PerformativeCode.Error, out var list))
            throw Broken("is no error");

        var fields = new Fields(list, "error");
        var condition = fields.Text(256) ?? throw Broken("is an error without a condition");
        return new AmqpError(condition, fields.Text(4096) ?? ""); // [AMQP-2.8.14]
    }

    /// <summary>The list of a described value with this small descriptor.</summary>
    public static bool Described(AmqpValue value, byte code, out AmqpValue list) =>
        TryDescribed(value, out var descriptor, out list) && descriptor == code;

    /// <summary>Descriptor and list of a described list whose descriptor is a ulong.</summary>
    public static bool TryDescribed(AmqpValue value, out ulong descriptor, out AmqpValue list)
    {
        descriptor = 0;
        list = default;
        if (value.Type != AmqpType.Described)
            return false;

        var parts = value.Elements();
        if (!parts.TryRead(out var described) || described.Type != AmqpType.ULong || !parts.TryRead(out list) || list.Type != AmqpType.List)
            return false;

        descriptor = described.Unsigned;
        return true;
    }

    private readonly AmqpProtocolException Broken(string what) => new(AmqpConditions.DecodeError, $"{of}: a field {what}");
}
