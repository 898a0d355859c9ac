namespace Sallyport.Protocol.Messages;

/// <summary>The system properties a sender may set on a message, one word per thing across MQTT, AMQP and HTTP.</summary>
public enum SystemProperty : byte
{
    MessageId,
    CorrelationId,
    UserId,
    To,
    AbsoluteExpiryTime,
    ContentType,
    ContentEncoding,
    CreationTimeUtc,
    MessageSchema,
    OutputName,
    InterfaceId,
    Subject,
    DiagnosticId,
    DiagnosticContext,
    Ack,
    Operation,

    /// <summary>Set by the hub alone (<c>Will</c> on an MQTT will); the same name from a peer is removed.</summary>
    MessageType,
}

/// <summary>
/// The properties of one message while it is on its way in: slices of one buffer, no strings.
/// A connection owns one and clears it for each message. Not thread-safe.
/// </summary>
/// <remarks>Bounded: at most <see cref="MaxCount"/> properties; all text together at most <see cref="MaxBytes"/> bytes.</remarks>
public sealed class MessageProperties
{
    /// <summary>More application properties than any SDK sends; beyond it the message is refused.</summary>
    public const int MaxCount = 1024;

    /// <summary>A message may have 256 KB in all, properties included.</summary>
    public const int MaxBytes = 262_144;

    private readonly Entry[] _system = new Entry[(int)SystemProperty.MessageType + 1];
    private Entry[] _application = new Entry[8];
    private byte[] _text = new byte[512];
    private int _textLength;
    private uint _present;

    /// <summary>How many application properties there are.</summary>
    public int Count { get; private set; }

    /// <summary>What counts towards the message size: names and values of application properties, values of system properties. Bytes.</summary>
    public int SizeBytes { get; private set; }

    public void Clear()
    {
        Count = 0;
        SizeBytes = 0;
        _textLength = 0;
        _present = 0;
    }

    public bool Has(SystemProperty key) => (_present & (1u << (int)key)) != 0;

    /// <summary>The UTF-8 value; empty when absent.</summary>
    public ReadOnlySpan<byte> System(SystemProperty key) =>
        Has(key) ? _text.AsSpan(_system[(int)key].ValueAt, _system[(int)key].ValueLength) : default;

    /// <summary>The UTF-8 name of the application property at <paramref name="index"/>.</summary>
    public ReadOnlySpan<byte> Name(int index) => _text.AsSpan(_application[index].NameAt, _application[index].NameLength);

    /// <summary>The UTF-8 value at <paramref name="index"/>; empty when <see cref="IsNull"/>.</summary>
    public ReadOnlySpan<byte> Value(int index) => _text.AsSpan(_application[index].ValueAt, Math.Max(0, _application[index].ValueLength));

    /// <summary>A property sent as a name without a value.</summary>
    public bool IsNull(int index) => _application[index].ValueLength < 0;

    /// <summary>Sets a system property; false when it is set already or a bound is reached.</summary>
    public bool TrySet(SystemProperty key, ReadOnlySpan<byte> utf8)
    {
        if (Has(key) || !TryPut(utf8, out var at))
            return false;

        _system[(int)key] = new Entry(0, 0, at, utf8.Length);
        _present |= 1u << (int)key;
        SizeBytes += utf8.Length;
        return true;
    }

    /// <summary>Takes a system property away; nothing when it is not set.</summary>
    public void Unset(SystemProperty key)
    {
        SizeBytes -= System(key).Length;
        _present &= ~(1u << (int)key);
    }

    /// <summary>Adds an application property; false when a bound is reached.</summary>
    public bool TryAdd(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value, bool isNull = false)
    {
        if (Count == MaxCount || !TryPut(name, out var nameAt) || !TryPut(value, out var valueAt))
            return false;

        if (Count == _application.Length)
            Array.Resize(ref _application, _application.Length * 2);
        _application[Count++] = new Entry(nameAt, name.Length, valueAt, isNull ? -1 : value.Length);
        SizeBytes += name.Length + value.Length;
        return true;
    }

    private bool TryPut(ReadOnlySpan<byte> bytes, out int at)
    {
        at = _textLength;
        if (_textLength + bytes.Length > MaxBytes)
            return false;

        if (_textLength + bytes.Length > _text.Length)
            Array.Resize(ref _text, Math.Max(_text.Length * 2, _textLength + bytes.Length));
        bytes.CopyTo(_text.AsSpan(_textLength));
        _textLength += bytes.Length;
        return true;
    }

    private readonly record struct Entry(int NameAt, int NameLength, int ValueAt, int ValueLength);
}
