namespace Sallyport.Hub.Commands;

/// <summary>How long and how often commands and their feedback are kept and delivered. Immutable.</summary>
public sealed record CommandOptions
{
    /// <summary>The bound of IoT Hub on a cloud-to-device message, in bytes as it is stored and sent: 64 KB.</summary>
    public const int MaxMessageBytes = 65_536;

    /// <summary>Records of one batch of feedback. IoT Hub's.</summary>
    public const int FeedbackBatchRecords = 64;

    /// <summary>Commands that may wait for one device or module; another one is refused with 403004. Default 50: IoT Hub's.</summary>
    public int MaxQueueDepth { get; init; } = 50;

    /// <summary>How long a command that was given to its device is hidden from others. Default 60 s: IoT Hub's, where it is fixed.</summary>
    public TimeSpan LockDuration { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>How long a command waits whose sender gave no expiry. Default 1 h: IoT Hub's.</summary>
    public TimeSpan DefaultTimeToLive { get; init; } = TimeSpan.FromHours(1);

    /// <summary>How often a command may be abandoned; the last time it is given up. Default 10: IoT Hub's.</summary>
    public int MaxDeliveryCount { get; init; } = 10;

    /// <summary>How long a batch of feedback waits for a receiver. Default 1 h: IoT Hub's.</summary>
    public TimeSpan FeedbackTimeToLive { get; init; } = TimeSpan.FromHours(1);

    /// <summary>How long a batch of feedback is one receiver's. Default 60 s: IoT Hub's.</summary>
    public TimeSpan FeedbackLockDuration { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>How often a batch of feedback may be abandoned; the last time it is dropped. Default 10: IoT Hub's.</summary>
    public int FeedbackMaxDeliveryCount { get; init; } = 10;

    /// <summary>How long feedback waits for its batch to fill. Default 15 s: IoT Hub's.</summary>
    public TimeSpan FeedbackInterval { get; init; } = TimeSpan.FromSeconds(15);

    /// <summary>Records of feedback that are kept; at the bound the oldest go. Default 100,000: about 20 MB. Ours.</summary>
    public int MaxFeedback { get; init; } = 100_000;

    /// <summary>Dead commands that are kept of one device or module; at the bound the oldest go. Default 50: a full queue. Ours.</summary>
    public int MaxDeadOfIdentity { get; init; } = 50;

    /// <summary>Dead commands that are kept in all; at the bound the oldest go. Default 5,000: at most 320 MB. Ours.</summary>
    public int MaxDead { get; init; } = 5_000;

    /// <summary>Every value that is out of its range, in a sentence each.</summary>
    public IEnumerable<string> Validate()
    {
        if (MaxQueueDepth is < 1 or > 10_000)
            yield return "MaxQueueDepth must be 1 to 10000";
        if (LockDuration < TimeSpan.FromSeconds(5) || LockDuration > TimeSpan.FromSeconds(300))
            yield return "LockDuration must be 5 s to 300 s";
        if (DefaultTimeToLive < TimeSpan.FromMinutes(1) || DefaultTimeToLive > TimeSpan.FromDays(2))
            yield return "DefaultTimeToLive must be 1 min to 2 d";
        if (MaxDeliveryCount is < 1 or > 100 || FeedbackMaxDeliveryCount is < 1 or > 100)
            yield return "a maximal delivery count must be 1 to 100";
        if (FeedbackTimeToLive < TimeSpan.FromMinutes(1) || FeedbackTimeToLive > TimeSpan.FromDays(2))
            yield return "FeedbackTimeToLive must be 1 min to 2 d";
        if (FeedbackLockDuration < TimeSpan.FromSeconds(5) || FeedbackLockDuration > TimeSpan.FromSeconds(300))
            yield return "FeedbackLockDuration must be 5 s to 300 s";
    }
}
