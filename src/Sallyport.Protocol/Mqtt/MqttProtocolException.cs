using Sallyport.Protocol.Errors;

namespace Sallyport.Protocol.Mqtt;

/// <summary>
/// The peer broke MQTT's or IoT Hub's rules, or was refused: its connection ends [MQTT-4.8.0-1]. Caught in one place per connection.
/// </summary>
/// <param name="error">The entry of the catalogue.</param>
/// <param name="reason">What happened, for log and audit; never goes onto the wire and holds no secret.</param>
/// <param name="connectCode">Set when a CONNECT is refused with a CONNACK; null when the connection just ends.</param>
public sealed class MqttProtocolException(HubError error, string reason, MqttConnectCode? connectCode = null) : Exception(reason)
{
    /// <summary>A packet that does not follow the specification.</summary>
    public MqttProtocolException(string reason)
        : this(HubErrors.FormatError, reason)
    {
    }

    public HubError Error { get; } = error;

    public MqttConnectCode? ConnectCode { get; } = connectCode;
}
