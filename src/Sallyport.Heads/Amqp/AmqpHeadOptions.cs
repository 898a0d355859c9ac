namespace Sallyport.Heads.Amqp;

/// <summary>The bounds of the AMQP head. IoT Hub's and Event Hubs' where they document one; those of the protocol are <see cref="Protocol.Amqp.Endpoints.AmqpOptions"/>.</summary>
public sealed record AmqpHeadOptions
{
    /// <summary>From accept to the first credential that is accepted; who takes longer is cut off. Default 10 s.</summary>
    public TimeSpan ConnectTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a device's first link may be kept back when the device connects too often; longer is refused. Default 5 s.</summary>
    public TimeSpan LongestConnectDelay { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a connection may take for what was written to it to leave before it is cut. Default 2 min: a reader may pause.</summary>
    public TimeSpan StallTimeout { get; init; } = TimeSpan.FromMinutes(2);

    /// <summary>How long telemetry of a device over its limit is held before it is rejected. Default 20 s.</summary>
    public TimeSpan LongestThrottle { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>How long the peer may take to answer close. Default 5 s.</summary>
    public TimeSpan CloseTimeout { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>How long a peer over TLS may take to close its end after the hub has closed its own. Default 2 s.</summary>
    public TimeSpan GoodbyeTimeout { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>How long an authenticated connection may have neither a device nor a reader. Default 5 min (Event Hubs).</summary>
    public TimeSpan UnusedTimeout { get; init; } = TimeSpan.FromMinutes(5);

    /// <summary>Deliveries of one telemetry link that may be on their way or not acknowledged. Default 1,000.</summary>
    public uint TelemetryCredit { get; init; } = 1000;

    /// <summary>Telemetry of one link that may wait, in bytes, before its connection is read no further. Default 1 MiB.</summary>
    public int MaxHeldBytes { get; init; } = 1024 * 1024;

    /// <summary>Bytes written at once; also how far readers are served ahead of the socket. Default 64 KiB: four TLS records.</summary>
    public int WriteBytes { get; init; } = 64 * 1024;

    /// <summary>Answers that a peer may leave unread, in bytes; beyond it nothing more is taken from it until it reads, and <see cref="StallTimeout"/> cuts it. Default 1 MiB.</summary>
    public int MaxUnreadBytes { get; init; } = 1024 * 1024;

    /// <summary>Answers about twins and desired properties that may wait for the credit of all devices of a connection together, in bytes; the device beyond it is closed. Default 16 MiB.</summary>
    public int MaxWaitingTwinBytes { get; init; } = 16 * 1024 * 1024;

    /// <summary>Commands and feedback that wait to be sent on a connection, of all its links together, in bytes; beyond it nothing more is taken from the queues. Default 4 MiB.</summary>
    public int MaxTakenBytes { get; init; } = 4 * 1024 * 1024;

    /// <summary>Sessions of a connection before anybody is authenticated. Default 1,024: the Java client begins one for each pooled device first.</summary>
    public int UnauthenticatedSessions { get; init; } = 1024;

    /// <summary>Links of a connection before anybody is authenticated. Default 16: two are needed.</summary>
    public int UnauthenticatedLinks { get; init; } = 16;

    /// <summary>Readers of one partition and consumer group without an epoch. Default 100 (Event Hubs: 5).</summary>
    public int MaxReaders { get; init; } = 100;
}
