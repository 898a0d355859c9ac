using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Twins;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Configurations;

/// <summary>What is to be changed of a twin. Immutable.</summary>
/// <param name="Before">As it is in the transaction.</param>
/// <param name="Patch">Of its desired properties; null: they are right.</param>
internal sealed record TwinIntent(Identity Identity, TwinRecord Before, TwinNode? Patch, byte[]? Configurations, byte[]? Configured);

/// <summary>What is to be done so that a device, or a module, is as configurations say. Immutable.</summary>
/// <param name="Missing">Modules that a deployment names, and that are to be made first.</param>
internal sealed record Outlook(IReadOnlyList<TwinIntent> Intents, IReadOnlyList<Identity> Missing)
{
    public static readonly Outlook Nothing = new([], []);

    public bool HasWork => Intents.Count + Missing.Count > 0;
}

/// <summary>
/// Compares twins with what configurations say, on one transaction, and changes nothing. Asked again, in the transaction that does what it says, it says the same or what has become right meanwhile.
/// Stateless; thread-safe.
/// </summary>
internal sealed class Convergence(IMetadata metadata, ConfigurationsInForce inForce)
{
    /// <summary>Looks at a device with the modules that deployments are about, or at a module.</summary>
    /// <param name="problem">Why modules that are missing cannot be made; null: they can, or it was not tried.</param>
    public Outlook Look(MetadataTransaction tx, Identity identity, string? problem = null)
    {
        if (ReadDevice(tx, identity.DeviceId) is not { } device)
            return Outlook.Nothing;
        if (!identity.IsModule || device.IsOfDeployments)
            return LookAtDevice(tx, device, problem);

        List<TwinIntent> intents = [];
        metadata.Twins.Visit(tx, identity.DeviceId, identity.ModuleId, (in TwinRow row) => AddModule(intents, device, row));
        return new Outlook(intents, []);
    }

    /// <summary>Whether a device may need <see cref="Look"/>: a row that no configuration reaches, or did, does not.</summary>
    /// <param name="row">With its identity.</param>
    public bool MayConcern(in TwinRow row) => !row.Configured.IsEmpty || !row.Configurations.IsEmpty || inForce.Match(row) != 0;

    /// <summary>The same of a module, but for the limits of who wrote a configuration: these are looked at then.</summary>
    public bool ModuleMayConcern(in TwinRow row) => inForce.AreOfModules || !row.Configured.IsEmpty || !row.Configurations.IsEmpty;

    private Outlook LookAtDevice(MetadataTransaction tx, Device device, string? problem)
    {
        if (device.Twin is not { } twin)
            return Outlook.Nothing;

        var edge = device.Plan.Edge;
        List<TwinIntent> intents = [];
        List<Identity> missing = [];
        if (device.IsOfDeployments)
        {
            var there = new HashSet<string>(StringComparer.Ordinal);
            metadata.Twins.Scan(tx, inForce.ModuleScan with { OfDevice = device.Id }, (in TwinRow row) =>
            {
                there.Add(row.ModuleId!);
                return AddModule(intents, device, row);
            });

            // Of deployments that are new to the device; a module that somebody deletes afterwards stays deleted.
            if (edge is { Key: not null } && edge.Key != device.Notes.Deployments && problem is null)
                missing.AddRange(edge.Modules.Keys.Where(name => !there.Contains(name)).Select(name => Identity.Of(device.Id, name)));
        }

        var notes = device.Notes with { Deployments = problem is null ? edge?.Key : device.Notes.Deployments };
        var plan = device.Plan.Device;
        if (problem is not null && edge is not null)
            plan = plan with { Statuses = [.. plan.Statuses.Select(status => edge.Statuses.Contains(status) ? status.Failed(problem) : status)] };
        Add(intents, Identity.Of(device.Id), twin, notes, plan, TwinPlan.Nothing, keepsEdge: true);
        return new Outlook(intents, missing);
    }

