using System.Text;
using Sallyport.Protocol.Identities;

namespace Sallyport.Protocol.ConnectionStrings;

/// <summary>
/// An Azure IoT Hub connection string, of a device, a module or a policy:
/// <c>HostName=…;DeviceId=…;ModuleId=…;SharedAccessKeyName=…;SharedAccessKey=…;GatewayHostName=…</c>. Holds a secret: never print
/// <see cref="Format"/> where others read. Immutable.
/// </summary>
public sealed class ConnectionString
{
    /// <summary>The greatest length that is read, in characters.</summary>
    public const int MaxLength = 4096;

    public required string HostName { get; init; }
    public string? DeviceId { get; init; }
    public string? ModuleId { get; init; }

    /// <summary>The policy that <see cref="SharedAccessKey"/> belongs to; null when it is the device's or module's own.</summary>
    public string? SharedAccessKeyName { get; init; }

    /// <summary>Base64.</summary>
    public string? SharedAccessKey { get; init; }

    /// <summary>Where to connect instead of <see cref="HostName"/>; tokens and user names still say the host name.</summary>
    public string? GatewayHostName { get; init; }

    /// <summary>Reads a connection string: each name once, in any order, of any case.</summary>
    /// <exception cref="FormatException">Something is wrong with it; the message says what, without any value.</exception>
    public static ConnectionString Parse(string text) =>
        TryParse(text, out var parsed, out var problem) ? parsed! : throw new FormatException($"the connection string {problem}");

    /// <summary>As <see cref="Parse"/>; <paramref name="problem"/> continues the words "the connection string".</summary>
    public static bool TryParse(string text, out ConnectionString? parsed, out string problem)
    {
        ArgumentNullException.ThrowIfNull(text);
        parsed = null;
        if (text.Length > MaxLength)
            return Fail($"is longer than {MaxLength} characters", out problem);

        var values = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        foreach (var part in text.Trim().Split(';', StringSplitOptions.RemoveEmptyEntries))
        {
            // Only the first '=' separates: keys end in '=' themselves.
            var equals = part.IndexOf('=', StringComparison.Ordinal);
            var name = equals < 0 ? "" : part[..equals].Trim();
            if (!Names.Contains(name, StringComparer.OrdinalIgnoreCase))
                return Fail($"has a part that is none of {string.Join(", ", Names)}", out problem);
            if (equals == part.Length - 1)
                return Fail($"has an empty {name}", out problem);
            if (!values.TryAdd(name, part[(equals + 1)..].Trim()))
                return Fail($"has {name} twice", out problem);
        }

        if (!values.TryGetValue(nameof(HostName), out var hostName))
            return Fail("lacks HostName", out problem);

        var read = new ConnectionString
        {
            HostName = hostName,
            DeviceId = values.GetValueOrDefault(nameof(DeviceId)),
            ModuleId = values.GetValueOrDefault(nameof(ModuleId)),
            SharedAccessKeyName = values.GetValueOrDefault(nameof(SharedAccessKeyName)),
            SharedAccessKey = values.GetValueOrDefault(nameof(SharedAccessKey)),
            GatewayHostName = values.GetValueOrDefault(nameof(GatewayHostName)),
        };
        if (read.Problem() is { } found)
            return Fail(found, out problem);

        parsed = read;
        problem = "";
        return true;
    }

    /// <summary>The text with its secret, names in the order that Azure writes them.</summary>
    /// <exception cref="FormatException">An id has a <c>;</c>, which is valid in an id but cannot be said in a connection string.</exception>
    public string Format()
    {
        var text = new StringBuilder();
        Append(text, nameof(HostName), HostName);
        Append(text, nameof(DeviceId), DeviceId);
        Append(text, nameof(ModuleId), ModuleId);
        Append(text, nameof(SharedAccessKeyName), SharedAccessKeyName);
        Append(text, nameof(SharedAccessKey), SharedAccessKey);
        Append(text, nameof(GatewayHostName), GatewayHostName);
        return text.ToString();
    }

    /// <summary>Without the key.</summary>
    public override string ToString() =>
        string.Join('/', new[] { HostName, SharedAccessKeyName, DeviceId, ModuleId }.Where(part => part is not null));

    private static readonly string[] Names =
        [nameof(HostName), nameof(DeviceId), nameof(ModuleId), nameof(SharedAccessKeyName), nameof(SharedAccessKey), nameof(GatewayHostName)];

    private string? Problem()
    {
        if (Uri.CheckHostName(HostName) == UriHostNameType.Unknown)
            return "has a HostName that is not a host name";
        if (GatewayHostName is not null && Uri.CheckHostName(GatewayHostName) == UriHostNameType.Unknown)
            return "has a GatewayHostName that is not a host name";
        if (DeviceId is not null && !Identity.IsValidId(DeviceId))
            return "has a DeviceId that is not a valid id";
        if (ModuleId is not null && !Identity.IsValidId(ModuleId))
            return "has a ModuleId that is not a valid id";
        if (ModuleId is not null && DeviceId is null)
            return "has a ModuleId but no DeviceId";
        if (DeviceId is null && SharedAccessKeyName is null)
            return "has neither DeviceId nor SharedAccessKeyName";
        if (SharedAccessKeyName is not null && SharedAccessKey is null)
            return "has a SharedAccessKeyName but no SharedAccessKey";
        return SharedAccessKey is not null && !IsBase64(SharedAccessKey) ? "has a SharedAccessKey that is not base64" : null;
    }

    private static bool IsBase64(string text) => System.Buffers.Text.Base64.IsValid(text);

    private static void Append(StringBuilder text, string name, string? value)
    {
        if (value is null)
            return;
        if (value.Contains(';', StringComparison.Ordinal))
            throw new FormatException($"a {name} with ';' cannot be written into a connection string");

        text.Append(text.Length == 0 ? "" : ";").Append(name).Append('=').Append(value);
    }

    private static bool Fail(string what, out string problem)
    {
        problem = what;
        return false;
    }
}
