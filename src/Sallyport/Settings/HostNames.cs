using System.Net;

namespace Sallyport.Settings;

/// <summary>The names and addresses under which clients know the hub.</summary>
internal static class HostNames
{
    /// <summary>localhost, <c>sallyport.localhost</c> because the C SDK wants a dot, and the machine's name where it is a valid one.</summary>
    public static IReadOnlyList<string> Defaults()
    {
        var machine = Environment.MachineName.ToLowerInvariant();
        return IsDnsName(machine) ? [.. new[] { "localhost", "sallyport.localhost", machine }.Distinct()] : ["localhost", "sallyport.localhost"];
    }

    /// <summary>Lower-cases and checks names; doubles are dropped.</summary>
    /// <exception cref="SettingException">There is none, or one is not a DNS name or IP address.</exception>
    public static IReadOnlyList<string> Parse(IEnumerable<string> hosts)
    {
        var parsed = hosts.Select(host => host.Trim().ToLowerInvariant()).Distinct().ToArray();
        if (parsed.Length == 0)
            throw new SettingException("must name at least one host");

        foreach (var host in parsed)
        {
            if (!IsAddress(host) && !IsDnsName(host))
                throw new SettingException($"must hold DNS names or IP addresses without port; '{host}' is neither");
        }

        return parsed;
    }

    public static bool IsAddress(string host) => IPAddress.TryParse(host, out var address) && address.ToString() == host;

    /// <summary>Letters, digits and hyphens in labels of 1 to 63 characters, 253 in all (RFC 1123, 2.1).</summary>
    public static bool IsDnsName(string host) =>
        host.Length is > 0 and <= 253
        && host.Split('.').All(label => label.Length is > 0 and <= 63 && label[0] != '-' && label[^1] != '-'
            && label.All(c => char.IsAsciiLetterOrDigit(c) || c == '-'))
        && !host.Split('.')[^1].All(char.IsAsciiDigit);
}
