using Sallyport.Protocol.Twins;

namespace Sallyport.Hub.Configurations;

/// <summary>What a twin shows of a configuration that reaches it.</summary>
/// <param name="IsApplied">Something that it says is in force; else others of a higher priority, or without a deployment beneath it, leave nothing of it.</param>
/// <param name="Problem">Why what it says could not be set; null when it was, or need not be.</param>
internal sealed record ConfigurationStatus(string Id, bool IsApplied, string? Problem = null)
{
    /// <summary>The same, but that it could not be set.</summary>
    public ConfigurationStatus Failed(string problem) => IsApplied ? new ConfigurationStatus(Id, IsApplied: false, problem) : this;
}

/// <summary>What some configurations together set in a twin. Immutable.</summary>
/// <param name="Settings">None within another.</param>
internal sealed record TwinPlan(IReadOnlyList<Setting> Settings, IReadOnlyList<ConfigurationStatus> Statuses)
{
    public static readonly TwinPlan Nothing = new([], []);

    /// <param name="configurations">The weakest first; of devices, or of modules.</param>
    public static TwinPlan Of(IReadOnlyList<ConfigurationInForce> configurations)
    {
        var overlay = new SettingsOverlay();
        foreach (var one in configurations)
            overlay.Add(one.Id, one.Content.Settings[""]);
        return new TwinPlan(overlay.Settings, [.. configurations.Select(one => new ConfigurationStatus(one.Id, one.Content.Settings[""].Count == 0 || overlay.Owners.Contains(one.Id)))]);
    }
}

/// <summary>What some configurations together make of a device, and, when it is an edge device, of its modules. Immutable.</summary>
/// <param name="Device">With the statuses of deployments.</param>
/// <param name="Edge">Null: no deployment reaches it.</param>
internal sealed record DevicePlan(TwinPlan Device, EdgePlan? Edge)
{
    /// <param name="configurations">The weakest first.</param>
    public static DevicePlan Of(IReadOnlyList<ConfigurationInForce> configurations)
    {
        var device = TwinPlan.Of([.. configurations.Where(one => one.Content.Kind is ContentKind.Device)]);
        var edge = EdgePlan.Of([.. configurations.Where(one => one.Content.Kind is ContentKind.Edge)]);
        return new DevicePlan(edge is null ? device : device with { Statuses = [.. device.Statuses, .. edge.Statuses] }, edge);
    }
}

/// <summary>
/// What deployments make of an edge device: the base of the highest priority, and the layers of a higher priority than its. Without a base nothing is in force, and the modules stay as
/// they are (IoT Edge: "Understand IoT Edge automatic deployments"). Immutable.
/// </summary>
/// <param name="Key">Which deployments are in force; null without a base.</param>
/// <param name="Statuses">Of all that reach the device.</param>
/// <param name="Modules">By their ids, those that are named.</param>
internal sealed record EdgePlan(string? Key, IReadOnlyList<ConfigurationStatus> Statuses, IReadOnlyDictionary<string, TwinPlan> Modules)
{
    /// <param name="deployments">The weakest first.</param>
    public static EdgePlan? Of(IReadOnlyList<ConfigurationInForce> deployments)
    {
        if (deployments.Count == 0)
            return null;

        var inForce = deployments.SkipWhile((one, index) => !one.Content.IsBase || deployments.Skip(index + 1).Any(higher => higher.Content.IsBase)).ToList();
        List<ConfigurationStatus> statuses = [.. deployments.Select(one => new ConfigurationStatus(one.Id, inForce.Contains(one)))];
        var modules = new Dictionary<string, TwinPlan>(StringComparer.Ordinal);
        foreach (var name in inForce.SelectMany(one => one.Content.Settings.Keys).Distinct(StringComparer.Ordinal))
        {
            var overlay = new SettingsOverlay();
            List<ConfigurationInForce> naming = [.. inForce.Where(one => one.Content.Settings.ContainsKey(name))];
            foreach (var one in naming)
                overlay.Add(one.Id, one.Content.Settings[name]);
            var shown = name == ConfigurationContent.EdgeAgent ? statuses : [.. naming.Select(one => new ConfigurationStatus(one.Id, IsApplied: true))];
            modules.Add(name, new TwinPlan(overlay.Settings, shown));
        }

        return new EdgePlan(inForce.Count == 0 ? null : string.Join('+', inForce.Select(one => one.Number)), statuses, modules);
    }
}

/// <summary>Puts settings over one another: of the same place the stronger one is in force, and of two places in one another both. Owned by who makes it.</summary>
internal sealed class SettingsOverlay
{
    private readonly List<(Setting Setting, List<string> Owners)> _entries = [];

    public IReadOnlyList<Setting> Settings => [.. _entries.Select(entry => entry.Setting)];

    /// <summary>Of whom something is in force.</summary>
    public IReadOnlySet<string> Owners => _entries.SelectMany(entry => entry.Owners).ToHashSet(StringComparer.Ordinal);

    /// <summary>Adds what is stronger than all there is.</summary>
    public void Add(string owner, IReadOnlyList<Setting> settings)
    {
        foreach (var setting in settings)
        {
            _entries.RemoveAll(entry => entry.Setting.IsWithin(setting));
            var at = _entries.FindIndex(entry => setting.IsWithin(entry.Setting));
            if (at < 0)
            {
                _entries.Add((setting, [owner]));
                continue;
            }

            var (holder, owners) = _entries[at];
            var value = TwinPaths.With(holder.Value, setting.Names.AsSpan(holder.Names.Length), setting.Value);
            _entries[at] = (holder with { Value = value }, [.. owners, owner]);
        }
    }
}
