using System.Diagnostics.CodeAnalysis;
using Sallyport.Protocol.Identities;

namespace Sallyport.Hub.Access;

/// <summary>
/// Who a SASL PLAIN user name says it is: <c>policy@sas.root.hub</c> or only <c>policy</c>; <c>device@sas.hub</c> or
/// <c>device/module@sas.hub</c>; the hub is the first label of one of its names. Immutable.
/// </summary>
/// <param name="Policy">Null for a device or module.</param>
/// <param name="Identity">Null for a policy.</param>
internal sealed record PlainUser(string? Policy, Identity? Identity)
{
    /// <summary>The longest ids, and the longest label, come to less.</summary>
    public const int MaxLength = 512;

    private const string Mark = "@sas.";
    private const string Root = "root.";

    public static bool TryRead(string userName, HubNames names, [NotNullWhen(true)] out PlainUser? user)
    {
        user = null;
        if (userName.Length is 0 or > MaxLength)
            return false;

        // An id may have '@' and '.' itself: the last mark counts.
        var mark = userName.LastIndexOf(Mark, StringComparison.OrdinalIgnoreCase);
        if (mark < 0)
        {
            user = new PlainUser(userName, null);
            return true;
        }

        var name = userName[..mark];
        var hub = userName.AsSpan(mark + Mark.Length);
        if (hub.StartsWith(Root, StringComparison.OrdinalIgnoreCase) && names.HasLabel(hub[Root.Length..]))
            user = new PlainUser(name, null);
        else if (names.HasLabel(hub) && Protocol.Identities.Identity.TryParse(name, out var identity))
            user = new PlainUser(null, identity);

        return user is not null;
    }
}
