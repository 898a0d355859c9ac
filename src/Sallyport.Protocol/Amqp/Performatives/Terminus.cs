namespace Sallyport.Protocol.Amqp.Performatives;

/// <summary>A source or target of a link (AMQP 1.0 part 3, 3.5.3 and 3.5.4), as far as a hub looks at it.</summary>
/// <param name="Address">Null when absent or dynamic.</param>
/// <param name="Filters">The filter set of a source, an encoded map; empty when there is none.</param>
/// <param name="Encoded">The whole terminus as it came, to be said back.</param>
public sealed record Terminus(string? Address, bool IsDynamic, byte[] Filters, byte[] Encoded)
{
    /// <summary>The longest address, in bytes.</summary>
    public const int MaxAddressBytes = 2048;

    private const int TargetFields = 7;
    private const int SourceFields = 11;

    /// <summary>A source or target that has an address and nothing else.</summary>
    public static Terminus Of(string address, bool isSource, ReadOnlySpan<byte> filters = default)
    {
        var target = new byte[64 + (address.Length * 3) + filters.Length];
        var writer = new AmqpWriter(target);
        writer.Descriptor(isSource ? PerformativeCode.Source : PerformativeCode.Target);
        var list = writer.BeginList();
        writer.String(System.Text.Encoding.UTF8.GetBytes(address));
        for (var field = 1; field < (isSource ? SourceFields : TargetFields); field++)
        {
            if (isSource && field == 7 && !filters.IsEmpty)
                writer.Encoded(filters);
            else
                writer.Null();
        }

        writer.End(list, isSource ? SourceFields : TargetFields);
        return new Terminus(address, false, filters.ToArray(), target[..writer.Written]);
    }

    internal Terminus AddressOnly() => this with { Filters = [], Encoded = [] };

    internal static Terminus? Read(AmqpValue value, ReadOnlySpan<byte> encoded, bool isSource)
    {
        if (value.Type == AmqpType.Null)
            return null;

        // A coordinator (transactions) is a target that a hub does not have; it is refused like an unknown address.
        if (!Performatives.Fields.TryDescribed(value, out var code, out var list) || code != (isSource ? PerformativeCode.Source : PerformativeCode.Target))
            return new Terminus(null, false, [], encoded.ToArray());

        var fields = new Fields(list, isSource ? "source" : "target");
        var address = fields.Text(MaxAddressBytes); // [AMQP-3.5.3] [AMQP-3.5.4]
        fields.Skip(); // durable
        fields.Skip(); // expiry-policy
        fields.Skip(); // timeout
        var isDynamic = fields.Boolean();
        fields.Skip(); // dynamic-node-properties
        if (!isSource)
            return new Terminus(address, isDynamic, [], encoded.ToArray());

        fields.Skip(); // distribution-mode
        return new Terminus(address, isDynamic, fields.Map(), encoded.ToArray());
    }
}
