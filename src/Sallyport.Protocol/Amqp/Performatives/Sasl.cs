using System.Text;

namespace Sallyport.Protocol.Amqp.Performatives;

/// <summary>The frames of the SASL layer (AMQP 1.0 part 5, 5.3.3).</summary>
internal static class Sasl
{
    public const int MaxMechanismBytes = 64;

    public static void WriteMechanisms(ref AmqpWriter writer, ReadOnlySpan<string> mechanisms)
    {
        writer.Descriptor(PerformativeCode.SaslMechanisms);
        var list = writer.BeginList();
        writer.Symbols(mechanisms);
        writer.End(list, 1);
    }

    public static void WriteInit(ref AmqpWriter writer, string mechanism, ReadOnlySpan<byte> response, string? hostName)
    {
        writer.Descriptor(PerformativeCode.SaslInit);
        var list = writer.BeginList();
        writer.Symbol(Encoding.ASCII.GetBytes(mechanism));
        writer.Binary(response);
        if (hostName is null)
            writer.Null();
        else
            writer.String(Encoding.UTF8.GetBytes(hostName));
        writer.End(list, 3);
    }

    public static void WriteOutcome(ref AmqpWriter writer, SaslCode code)
    {
        writer.Descriptor(PerformativeCode.SaslOutcome);
        var list = writer.BeginList();
        writer.UByte((byte)code);
        writer.Null();
        writer.End(list, 2);
    }

    /// <summary>Whether the server's list names a mechanism; the list is an array of symbols or one symbol.</summary>
    public static bool Offers(AmqpValue list, string mechanism)
    {
        var fields = new Fields(list, "sasl-mechanisms");
        var offered = fields.Next();
        var wanted = Encoding.ASCII.GetBytes(mechanism);
        if (offered.Type == AmqpType.Symbol)
            return offered.Content.SequenceEqual(wanted);

        var elements = offered.Elements();
        while (offered.Type == AmqpType.Array && elements.TryRead(out var element))
        {
            if (element.Content.SequenceEqual(wanted))
                return true;
        }

        return false;
    }
}

/// <summary>What a client wants to be taken for (AMQP 1.0 part 5, 5.3.3.2). Never printed: the response may hold a secret.</summary>
/// <param name="Response">As it came; empty when there is none.</param>
public sealed record SaslInit(string Mechanism, byte[] Response)
{
    internal static SaslInit Read(AmqpValue list)
    {
        var fields = new Fields(list, "sasl-init");
        var mechanism = fields.Text(Sasl.MaxMechanismBytes) ?? throw new AmqpProtocolException(AmqpConditions.DecodeError, "sasl-init: mechanism is missing");
        return new SaslInit(mechanism, fields.Binary().ToArray());
    }

    public override string ToString() => Mechanism;
}
