using System.Net;
using Sallyport.Protocol.Identities;

namespace Sallyport.Hub.Access;

/// <summary>Devices and modules as resources of tokens and links: <c>devices/d1</c>, <c>devices/d1/modules/m1</c>.</summary>
internal static class DevicePath
{
    public static string Of(Identity identity) =>
        identity.IsModule ? $"devices/{identity.DeviceId}/modules/{identity.ModuleId}" : $"devices/{identity.DeviceId}";

    /// <summary>Whom a path may mean: nobody, one, or two where the C# SDK may have form-encoded an id that has characters for it, the decoded one first.</summary>
    public static IReadOnlyList<Identity> Read(string path)
    {
        var (device, module) = path.Split('/', 6) switch
        {
            ["devices", var id] => (id, null),
            ["devices", var id, "modules", var moduleId] => (id, moduleId),
            _ => ("", (string?)null),
        };
        List<Identity> meant = [];
        if (path.Contains('%', StringComparison.Ordinal) && Identity.TryCreate(WebUtility.UrlDecode(device), WebUtility.UrlDecode(module), out var decoded))
            meant.Add(decoded);
        if (Identity.TryCreate(device, module, out var written) && !meant.Contains(written))
            meant.Add(written);
        return meant;
    }
}
