namespace Sallyport.Protocol.Amqp.Messages;

/// <summary>
/// The messages of a batch (message format 0x80013700): each data section of its body is one encoded message. Other sections are of the
/// envelope and say nothing. Lives as long as its bytes; allocates nothing.
/// </summary>
public ref struct BatchedMessages(ReadOnlySpan<byte> batch)
{
    private AmqpReader _reader = new(batch);

    /// <summary>The message just read.</summary>
    public ReadOnlySpan<byte> Current { get; private set; }

    /// <summary>The bytes are no batch.</summary>
    public bool IsBroken { get; private set; }

    /// <summary>Goes to the next message; false at the end, or where the bytes are no batch.</summary>
    public bool MoveNext()
    {
        while (!_reader.AtEnd)
        {
            if (!_reader.TryRead(out var value) || value.Type != AmqpType.Described)
                return Break();

            var parts = value.Elements();
            if (!parts.TryRead(out var descriptor) || descriptor.Type != AmqpType.ULong || !parts.TryRead(out var content))
                return Break();
            if (descriptor.Unsigned != (ulong)AmqpSection.Data)
                continue;
            if (content.Type != AmqpType.Binary)
                return Break();

            Current = content.Content;
            return true;
        }

        return false;
    }

    private bool Break()
    {
        IsBroken = true;
        return false;
    }
}
