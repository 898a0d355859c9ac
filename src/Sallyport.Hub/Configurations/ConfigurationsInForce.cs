using System.Collections.Concurrent;
using Sallyport.Hub.Access;
using Sallyport.Hub.Queries;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Queries;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Configurations;

/// <summary>
/// All configurations as they are at one time: which of them reach a twin, and what they make of it. Immutable but for what it remembers; thread-safe.
/// </summary>
internal sealed class ConfigurationsInForce
{
    // Of each kind; at the bound all are forgotten: what they are made of is at hand.
    internal const int MaxPlans = 1000;

    private readonly IReadOnlyList<ConfigurationInForce> _ofDevices, _ofModules;
    private readonly RowValues _deviceValues, _moduleValues;
    private readonly int _deviceSlots, _moduleSlots;
    private readonly ConcurrentDictionary<UInt128, DevicePlan> _devicePlans = new();
    private readonly ConcurrentDictionary<UInt128, TwinPlan> _modulePlans = new();

    private ConfigurationsInForce(IReadOnlyList<ConfigurationInForce> all, List<QueryPath> devicePaths, List<QueryPath> modulePaths, TwinFields fields)
    {
        All = all;
        _ofDevices = [.. all.Where(one => one.Content.Kind is not ContentKind.Module)];
        _ofModules = [.. all.Where(one => one.Content.Kind is ContentKind.Module)];
        (_deviceSlots, _moduleSlots) = (devicePaths.Count, modulePaths.Count);
        _deviceValues = new RowValues(devicePaths, fields);
        _moduleValues = new RowValues(modulePaths, fields);
        EdgeBits = all.Where(one => one.Content.Kind is ContentKind.Edge).Aggregate(UInt128.Zero, (bits, one) => bits | one.Bit);
    }

    /// <summary>The weakest first: by priority, and of the same priority the older one.</summary>
    public IReadOnlyList<ConfigurationInForce> All { get; }

    /// <summary>Those of edge deployments.</summary>
    public UInt128 EdgeBits { get; }

    /// <summary>Sets of which what they make is remembered; for tests.</summary>
    internal int RememberedPlans => _devicePlans.Count;

    public bool AreOfModules => _ofModules.Count > 0;

    /// <param name="heldBy">What the writer of one may do now.</param>
    public static ConfigurationsInForce Of(IReadOnlyList<ConfigurationRecord> records, Func<string, (Rights Rights, Scope Scope)> heldBy, TwinFields fields)
    {
        List<QueryPath> devicePaths = [], modulePaths = [];
        List<ConfigurationInForce> all = [];
        foreach (var record in records.OrderBy(record => record.Priority).ThenBy(record => record.Number))
        {
            var content = ConfigurationContent.Of(record.Content);
            var (target, isRead) = ReadStored(record.TargetCondition, content.Kind);
            var paths = content.Kind is ContentKind.Module ? modulePaths : devicePaths;
            int[] slots = [.. (target?.Slots ?? []).Select(path => SlotOf(paths, path))];
            all.Add(new ConfigurationInForce(record, content, UInt128.One << all.Count, target, slots, isRead ? ConfigurationInForce.ScopeOf(record, heldBy) : null));
        }

        return new ConfigurationsInForce(all, devicePaths, modulePaths, fields);
    }

    /// <summary>What a scan must go through so that <see cref="Match(in TwinRow)"/> may be asked of devices.</summary>
    public static TwinScan DeviceScan => new(Modules: false, WithIdentity: true, InOrder: true);

    /// <summary>The same of modules.</summary>
    public TwinScan ModuleScan => new(Modules: true, _moduleValues.NeedsIdentity, InOrder: true);

    /// <summary>Which of them reach a device.</summary>
    /// <param name="device">With its identity.</param>
    public UInt128 Match(in TwinRow device) => Match(device, _ofDevices, _deviceValues, _deviceSlots, device.Tags);

    /// <summary>Which of them reach a module.</summary>
    /// <param name="deviceTags">Of its device.</param>
    public UInt128 Match(in TwinRow module, ReadOnlySpan<byte> deviceTags) => Match(module, _ofModules, _moduleValues, _moduleSlots, deviceTags);

    public DevicePlan PlanOfDevice(UInt128 match) => Remembered(_devicePlans, match, DevicePlan.Of);

    public TwinPlan PlanOfModule(UInt128 match) => Remembered(_modulePlans, match, TwinPlan.Of);

    private T Remembered<T>(ConcurrentDictionary<UInt128, T> plans, UInt128 match, Func<IReadOnlyList<ConfigurationInForce>, T> plan)
    {
        if (plans.TryGetValue(match, out var known))
            return known;
        if (plans.Count >= MaxPlans)
            plans.Clear();
        return plans.GetOrAdd(match, plan([.. All.Where(one => (one.Bit & match) != 0)]));
    }

    private static UInt128 Match(in TwinRow row, IReadOnlyList<ConfigurationInForce> configurations, RowValues source, int slots, ReadOnlySpan<byte> deviceTags)
    {
        if (configurations.Count == 0)
            return 0;

        var values = slots == 0 ? [] : new QueryValue[slots];
        if (slots > 0)
            source.Read(row, values);

        UInt128 match = 0;
        string? deviceId = null;
        foreach (var one in configurations)
        {
            if (one.Content.Kind is ContentKind.Edge && !row.IsOfEdge)
                continue;

            var reaches = one.Scope is null
                ? TwinNotes.Shows(row.Configurations, one.Id)
                : (!one.Scope.LimitsDevices || one.Scope.CoversDevice(deviceId ??= row.DeviceId, deviceTags)) && one.Admits(values);
            if (reaches)
                match |= one.Bit;
        }

        return match;
    }

    // What was a condition when it was written, and is none for this version, keeps what it has, and reaches nothing more.
    private static (Query? Target, bool IsRead) ReadStored(string condition, ContentKind kind)
    {
        try
        {
            return (TargetCondition.Read(condition, kind), true);
        }
        catch (HubException)
        {
            return (null, false);
        }
    }

    private static int SlotOf(List<QueryPath> paths, QueryPath path)
    {
        var slot = paths.IndexOf(path);
        if (slot >= 0)
            return slot;

        paths.Add(path);
        return paths.Count - 1;
    }
}
