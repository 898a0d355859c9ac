namespace Sallyport.Hub.Limits;

/// <summary>
/// How much a device, and all of them together, may do a second; 0 is no limit. Over it MQTT is not read any further (its PUBACKs wait;
/// closed after 20 s), HTTPS answers 429 with <c>Retry-After</c>. The defaults protect a hub from a device that runs wild; they are far above
/// what IoT Hub's largest unit (S3) gives, because nothing is paid for by the message here.
/// </summary>
public sealed record QuotaOptions
{
    /// <summary>What may come at once, as seconds of each limit. Default 10 s: IoT Hub lets bursts pass "for a short while".</summary>
    public TimeSpan Burst { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>MQTT connections of one device or module, per second. Default 2: a device that comes back oftener runs in a circle. Ours.</summary>
    public long DeviceConnectionsPerSecond { get; init; } = 2;

    /// <summary>Telemetry messages of one device or module, per second. Default 10,000: more than one connection sends here (measured: 5,000). Ours.</summary>
    public long DeviceMessagesPerSecond { get; init; } = 10_000;

    /// <summary>Bytes of telemetry of one device or module, as stored, per second. Default 32 MiB: 128 of the largest messages. Ours.</summary>
    public long DeviceBytesPerSecond { get; init; } = 32L << 20;

    /// <summary>Registry operations on one device, per second. Default 100: IoT Hub's S3 gives 83 to a whole hub.</summary>
    public long DeviceRegistryOperationsPerSecond { get; init; } = 100;

    /// <summary>MQTT connections in all, per second. Default 6,000: IoT Hub's S3 unit.</summary>
    public long ConnectionsPerSecond { get; init; } = 6_000;

    /// <summary>Telemetry messages in all, per second. Default 1,000,000: four times what two processors take in (IoT Hub's S3 unit: 6,000).</summary>
    public long MessagesPerSecond { get; init; } = 1_000_000;

    /// <summary>Bytes of telemetry in all, as stored, per second. Default 1 GiB: what a fast disk writes. Ours.</summary>
    public long BytesPerSecond { get; init; } = 1L << 30;

    /// <summary>Registry operations in all, per second; each item of a bulk request is one. Default 10,000 (IoT Hub's S3 unit: 83).</summary>
    public long RegistryOperationsPerSecond { get; init; } = 10_000;

    /// <summary>Devices whose use is remembered. Default 32,768: about 10 MB. At the bound the half not asked for lately begins anew.</summary>
    public int MaxTracked { get; init; } = 32_768;

    /// <summary>Every value that is out of its range, in a sentence each.</summary>
    public IEnumerable<string> Validate()
    {
        if (Burst < TimeSpan.FromSeconds(1) || Burst > TimeSpan.FromHours(1))
            yield return "Burst must be between 1 s and 1 h";
        if (new[] { DeviceConnectionsPerSecond, DeviceMessagesPerSecond, DeviceBytesPerSecond, DeviceRegistryOperationsPerSecond, ConnectionsPerSecond, MessagesPerSecond, BytesPerSecond, RegistryOperationsPerSecond }.Any(limit => limit < 0))
            yield return "a limit per second must not be negative";
        if (MaxTracked < 2)
            yield return "MaxTracked must be at least 2";
    }
}
