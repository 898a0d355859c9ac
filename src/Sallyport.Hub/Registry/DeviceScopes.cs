using Sallyport.Hub.Access;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Physical;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Registry;

/// <summary>What is in the scope of an edge device, a page of it. Holds keys: never printed.</summary>
/// <param name="Next">The id to go on behind; null when this is the end.</param>
public sealed record ScopePage(IReadOnlyList<IdentityState> Devices, IReadOnlyList<IdentityState> Modules, string? Next);

/// <summary>
/// What the hub of an edge device (<c>edge/$edgeHub</c>) is told of those for whom it answers: itself, its modules, its children and their modules,
/// with their keys, so that it can authenticate them while it is cut off (IoT Edge: device scope identities). Thread-safe.
/// </summary>
public sealed class DeviceScopes(IMetadata metadata, IdentityCache identities, ConnectedDevices connected, ActivityWriteBack activity, Quotas quotas, QuarantineLine quarantine)
{
    /// <summary>Children of a page.</summary>
    public const int MaxPage = 1000;

    /// <summary>What is in the scope of <paramref name="target"/>.</summary>
    /// <param name="gateway">Who asks: the target itself, or an edge device above it.</param>
    /// <param name="after">Only children behind this id; null begins with the target itself.</param>
    /// <param name="top">1 to <see cref="MaxPage"/> children.</param>
    /// <exception cref="HubException">401: the target is not in the scope of the gateway; 404: it is no edge device; 429.</exception>
    public ScopePage List(string gateway, string target, string? after, int top)
    {
        Take(gateway);
        RequireInScope(gateway, target);
        var (devices, modules) = metadata.Read(tx =>
        {
            var edge = metadata.Identities.Find(tx, target, null) is { IotEdge: true } found ? found : throw new HubException(HubErrors.DeviceNotFound, $"there is no edge device {target}");
            List<IdentityRecord> listed = [.. after is null ? [edge] : (IdentityRecord[])[], .. metadata.Scopes.ListChildren(tx, edge.DeviceScope!, after, top)];
            return (listed, listed.SelectMany(device => metadata.Identities.ListModules(tx, device.DeviceId)).ToList());
        });
        var children = devices.Count - (after is null ? 1 : 0);
        return new ScopePage([.. devices.Select(StateOf)], [.. modules.Select(StateOf)], children == top ? devices[^1].DeviceId : null);
    }

    /// <summary>One of those in the scope of <paramref name="originating"/>; a module comes with its device. Empty when there is no such identity, or it is elsewhere.</summary>
    /// <param name="gateway">Who asks: <paramref name="originating"/> itself, or an edge device above it.</param>
    /// <exception cref="HubException">401: the originating device is not in the scope of the gateway; 429.</exception>
    public ScopePage Find(string gateway, string originating, Identity target)
    {
        Take(gateway);
        RequireInScope(gateway, originating);
        if (!IsInScope(originating, target.DeviceId))
            return new ScopePage([], [], null);

        var (device, module) = metadata.Read(tx => (
            metadata.Identities.Find(tx, target.DeviceId, null),
            target.IsModule ? metadata.Identities.Find(tx, target.DeviceId, target.ModuleId) : null));
        if (device is null || (target.IsModule && module is null))
            return new ScopePage([], [], null);
        return new ScopePage([StateOf(device)], module is null ? [] : [StateOf(module)], null);
    }

    private void Take(string gateway)
    {
        quotas.TakeRegistryOperations(gateway);
        if (quarantine.Holds(gateway))
            throw new HubException(HubErrors.Throttled, HubErrors.Throttled.Meaning); // It is not to learn of it, nor anybody's key.
    }

    private void RequireInScope(string gateway, string target)
    {
        if (!IsInScope(gateway, target))
            throw new HubException(HubErrors.UnauthorizedAccess, $"{target} is not in the scope of {gateway}");
    }

    private bool IsInScope(string gateway, string deviceId) => identities.WithParents(deviceId).Any(device => device.DeviceId == gateway && device is { IotEdge: true });

    private IdentityState StateOf(IdentityRecord record) => new(activity.Join(record), connected.IsConnected(Identity.Of(record.DeviceId, record.ModuleId)));
}
