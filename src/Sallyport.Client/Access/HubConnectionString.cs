using System.Diagnostics.CodeAnalysis;
using Sallyport.Protocol.Identities;

namespace Sallyport.Client.Access;

/// <summary>
/// An IoT Hub connection string: <c>HostName=…;DeviceId=…[;ModuleId=…];SharedAccessKey=…</c> of an identity, or
/// <c>HostName=…;SharedAccessKeyName=…;SharedAccessKey=…</c> of a policy. Immutable. Never prints its key.
/// </summary>
public sealed class HubConnectionString
{
    private HubConnectionString(string hostName, Identity? identity, string? policyName, string sharedAccessKey)
    {
        HostName = hostName;
        Identity = identity;
        PolicyName = policyName;
        SharedAccessKey = sharedAccessKey;
    }

    public string HostName { get; }

    /// <summary>Null in a policy's connection string.</summary>
    public Identity? Identity { get; }

    /// <summary>Null in an identity's connection string.</summary>
    public string? PolicyName { get; }

    /// <summary>Base64, as given.</summary>
    internal string SharedAccessKey { get; }

    /// <exception cref="FormatException">It is not a connection string; says what is missing, without repeating the text.</exception>
    public static HubConnectionString Parse(string text) =>
        TryParse(text, out var parsed, out var problem) ? parsed : throw new FormatException(problem);

    public static bool TryParse(string? text, [NotNullWhen(true)] out HubConnectionString? parsed, out string problem)
    {
        parsed = null;
        var fields = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        foreach (var field in (text ?? "").Split(';', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            // A key ends in '=' padding, so only the first '=' separates.
            var separator = field.IndexOf('=', StringComparison.Ordinal);
            if (separator <= 0 || !fields.TryAdd(field[..separator], field[(separator + 1)..]))
            {
                problem = "the connection string has a field that is not NAME=VALUE, or one twice";
                return false;
            }
        }

        if (!fields.TryGetValue("HostName", out var host) || Uri.CheckHostName(host) == UriHostNameType.Unknown)
        {
            problem = "the connection string names no HostName";
            return false;
        }

        if (!fields.TryGetValue("SharedAccessKey", out var key) || !Convert.TryFromBase64String(key, new byte[key.Length], out var keyBytes) || keyBytes == 0)
        {
            problem = "the connection string has no SharedAccessKey in base64";
            return false;
        }

        var policy = fields.GetValueOrDefault("SharedAccessKeyName");
        Identity? identity = null;
        if (fields.TryGetValue("DeviceId", out var device))
        {
            if (!Protocol.Identities.Identity.TryCreate(device, fields.GetValueOrDefault("ModuleId"), out var named))
            {
                problem = "the connection string has a DeviceId or ModuleId that is not valid";
                return false;
            }

            identity = named;
        }

        if (identity is null == policy is null)
        {
            problem = "the connection string needs either DeviceId or SharedAccessKeyName";
            return false;
        }

        problem = "";
        parsed = new HubConnectionString(host, identity, policy, key);
        return true;
    }

    public override string ToString() => $"HostName={HostName};" + (Identity is { } identity ? $"DeviceId={identity}" : $"SharedAccessKeyName={PolicyName}");
}
