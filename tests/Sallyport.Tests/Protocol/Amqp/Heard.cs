using System.Buffers.Binary;
using System.Text;
using Sallyport.Protocol.Amqp;

namespace Sallyport.Tests.Protocol.Amqp;

/// <summary>A frame (or header) that an engine wrote.</summary>
/// <param name="Name">The performative's name; <c>header</c>, <c>sasl-header</c> or <c>heartbeat</c>.</param>
/// <param name="Fields">As .NET objects; lists, maps and arrays as object[]; a symbol as <see cref="Symbol"/>; a described value as <see cref="Described"/>.</param>
internal sealed record Heard(string Name, ushort Channel, object?[] Fields, byte[] Payload, int Size)
{
    private static readonly string[] Performatives = ["open", "begin", "attach", "flow", "transfer", "disposition", "detach", "end", "close"];
    private static readonly string[] SaslFrames = ["sasl-mechanisms", "sasl-init", "sasl-challenge", "sasl-response", "sasl-outcome"];

    /// <summary>The error's condition in a detach, end, close or disposition; null when there is none.</summary>
    public string? Condition => Error is { } error ? ((Symbol)error.Fields[0]!).Text : null;

    /// <summary>The error in a detach, end, close or disposition.</summary>
    public Described? Error => Name switch
    {
        "detach" => (Described?)Fields[2],
        "end" or "close" => (Described?)Fields[0],
        "disposition" when Fields[4] is Described { Code: 0x25, Fields: [var error] } => (Described?)error,
        _ => null,
    };

    public override string ToString() => Condition is { } condition ? $"{Name} {condition}" : Name;

    /// <summary>Reads all that an engine wrote; all of it must be whole.</summary>
    public static List<Heard> All(ReadOnlySpan<byte> bytes)
    {
        var all = new List<Heard>();
        while (!bytes.IsEmpty)
        {
            if (bytes.StartsWith("AMQP"u8))
            {
                all.Add(new Heard(bytes[4] == 3 ? "sasl-header" : "header", 0, [], [], 8));
                bytes = bytes[8..];
                continue;
            }

            var size = BinaryPrimitives.ReadInt32BigEndian(bytes);
            all.Add(One(bytes[..size]));
            bytes = bytes[size..];
        }

        return all;
    }

    private static Heard One(ReadOnlySpan<byte> frame)
    {
        var channel = BinaryPrimitives.ReadUInt16BigEndian(frame[6..]);
        if (frame.Length == 8)
            return new Heard("heartbeat", channel, [], [], 8);

        var reader = new AmqpReader(frame[8..]);
        Assert.True(reader.TryRead(out var value));
        var performative = (Described)Object(value)!;
        var name = frame[5] == 1 ? SaslFrames[performative.Code - 0x40] : Performatives[performative.Code - 0x10];
        return new Heard(name, channel, performative.Fields, frame[(8 + reader.Consumed)..].ToArray(), frame.Length);
    }

    private static object? Object(AmqpValue value)
    {
        switch (value.Type)
        {
            case AmqpType.Null: return null;
            case AmqpType.Boolean: return value.Boolean;
            case AmqpType.UByte: return (byte)value.Unsigned;
            case AmqpType.UShort: return (ushort)value.Unsigned;
            case AmqpType.UInt: return (uint)value.Unsigned;
            case AmqpType.ULong: return value.Unsigned;
            case AmqpType.String: return Encoding.UTF8.GetString(value.Content);
            case AmqpType.Symbol: return new Symbol(Encoding.ASCII.GetString(value.Content));
            case AmqpType.Binary: return value.Content.ToArray();
            case AmqpType.Described:
                var parts = Elements(value);
                return parts is [ulong code, object?[] fields] ? new Described((byte)code, fields) : parts;
            default:
                return Elements(value);
        }
    }

    private static object?[] Elements(AmqpValue value)
    {
        var elements = new List<object?>();
        var reader = value.Elements();
        while (reader.TryRead(out var element))
            elements.Add(Object(element));

        // What a hostile peer sent inside of its terminus is said back unread.
        if (!reader.AtEnd || (value.Type != AmqpType.Described && value.Count != elements.Count))
            elements.Add("broken");
        return [.. elements];
    }
}
