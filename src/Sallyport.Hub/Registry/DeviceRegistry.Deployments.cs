using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Registry;

/// <content>Modules that the content of an edge deployment names.</content>
public sealed partial class DeviceRegistry
{
    /// <summary>Makes a module of an edge device within a transaction, with keys that nobody has yet.</summary>
    /// <returns>To be given to <see cref="Announce"/> behind the commit.</returns>
    /// <exception cref="HubException">413: the device has as many modules as it may; nothing is made.</exception>
    internal IdentityDecision MakeModule(MetadataTransaction tx, Identity module, string correlationId) =>
        _rules.Apply(tx, new IdentityChange(module, PutMode.Create, new IdentityDraft { ManagedBy = "IotEdge" }, EntityTagCondition.Any), correlationId);
}
