using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Twins;
using Sallyport.Storage.EventLog;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Twins;

/// <summary>The events that say what of a twin was changed (IoT Hub: non-telemetry events, <c>twinChangeEvents</c>). Immutable; thread-safe.</summary>
internal sealed class TwinEvents(ChangeEvents events)
{
    /// <summary>The device reported.</summary>
    /// <param name="stream">Where it goes: what a device in quarantine reports, only its view reads.</param>
    public OutboxRecord Reported(Identity identity, StreamId stream, long version, TwinSection reported, TwinNode patch, string? correlationId = null) =>
        Updated(identity, stream, correlationId, CompactJson.Write((version, reported, patch), static (json, told) =>
        {
            json.WriteStartObject();
            json.WriteNumber("version"u8, told.version);
            json.WriteStartObject("properties"u8);
            json.WritePropertyName("reported"u8);
            told.reported.WriteChangeTo(json, told.patch);
            json.WriteEndObject();
            json.WriteEndObject();
        }));

    /// <summary>A service merged into tags or desired properties.</summary>
    /// <param name="desired">As they are now.</param>
    public OutboxRecord Updated(Identity identity, TwinChange change, long version, TwinSection desired, string correlationId) =>
        Updated(identity, StreamId.Changes, correlationId, TwinJson.Write(1024, json =>
        {
            json.WriteStartObject();
            json.WriteNumber("version", version);
            if (change.Tags is not null)
            {
                json.WritePropertyName("tags");
                change.Tags.WriteTo(json);
            }

            if (change.Desired is not null)
            {
                json.WriteStartObject("properties");
                json.WritePropertyName("desired");
                desired.WriteChangeTo(json, change.Desired);
                json.WriteEndObject();
            }

            json.WriteEndObject();
        }));

    /// <summary>A service put something in the place of tags or desired properties: the event holds the whole twin.</summary>
    public OutboxRecord Replaced(Identity identity, TwinState state, string correlationId) =>
        events.Of(identity, StreamId.Changes, SourceKind.TwinChange, "twinChangeEvents", "replaceTwin", "twinChangeNotification", correlationId, TwinJson.Encode(state));

    private OutboxRecord Updated(Identity identity, StreamId stream, string? correlationId, byte[] body) =>
        events.Of(identity, stream, SourceKind.TwinChange, "twinChangeEvents", "updateTwin", "twinChangeNotification", correlationId, body);
}
