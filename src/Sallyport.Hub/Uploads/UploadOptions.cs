namespace Sallyport.Hub.Uploads;

/// <summary>What devices may upload, how much of it there is room for, and how services are told. Immutable.</summary>
public sealed record UploadOptions
{
    /// <summary>Blocks of one upload. Azure's bound is 50,000; ours is 40 GB in the blocks of 4 MB that SDKs make.</summary>
    public const int MaxBlocks = 10_000;

    /// <summary>Uploads of one device that are reported and remembered until their URI would have ended, for one that is reported again; the oldest go.</summary>
    public const int MaxClosed = 100;

    /// <summary>What each block and file counts beside its own bytes, for what its name and entry take on the disk.</summary>
    public const int OverheadBytes = 4096;

    /// <summary>Uploads of one device that are under way; another one is refused with 403006. Default 10: IoT Hub's.</summary>
    public int MaxActive { get; init; } = 10;

    /// <summary>How long a URI that was handed out can be written to. Default 1 h, at most 24 h: IoT Hub's.</summary>
    public TimeSpan UriLifetime { get; init; } = TimeSpan.FromHours(1);

    /// <summary>Bytes of one file; a larger one is refused with 413. Default 1 GiB. Ours.</summary>
    public long MaxFileBytes { get; init; } = 1L << 30;

    /// <summary>Bytes of one device, under way or done; at the bound its bodies are refused with 507. Default 2 GiB. Ours.</summary>
    public long MaxDeviceBytes { get; init; } = 2L << 30;

    /// <summary>Bytes of all devices; at the bound bodies are refused with 507. Default 20 GiB. Ours.</summary>
    public long MaxBytes { get; init; } = 20L << 30;

    /// <summary>Bytes of the disk that uploads leave free; at the bound bodies are refused with 507. Default 1 GiB: more than the event log leaves, so that its own bound comes later.</summary>
    public long ReserveBytes { get; init; } = 1L << 30;

    /// <summary>Bodies that are received at a time; others wait <see cref="BodyWait"/> for their turn and are then refused with 503. Default 256, of 64 KiB memory each. Ours.</summary>
    public int MaxBodies { get; init; } = 256;

    /// <summary>Of one device. Default 20: what the Node SDK sends at a time.</summary>
    public int MaxDeviceBodies { get; init; } = 20;

    /// <summary>How long a body waits for its turn. Default 30 s. Ours.</summary>
    public TimeSpan BodyWait { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>Whether services are told of uploads that are done. Default true; IoT Hub's is false.</summary>
    public bool Notify { get; init; } = true;

    /// <summary>How long a notification waits for a receiver. Default 1 h: IoT Hub's.</summary>
    public TimeSpan NotificationTimeToLive { get; init; } = TimeSpan.FromHours(1);

    /// <summary>How long a notification is one receiver's. Default 60 s: IoT Hub's.</summary>
    public TimeSpan NotificationLockDuration { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>How often a notification may be abandoned; the last time it is dropped. Default 100: IoT Hub's.</summary>
    public int NotificationMaxDeliveryCount { get; init; } = 100;

    /// <summary>Notifications that are kept; at the bound the oldest go. Default 10,000: about 10 MB. Ours.</summary>
    public int MaxNotifications { get; init; } = 10_000;

    /// <summary>Every value that is out of its range, in a sentence each.</summary>
    public IEnumerable<string> Validate()
    {
        if (MaxActive is < 1 or > 1000)
            yield return "MaxActive must be 1 to 1000";
        if (UriLifetime < TimeSpan.FromMinutes(1) || UriLifetime > TimeSpan.FromDays(1))
            yield return "UriLifetime must be 1 min to 24 h";
        if (MaxFileBytes < 1 || MaxDeviceBytes < MaxFileBytes || MaxBytes < MaxDeviceBytes)
            yield return "the bytes of a file must be at most those of a device, and those at most those of all devices";
        if (ReserveBytes < 0)
            yield return "ReserveBytes must not be negative";
        if (MaxDeviceBodies < 1 || MaxBodies < MaxDeviceBodies)
            yield return "bodies of a device must be 1 at least, and at most those of all devices";
        if (NotificationTimeToLive < TimeSpan.FromMinutes(1) || NotificationTimeToLive > TimeSpan.FromDays(2))
            yield return "NotificationTimeToLive must be 1 min to 2 d";
        if (NotificationLockDuration < TimeSpan.FromSeconds(5) || NotificationLockDuration > TimeSpan.FromSeconds(300))
            yield return "NotificationLockDuration must be 5 s to 300 s";
        if (NotificationMaxDeliveryCount is < 1 or > 100)
            yield return "NotificationMaxDeliveryCount must be 1 to 100";
    }
}
