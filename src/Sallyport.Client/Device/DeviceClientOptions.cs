namespace Sallyport.Client.Device;

/// <summary>How a device reaches its hub.</summary>
public sealed record DeviceClientOptions
{
    /// <summary>What the device speaks.</summary>
    public DeviceTransport Transport { get; init; } = DeviceTransport.Mqtt;

    /// <summary>The hub's port for <see cref="Transport"/> over TLS; null for the usual one, 8883 (MQTT) or 5671 (AMQP).</summary>
    public int? Port { get; init; }

    /// <summary>PEM file with the only roots to trust, as written by <c>sallyport ca export</c>; null for the system's roots.</summary>
    public string? CaFile { get; init; }

    /// <summary>The DTDL model that the device has; null for none.</summary>
    public string? ModelId { get; init; }

    /// <summary>How long each token lives. When 15 % of it is left there is a new one: over MQTT the client reconnects
    /// with it, over AMQP it goes over the same connection. 5 minutes to 1 day; SDKs use 1 hour.</summary>
    public TimeSpan TokenLifetime { get; init; } = TimeSpan.FromHours(1);

    /// <summary>How many messages may wait for the hub's acknowledgement, and how many more for their turn. 1 to 32,767.</summary>
    public int MaxInFlight { get; init; } = 100;

    /// <summary>
    /// MQTT: a silent connection is probed this often. AMQP: announced as idle time-out; a hub silent for twice as long is taken for dead. Whole seconds, up to 1,177 s, which is what IoT Hub honours.
    /// </summary>
    public TimeSpan KeepAlive { get; init; } = TimeSpan.FromMinutes(4);

    /// <summary>The wait before the first attempt to connect again; doubles each time, less up to half by chance.</summary>
    public TimeSpan ReconnectMin { get; init; } = TimeSpan.FromSeconds(1);

    public TimeSpan ReconnectMax { get; init; } = TimeSpan.FromSeconds(60);

    public TimeProvider Time { get; init; } = TimeProvider.System;
}

/// <summary>A protocol over which devices connect.</summary>
public enum DeviceTransport
{
    Mqtt,
    Amqp,
}
