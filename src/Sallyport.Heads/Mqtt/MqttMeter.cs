using System.Diagnostics.Metrics;

namespace Sallyport.Heads.Mqtt;

/// <summary>The meter <c>Sallyport.Mqtt</c>. Messages are counted per batch by <c>Sallyport.Telemetry</c>. Thread-safe.</summary>
internal static class MqttMeter
{
    public const string Name = "Sallyport.Mqtt";

    private static readonly Meter Meter = new(Name);

    private static readonly UpDownCounter<long> Open = Meter.CreateUpDownCounter<long>(
        "sallyport.mqtt.connections", "{connection}", "Connections that are open, before and after CONNACK.");

    private static readonly Counter<long> Connects = Meter.CreateCounter<long>(
        "sallyport.mqtt.connects", "{connect}", "CONNECT packets answered, by CONNACK code.");

    private static readonly Counter<long> Closes = Meter.CreateCounter<long>(
        "sallyport.mqtt.closes", "{connection}", "Connections that the hub closed, by error code.");

    private static readonly Counter<long> Slowed = Meter.CreateCounter<long>(
        "sallyport.mqtt.takeovers.slowed", "{connection}", "Connections held back because their identity is taken over again and again.");

    public static void TakeOverSlowed() => Slowed.Add(1);

    public static void Opened() => Open.Add(1);

    public static void Ended() => Open.Add(-1);

    public static void Answered(Protocol.Mqtt.MqttConnectCode code) => Connects.Add(1, KeyValuePair.Create<string, object?>("code", (int)code));

    public static void Closed(int errorCode) => Closes.Add(1, KeyValuePair.Create<string, object?>("error", errorCode));
}
