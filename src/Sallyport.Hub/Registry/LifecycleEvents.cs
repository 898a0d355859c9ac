using Sallyport.Hub.Telemetry;
using Sallyport.Hub.Twins;
using Sallyport.Storage.EventLog;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Registry;

/// <summary>
/// The events that say that an identity was created or deleted (IoT Hub: non-telemetry events, <c>deviceLifecycleEvents</c>); the body is the
/// identity's twin. Immutable.
/// </summary>
internal sealed class LifecycleEvents(ChangeEvents events)
{
    /// <summary>The event for the outbox; null when the change neither creates nor deletes.</summary>
    /// <param name="twin">Of the identity.</param>
    public OutboxRecord? Of(IdentityDecision decision, TwinRecord twin, string correlationId)
    {
        if (decision is { Before: not null, After: not null })
            return null;

        var record = decision.After ?? decision.Before!;
        return events.Of(
            decision.Identity, StreamId.Changes, SourceKind.DeviceLifecycle, "deviceLifecycleEvents",
            $"{(decision.After is null ? "delete" : "create")}{(decision.Identity.IsModule ? "Module" : "Device")}Identity",
            decision.Identity.IsModule ? "moduleLifecycleNotification" : "deviceLifecycleNotification",
            correlationId, TwinJson.Encode(new TwinState(record, IsConnected: false, twin)));
    }
}
