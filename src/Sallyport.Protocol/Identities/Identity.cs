namespace Sallyport.Protocol.Identities;

/// <summary>
/// Who speaks: a device, or a module of a device. Ids are case-sensitive.
/// </summary>
/// <remarks>
/// Ids have 1 to 128 characters out of ASCII letters, digits and <c>- . + % _ # * ? ! ( ) , = @ $ ' : ;</c>
/// (Azure IoT Hub developer guide, "Identity registry"). Immutable; safe to share between threads.
/// </remarks>
public readonly record struct Identity
{
    /// <summary>The greatest length of an id, in characters.</summary>
    public const int MaxIdLength = 128;

    private const string Punctuation = "-.+%_#*?!(),=@$':;";

    private Identity(string deviceId, string? moduleId)
    {
        DeviceId = deviceId;
        ModuleId = moduleId;
    }

    public string DeviceId { get; }

    /// <summary>Null for a device itself.</summary>
    public string? ModuleId { get; }

    public bool IsModule => ModuleId is not null;

    /// <summary>Names a device, or a module when <paramref name="moduleId"/> is given.</summary>
    /// <exception cref="ArgumentException">An id is not valid.</exception>
    public static Identity Of(string deviceId, string? moduleId = null) =>
        TryCreate(deviceId, moduleId, out var identity)
            ? identity
            : throw new ArgumentException($"'{deviceId}{(moduleId is null ? "" : "/" + moduleId)}' is not a valid id: use 1 to {MaxIdLength} ASCII letters, digits and {Punctuation}");

    /// <summary>Checks the ids and makes an identity of them; false when one is not valid.</summary>
    public static bool TryCreate(string? deviceId, string? moduleId, out Identity identity)
    {
        identity = default;
        if (!IsValidId(deviceId) || (moduleId is not null && !IsValidId(moduleId)))
            return false;

        identity = new Identity(deviceId!, moduleId);
        return true;
    }

    /// <summary>Reads <c>device</c> or <c>device/module</c>, as in an MQTT client id.</summary>
    public static bool TryParse(string? text, out Identity identity)
    {
        identity = default;
        if (text is null)
            return false;

        var slash = text.IndexOf('/', StringComparison.Ordinal);
        return slash < 0
            ? TryCreate(text, null, out identity)
            : TryCreate(text[..slash], text[(slash + 1)..], out identity);
    }

    public static bool IsValidId(ReadOnlySpan<char> id)
    {
        if (id.Length is 0 or > MaxIdLength)
            return false;

        foreach (var c in id)
        {
            if (!char.IsAsciiLetterOrDigit(c) && !Punctuation.Contains(c, StringComparison.Ordinal))
                return false;
        }

        return true;
    }

    /// <summary><c>device</c> or <c>device/module</c>.</summary>
    public override string ToString() => ModuleId is null ? DeviceId : $"{DeviceId}/{ModuleId}";
}
