namespace Sallyport.Heads.Mqtt;

/// <summary>The bounds of the MQTT head. IoT Hub's where it documents one.</summary>
public sealed record MqttOptions
{
    /// <summary>From accept to CONNACK; who takes longer is cut off. Default 10 s.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long CONNACK may be kept back from a device that connects too often; who would wait longer is refused (CONNACK 3). Default 5 s: half of <see cref="ConnectTimeout"/>.</summary>
    public TimeSpan LongestConnectDelay { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>The longest silence whatever keep-alive the client asked for, also with keep-alive 0. Default 1,767 s (IoT Hub: 29.45 min).</summary>
    public TimeSpan LongestSilence { get; init; } = TimeSpan.FromSeconds(1767);

    /// <summary>How long a connection may be held back (no room in the log, disk full, peer does not read its acknowledgements) before it is closed. Default 20 s.</summary>
    public TimeSpan StallTimeout { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>How long a connection that ends waits for its last acknowledgements to be on disk and sent. Default 5 s.</summary>
    public TimeSpan DrainTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a peer over TLS may take to close its end after the hub has closed its own, and what it still sends is dropped. Default 2 s.</summary>
    public TimeSpan GoodbyeTimeout { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>Messages of one connection that may wait for their PUBACK; beyond it (and what one read brought) reading stops. Default 1,024.</summary>
    public int MaxUnacknowledged { get; init; } = 1024;

    /// <summary>Answers other than PUBACK that a peer may leave unread, in bytes; beyond it the connection is closed. Default 64 KiB.</summary>
    public int MaxUnreadBytes { get; init; } = 64 * 1024;

    /// <summary>What the hub publishes to a device that the device may leave unread, in bytes; beyond it nothing more is taken for it until it reads. Default 1 MiB: eight of the largest method requests.</summary>
    public int MaxPublishedBytes { get; init; } = 1024 * 1024;

    /// <summary>Commands that a device may have without a PUBACK; beyond it the next ones wait in their queue. Default 16.</summary>
    public int MaxCommands { get; init; } = 16;
}
