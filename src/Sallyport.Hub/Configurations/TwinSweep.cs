using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Configurations;

/// <summary>A walk through all twins, in the order of their ids, devices first. Immutable.</summary>
internal sealed record TwinSweep
{
    private readonly IMetadata _metadata;
    private readonly ConfigurationsInForce _inForce;
    private readonly bool _ofModules;
    private readonly (string DeviceId, string ModuleId)? _after;

    private TwinSweep(IMetadata metadata, ConfigurationsInForce inForce, bool ofModules, (string DeviceId, string ModuleId)? after)
    {
        _metadata = metadata;
        _inForce = inForce;
        _ofModules = ofModules;
        _after = after;
    }

    /// <returns>Null: no configuration is there, and nothing is left of one.</returns>
    public static TwinSweep? Of(IMetadata metadata, ConfigurationsInForce inForce) =>
        inForce.All.Count > 0 || metadata.Read(metadata.Configurations.CountTwins).Count > 0 ? new TwinSweep(metadata, inForce, ofModules: false, null) : null;

    /// <summary>Goes through a page.</summary>
    /// <returns>Those that may have to be changed, and where to go on; null when that was all.</returns>
    public (IReadOnlyCollection<Identity> Found, TwinSweep? Next) Next(Convergence convergence, int rows)
    {
        List<Identity> found = [];
        (string DeviceId, string ModuleId)? last = null;
        var seen = 0;
        _metadata.Read(tx =>
        {
            _metadata.Twins.Scan(tx, (_ofModules ? _inForce.ModuleScan : ConfigurationsInForce.DeviceScan) with { After = _after }, (in TwinRow row) =>
            {
                last = (row.DeviceId, row.ModuleId ?? "");
                if (MayConcern(convergence, row) && Identity.TryCreate(row.DeviceId, row.ModuleId, out var identity))
                    found.Add(identity);
                return ++seen < rows;
            });
            return 0;
        });

        if (seen == rows)
            return (found, new TwinSweep(_metadata, _inForce, _ofModules, last));
        return (found, _ofModules ? null : new TwinSweep(_metadata, _inForce, ofModules: true, null));
    }

    /// <summary>What is stored of one twin is none: whoever goes through many goes on.</summary>
    public static bool IsOfTheTwin(Exception broken) => broken is FormatException or System.Text.Json.JsonException or InvalidOperationException or KeyNotFoundException;

    // One that cannot be read is looked at, and found to be so, by itself.
    private bool MayConcern(Convergence convergence, in TwinRow row)
    {
        try
        {
            return _ofModules ? convergence.ModuleMayConcern(row) : convergence.MayConcern(row);
        }
        catch (Exception broken) when (IsOfTheTwin(broken))
        {
            return true;
        }
    }
}
