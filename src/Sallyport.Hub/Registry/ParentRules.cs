using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Registry;

/// <summary>
/// Who may be whose parent (IoT Hub: device scopes of gateways). A parent is an edge device, named by its scope; there is no circle, and a bound on
/// how deep and how wide it gets. Stateless; thread-safe.
/// </summary>
/// <remarks>A scope that does not begin as those of edge devices do is text of somebody's own: it is kept and leads to nobody, as in IoT Hub.</remarks>
internal sealed class ParentRules(IMetadata metadata)
{
    /// <summary>Children of one edge device. IoT Edge's hub takes so many clients.</summary>
    public const int MaxChildren = 100;

    /// <summary>Edge devices below the topmost. IoT Edge's bound.</summary>
    public const int MaxDepth = 5;

    // Of edge devices that are looked at below one that moves.
    private const int MaxMovedTogether = 1000;

    /// <summary>Whether the change gives a device another parent.</summary>
    public static bool IsMoved(IdentityRecord? before, IdentityRecord? after) =>
        !(before?.ParentScopes ?? []).SequenceEqual(after?.ParentScopes ?? [], StringComparer.Ordinal);

    /// <summary>Refuses a new parent that cannot be one. What a device has already is not asked: SDKs send it back.</summary>
    /// <exception cref="HubException">400.</exception>
    public void Require(MetadataTransaction tx, IdentityRecord? before, IdentityRecord after)
    {
        var isMoved = IsMoved(before, after);
        if ((!isMoved && !(after.IotEdge && before is { IotEdge: false })) || after.ParentScopes is not [var scope, ..] || !scope.StartsWith(EdgeScope.Prefix, StringComparison.Ordinal))
            return;

        var parent = FindParent(tx, after) ?? throw Invalid($"there is no edge device with the scope {scope}");
        var above = 0;
        for (var at = parent; at is not null; at = FindParent(tx, at))
        {
            if (at.DeviceId == after.DeviceId)
                throw Invalid($"{parent.DeviceId} is {(at == parent ? "the device itself" : "below the device")}");
            if (++above > (after.IotEdge ? MaxDepth : MaxDepth + 1))
                throw TooDeep();
        }

        if (after.IotEdge && above + Height(tx, after.DeviceScope!) > MaxDepth)
            throw TooDeep();
        if (isMoved && metadata.Scopes.CountChildren(tx, scope) >= MaxChildren)
            throw Invalid($"{parent.DeviceId} has {MaxChildren} children already, as many as an edge device may have");
    }

    /// <summary>The edge device that is the parent; null when there is none, or none any more.</summary>
    public IdentityRecord? FindParent(MetadataTransaction tx, IdentityRecord child) => FindParent(metadata, tx, child);

    /// <inheritdoc cref="FindParent(MetadataTransaction, IdentityRecord)"/>
    public static IdentityRecord? FindParent(IMetadata metadata, MetadataTransaction tx, IdentityRecord child) =>
        child.ParentScopes is [var scope, ..] && EdgeScope.TryReadDevice(scope, out var id)
        && metadata.Identities.Find(tx, id, null) is { IotEdge: true } parent && parent.DeviceScope == scope
            ? parent
            : null;

    /// <summary>Takes its parent from every child of an edge device that is one no more: the scope is nobody's from now on.</summary>
    public void Orphan(MetadataTransaction tx, string scope)
    {
        while (metadata.Scopes.ListChildren(tx, scope, null, MaxChildren) is { Count: > 0 } children)
        {
            foreach (var child in children)
                metadata.Identities.Put(tx, child with { ParentScopes = [], DeviceScope = child.IotEdge ? child.DeviceScope : null, ETag = child.ETag + 1 });
        }
    }

    // How many edge devices are under one another below the scope.
    private int Height(MetadataTransaction tx, string scope)
    {
        var (height, seen) = (0, 0);
        List<string> level = [scope];
        while (true)
        {
            List<string> next = [];
            foreach (var one in level)
                next.AddRange(metadata.Scopes.ListChildren(tx, one, null, MaxMovedTogether, onlyEdge: true).Select(child => child.DeviceScope!));
            if (next.Count == 0 || height > MaxDepth)
                return height;
            if ((seen += next.Count) > MaxMovedTogether)
                throw Invalid($"more than {MaxMovedTogether} edge devices are below the device: move them one after the other");
            (level, height) = (next, height + 1);
        }
    }

    private static HubException TooDeep() => Invalid($"edge devices are at most {MaxDepth} deep below the topmost");

    private static HubException Invalid(string why) => IdentityDraft.Invalid("parentScopes", why);
}