    private bool AddModule(List<TwinIntent> intents, Device device, in TwinRow row)
    {
        var plan = inForce.PlanOfModule(inForce.Match(row, device.Tags));
        if (plan.Statuses.Count == 0 && row.Configured.IsEmpty && row.Configurations.IsEmpty && !device.IsOfDeployments)
            return true;

        var twin = row.Twin();
        var module = Identity.Of(device.Id, row.ModuleId);
        var notes = TwinNotes.Read(twin.Configured, isOfModule: true);
        var edge = device.Plan.Edge;
        var ofEdge = edge?.Modules.GetValueOrDefault(module.ModuleId!)
            ?? (edge is not null && module.ModuleId == ConfigurationContent.EdgeAgent ? TwinPlan.Nothing with { Statuses = edge.Statuses } : TwinPlan.Nothing);
        Add(intents, module, twin, notes, plan, ofEdge, keepsEdge: edge?.Key is null);
        return true;
    }

    /// <param name="notes">As they are, but for the deployments of a device.</param>
    /// <param name="keepsEdge">What deployments have set stays, as none is in force.</param>
    private static void Add(List<TwinIntent> intents, Identity identity, TwinRecord twin, TwinNotes notes, TwinPlan plan, TwinPlan ofEdge, bool keepsEdge)
    {
        var after = notes with
        {
            Paths = [.. plan.Settings.Select(setting => setting.Path)],
            EdgePaths = keepsEdge ? notes.EdgePaths : [.. ofEdge.Settings.Select(setting => setting.Path)],
        };
        IReadOnlyList<ConfigurationStatus> statuses = [.. plan.Statuses, .. ofEdge.Statuses];
        TwinNode? patch = null;
        if (plan.Settings.Count + ofEdge.Settings.Count + notes.Paths.Count + notes.EdgePaths.Count > 0)
        {
            var root = TwinSection.Decode(twin.Desired.Json);
            patch = TwinPaths.Difference(root, Configured(root, notes.Paths.Except(after.Paths).Concat(notes.EdgePaths.Except(after.EdgePaths)), [.. ofEdge.Settings, .. plan.Settings]));
            if (patch is not null && ProblemOf(root, patch) is { } tooLarge)
                (patch, statuses, after) = (null, [.. statuses.Select(status => status.Failed(tooLarge))], notes);
        }

        var (shown, noted) = (TwinNotes.Show(statuses), after.Encode());
        if (patch is not null || !AreSame(shown, twin.Configurations) || !AreSame(noted, twin.Configured))
            intents.Add(new TwinIntent(identity, twin, patch, shown, noted));
    }

    private static TwinNode Configured(TwinNode root, IEnumerable<string> removed, IReadOnlyList<Setting> settings)
    {
        foreach (var path in removed)
            root = TwinPaths.Without(root, path.Length == 0 ? [] : path.Split('.'));
        foreach (var setting in settings)
            root = TwinPaths.With(root, setting.Names, setting.Value);
        return root;
    }

    // What does not fit is not set at all: the twin says why, and it is tried again when the twin changes.
    private static string? ProblemOf(TwinNode root, TwinNode patch)
    {
        try
        {
            TwinSection.Within(TwinNode.Merge(root, patch, default), TwinLimits.Desired);
            return null;
        }
        catch (HubException tooLarge)
        {
            return tooLarge.Message;
        }
    }

    private static bool AreSame(byte[]? one, byte[]? other) => one is null ? other is null : other is not null && one.AsSpan().SequenceEqual(other);

    private Device? ReadDevice(MetadataTransaction tx, string deviceId)
    {
        Device? device = null;
        metadata.Twins.Visit(tx, deviceId, null, (in TwinRow row) =>
        {
            var match = inForce.Match(row);
            var isConfigured = match != 0 || !row.Configured.IsEmpty || !row.Configurations.IsEmpty;
            var notes = row.Configured.IsEmpty ? TwinNotes.Nothing : TwinNotes.Read(row.Configured.ToArray(), isOfModule: false);
            var isOfDeployments = (match & inForce.EdgeBits) != 0 || notes.Deployments is not null || (row.IsOfEdge && !row.Configurations.IsEmpty);
            device = new Device(deviceId, isConfigured ? row.Twin() : null, inForce.AreOfModules ? row.Tags.ToArray() : [], notes, inForce.PlanOfDevice(match), isOfDeployments);
            return true;
        });
        return device;
    }

    /// <param name="Twin">Null: no configuration reaches it, or did.</param>
    /// <param name="IsOfDeployments">Its modules are looked at with it: a deployment reaches it, or may have.</param>
    private sealed record Device(string Id, TwinRecord? Twin, byte[] Tags, TwinNotes Notes, DevicePlan Plan, bool IsOfDeployments);
}
