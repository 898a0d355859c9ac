namespace Sallyport.Client.Events;

/// <summary>How events are read.</summary>
public sealed record EventConsumerOptions
{
    /// <summary>The consumer group in which partitions are read.</summary>
    public string ConsumerGroup { get; init; } = "$Default";

    /// <summary>The hub's port for AMQP over TLS; null for what the connection string says, else 5671.</summary>
    public int? Port { get; init; }

    /// <summary>IP address to connect to instead of those of the hub's name, which the hub still has to prove; null resolves the name.</summary>
    public string? Address { get; init; }

    /// <summary>PEM file with the only roots to trust, as written by <c>sallyport ca export</c>; null for the system's roots.</summary>
    public string? CaFile { get; init; }

    /// <summary>How long each token lives; renewed on the same connection when 15 % of it is left. 5 minutes to 1 day.</summary>
    public TimeSpan TokenLifetime { get; init; } = TimeSpan.FromHours(1);

    /// <summary>
    /// Events of a partition that the hub may send ahead of who reads them; at it the hub waits. Each may have up to 256 KB. 1 to 10,000; default 300 (Event Hubs).
    /// </summary>
    public int Prefetch { get; init; } = 300;

    /// <summary>
    /// The owner level (epoch): the consumer wants each partition that it reads for itself, and ends readers with a lower one or none. Null: it shares.
    /// </summary>
    public long? OwnerLevel { get; init; }

    /// <summary>Announced; a hub silent for twice as long is taken for dead.</summary>
    public TimeSpan IdleTimeOut { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>The wait before the first attempt to connect again; doubles each time, less up to half by chance.</summary>
    public TimeSpan ReconnectMin { get; init; } = TimeSpan.FromSeconds(1);

    public TimeSpan ReconnectMax { get; init; } = TimeSpan.FromSeconds(60);

    public TimeProvider Time { get; init; } = TimeProvider.System;
}
