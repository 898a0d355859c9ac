namespace Sallyport.Protocol.Amqp;

/// <summary>
/// A stored message, read where it lies: which section is where, and each of them on demand.
/// Lives as long as the bytes it was read from; allocates nothing.
/// </summary>
public readonly ref struct StoredMessage
{
    private readonly ReadOnlySpan<byte> _properties;

    private StoredMessage(AmqpMap annotations, ReadOnlySpan<byte> properties, AmqpMap application, AmqpSection bodySection, AmqpValue body)
    {
        Annotations = annotations;
        _properties = properties;
        ApplicationProperties = application;
        BodySection = bodySection;
        BodyValue = body;
    }

    public AmqpMap Annotations { get; }

    public AmqpMap ApplicationProperties { get; }

    /// <summary><see cref="AmqpSection.Data"/>, <see cref="AmqpSection.AmqpSequence"/> or <see cref="AmqpSection.AmqpValue"/>.</summary>
    public AmqpSection BodySection { get; }

    /// <summary>The one body section's value: a binary when the section is data.</summary>
    public AmqpValue BodyValue { get; }

    /// <summary>The payload of a data section; empty for the other kinds of body.</summary>
    public ReadOnlySpan<byte> Body => BodySection == AmqpSection.Data ? BodyValue.Content : default;

    /// <summary>
    /// Finds the sections. False when the bytes are not sections in the standard's order with exactly one body section
    /// (AMQP 1.0 part 3, 3.2), or a section is not of its type. What is inside maps and lists is checked when it is read.
    /// </summary>
    /// <param name="isBodyRequired">False: what has no body section is read too; its <see cref="BodySection"/> is 0.</param>
    public static bool TryRead(ReadOnlySpan<byte> bytes, out StoredMessage message, bool isBodyRequired = true)
    {
        message = default;
        AmqpMap annotations = default, application = default;
        ReadOnlySpan<byte> properties = default;
        var bodySection = default(AmqpSection);
        AmqpValue body = default;
        var previous = default(AmqpSection);

        var reader = new AmqpReader(bytes);
        while (!reader.AtEnd)
        {
            if (!TryReadSection(ref reader, out var section, out var value) || section <= previous)
                return false; // [AMQP-3.2]

            var expected = section switch
            {
                AmqpSection.Properties or AmqpSection.Header or AmqpSection.AmqpSequence => AmqpType.List,
                AmqpSection.Data => AmqpType.Binary,
                AmqpSection.AmqpValue => value.Type,
                _ => AmqpType.Map,
            };
            var isBody = section is AmqpSection.Data or AmqpSection.AmqpSequence or AmqpSection.AmqpValue;
            if (value.Type != expected || (isBody && bodySection != default))
                return false;

            switch (section)
            {
                case AmqpSection.MessageAnnotations:
                    annotations = new AmqpMap(value.Content);
                    break;
                case AmqpSection.Properties:
                    properties = value.Content;
                    break;
                case AmqpSection.ApplicationProperties:
                    application = new AmqpMap(value.Content);
                    break;
                default:
                    break;
            }

            if (isBody)
            {
                bodySection = section;
                body = value;
            }

            previous = section;
        }

        if (bodySection == default && isBodyRequired)
            return false;

        message = new StoredMessage(annotations, properties, application, bodySection, body);
        return true;
    }

    /// <summary>Reads a field of the properties section; false when it is absent, null or unreadable.</summary>
    public bool TryGet(AmqpProperty property, out AmqpValue value)
    {
        value = default;
        var reader = new AmqpReader(_properties);
        for (var place = AmqpProperty.MessageId; place <= property; place++)
        {
            if (!reader.TryRead(out value))
                return false;
        }

        return value.Type != AmqpType.Null;
    }

    /// <summary>A field of the properties section with its constructor; empty when it is absent or null.</summary>
    public ReadOnlySpan<byte> EncodedProperty(AmqpProperty property)
    {
        var reader = new AmqpReader(_properties);
        for (var place = AmqpProperty.MessageId; place < property; place++)
        {
            if (!reader.TryRead(out _))
                return default;
        }

        var from = reader.Consumed;
        return reader.TryRead(out var value) && value.Type != AmqpType.Null ? _properties[from..reader.Consumed] : default;
    }

    private static bool TryReadSection(scoped ref AmqpReader reader, out AmqpSection section, out AmqpValue value)
    {
        section = default;
        if (!reader.TryRead(out value) || value.Type != AmqpType.Described)
            return false;

        var parts = value.Elements();
        if (!parts.TryRead(out var descriptor) || descriptor.Type != AmqpType.ULong
            || descriptor.Unsigned is < (ulong)AmqpSection.Header or > (ulong)AmqpSection.Footer)
        {
            return false;
        }

        section = (AmqpSection)descriptor.Unsigned;
        return parts.TryRead(out value) && parts.AtEnd;
    }
}
