namespace Sallyport.Protocol.Amqp;

/// <summary>
/// Keys and values of an AMQP map whose keys are text, in the order they were written. Reading ends early where the bytes are not valid
/// or a key is no text. Lives as long as its bytes; allocates nothing.
/// </summary>
public readonly ref struct AmqpMap
{
    private readonly ReadOnlySpan<byte> _content;

    internal AmqpMap(ReadOnlySpan<byte> content) => _content = content;

    /// <summary>The map whose constructor and content these bytes are; an empty one when they are not.</summary>
    public static AmqpMap Read(ReadOnlySpan<byte> encoded)
    {
        var reader = new AmqpReader(encoded);
        return reader.TryRead(out var value) && value.Type == AmqpType.Map ? new AmqpMap(value.Content) : default;
    }

    /// <summary>A value that is a map; an empty one when it is not.</summary>
    public static AmqpMap Of(AmqpValue value) => value.Type == AmqpType.Map ? new AmqpMap(value.Content) : default;

    public bool IsEmpty => _content.IsEmpty;

    public Enumerator GetEnumerator() => new(_content);

    /// <summary>Finds the value of a key (exact bytes); false when there is none.</summary>
    public bool TryFind(ReadOnlySpan<byte> key, out AmqpValue value)
    {
        foreach (var pair in this)
        {
            if (pair.Key.SequenceEqual(key))
            {
                value = pair.Value;
                return true;
            }
        }

        value = default;
        return false;
    }

    /// <summary>A key, as UTF-8 text, and its value.</summary>
    public readonly ref struct Pair
    {
        internal Pair(ReadOnlySpan<byte> key, AmqpValue value)
        {
            Key = key;
            Value = value;
        }

        public ReadOnlySpan<byte> Key { get; }

        public AmqpValue Value { get; }
    }

    public ref struct Enumerator
    {
        private AmqpReader _reader;

        internal Enumerator(ReadOnlySpan<byte> content) => _reader = new AmqpReader(content);

        public Pair Current { get; private set; }

        public bool MoveNext()
        {
            if (!_reader.TryRead(out var key) || !key.IsText || !_reader.TryRead(out var value))
                return false;

            Current = new Pair(key.Content, value);
            return true;
        }
    }
}
