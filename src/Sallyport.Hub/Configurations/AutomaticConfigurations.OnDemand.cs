using Sallyport.Hub.Audit;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Twins;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Configurations;

/// <content>Content that is set on one device at once, and then is nobody's.</content>
public sealed partial class AutomaticConfigurations
{
    /// <summary>
    /// Sets what a content says: in a device its paths; in an edge device the desired properties of the modules that it names, which are made where they are missing. All of it is on disk when
    /// this completes, or nothing. A configuration that says something else of the same place sets that again.
    /// </summary>
    /// <param name="body">JSON: the content.</param>
    /// <exception cref="HubException">400; 404: there is no such device; 413: it has as many modules as it may; 429; 503: the audit trail is not durable.</exception>
    public async ValueTask ApplyAsync(Actor actor, Identity device, ReadOnlyMemory<byte> body, CancellationToken cancel)
    {
        const string act = "configuration apply";
        _quotas.TakeRegistryOperations(device.DeviceId);
        ConfigurationContent content;
        try
        {
            content = ConfigurationDraft.ReadContent(body);
            if (content.Kind is ContentKind.Module)
                throw new HubException(HubErrors.ArgumentInvalid, "content: expected deviceContent or modulesContent; moduleContent is for automatic configurations of modules");
            _metadata.Read(tx => Decide(tx, device, content));
        }
        catch (HubException refusal)
        {
            _audit.Note(actor.Refused(act, device.DeviceId, refusal.Message));
            throw;
        }

        await _audit.RequireAsync(actor.Done(act, device.DeviceId), cancel).ConfigureAwait(false);
        try
        {
            var done = await _metadata.WriteAsync(tx => Apply(tx, actor, device, content), done => _twins.Offer(done.Changed), cancel).ConfigureAwait(false);
            done.Made.ForEach(_registry.Announce);
        }
        catch (Exception e)
        {
            _audit.Note(actor.Refused(act, device.DeviceId, e is HubException ? e.Message : $"not stored: {e.GetType().Name}"));
            throw;
        }
    }

    private IdentityRecord Decide(MetadataTransaction tx, Identity device, ConfigurationContent content)
    {
        var record = IdentityRules.Require(_metadata.Identities, tx, device);
        if (content.Kind is ContentKind.Edge && !record.IotEdge)
            throw new HubException(HubErrors.ArgumentInvalid, $"modulesContent: {device} is no edge device");

        var missing = content.Kind is ContentKind.Edge ? content.Settings.Keys.Count(name => _metadata.Identities.Find(tx, device.DeviceId, name) is null) : 0;
        if (missing > 0 && _metadata.Identities.ListModules(tx, device.DeviceId).Count + missing > DeviceRegistry.MaxModulesPerDevice)
            throw new HubException(HubErrors.TooManyModules, $"a device has at most {DeviceRegistry.MaxModulesPerDevice} modules");
        return record;
    }

    private (List<ConfiguredTwin> Changed, List<IdentityDecision> Made) Apply(MetadataTransaction tx, Actor actor, Identity device, ConfigurationContent content)
    {
        Decide(tx, device, content);
        List<ConfiguredTwin> changed = [];
        List<IdentityDecision> made = [];
        foreach (var (module, settings) in content.Settings)
        {
            var identity = module.Length == 0 ? device : Identity.Of(device.DeviceId, module);
            if (identity.IsModule && _metadata.Identities.Find(tx, identity.DeviceId, module) is null)
                made.Add(_registry.MakeModule(tx, identity, actor.CorrelationId));

            var twin = _metadata.Twins.Find(tx, identity.DeviceId, identity.ModuleId)!;
            var root = TwinSection.Decode(twin.Desired.Json);
            var after = settings.Aggregate(root, (desired, setting) => TwinPaths.With(desired, setting.Names, setting.Value));
            if (TwinPaths.Difference(root, after) is { } patch)
                changed.Add(_twins.Configure(tx, identity, twin, patch, twin.Configurations, twin.Configured, actor.CorrelationId));
        }

        return (changed, made);
    }
}
