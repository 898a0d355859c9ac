using System.Text;
using Sallyport.Hub.Access;
using Sallyport.Hub.Physical;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Identities;

namespace Sallyport.Hub.Telemetry;

/// <summary>
/// What the hub stamps on the messages of one session: partition, and the annotations of identity, generation and
/// authentication, encoded once. Only the hub sets them (iot-hub developer guide, "anti-spoofing properties"). Immutable.
/// </summary>
public sealed class SessionStamp
{
    /// <summary>DTDL allows a model id 2,048 characters; a longer one is not stamped.</summary>
    public const int MaxModelIdBytes = 2048;

    private SessionStamp(string deviceId, int partition, byte[] annotations, int annotationElements)
    {
        DeviceId = deviceId;
        Lane = QuarantineLine.LaneOf(deviceId);
        Partition = partition;
        Annotations = annotations;
        AnnotationElements = annotationElements;
    }

    public string DeviceId { get; }

    public int Partition { get; }

    /// <summary>See <see cref="QuarantineLine.LaneOf"/>.</summary>
    internal int Lane { get; }

    /// <summary>AMQP-encoded keys and values that follow the fixed part of <see cref="HubAnnotations"/>.</summary>
    public ReadOnlyMemory<byte> Annotations { get; }

    /// <summary>How many keys and values <see cref="Annotations"/> holds.</summary>
    public int AnnotationElements { get; }

    /// <param name="modelId">The <c>model-id</c> given at connect; null when none.</param>
    internal static SessionStamp Of(int partition, Identity identity, Principal principal, string generationId, string? modelId)
    {
        var pairs = new List<(string Key, string Value)>(6) { ("iothub-connection-device-id", identity.DeviceId) };
        if (identity.ModuleId is { } moduleId)
            pairs.Add(("iothub-connection-module-id", moduleId));
        pairs.Add(("iothub-connection-auth-method", principal.AuthMethod));
        pairs.Add(("iothub-connection-auth-generation-id", generationId));
        pairs.Add(("iothub-message-source", "Telemetry"));
        if (modelId is { Length: > 0 } && Encoding.UTF8.GetByteCount(modelId) <= MaxModelIdBytes)
            pairs.Add(("dt-dataschema", modelId));

        var encoded = new byte[pairs.Sum(p => Encoding.UTF8.GetByteCount(p.Key) + Encoding.UTF8.GetByteCount(p.Value) + (2 * AmqpWriter.VariableOverhead))];
        var writer = new AmqpWriter(encoded);
        foreach (var (key, value) in pairs)
        {
            writer.Symbol(Encoding.UTF8.GetBytes(key));
            writer.String(Encoding.UTF8.GetBytes(value));
        }

        return new SessionStamp(identity.DeviceId, partition, encoded[..writer.Written], pairs.Count * 2);
    }
}
