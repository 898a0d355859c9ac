using Microsoft.AspNetCore.Http;
using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Errors;

namespace Sallyport.Heads.Http;

/// <summary>Consumer groups and checkpoint names as requests give them.</summary>
internal static class ConsumerGroups
{
    public const string NameSyntax = "1 to 128 ASCII letters, digits and - . _";

    /// <exception cref="HubException">401: the caller's rights are limited to other groups.</exception>
    public static void RequireCovered(HttpContext context, string group)
    {
        if (!context.Caller().Principal!.Scope.CoversGroup(group))
            throw new HubException(HubErrors.UnauthorizedAccess, "you are limited to other consumer groups");
    }

    /// <exception cref="HubException">404: there is no such group.</exception>
    public static string Existing(string? group) => group is not null && Checkpoints.GroupExists(group)
        ? group
        : throw new HubException(HubErrors.NotFound, $"the hub has no such consumer group; the one there is, is {Checkpoints.DefaultGroup}");
}
