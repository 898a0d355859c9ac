namespace Sallyport.Hub.Jobs;

/// <summary>How many jobs there may be, and how much they may do. Immutable. What happens at each bound is in <c>docs/bounds.md</c>.</summary>
public sealed record JobOptions
{
    /// <summary>Seconds of a window at most: 30 days.</summary>
    public const long MaxExecutionSeconds = 30 * 24 * 3600;

    /// <summary>How far ahead a job may be scheduled.</summary>
    public static readonly TimeSpan MaxAhead = TimeSpan.FromDays(366);

    /// <summary>Jobs that are scheduled, queued or running; another one is refused with 429004. Default 100 (IoT Hub's S3 unit runs 10).</summary>
    public int MaxOpen { get; init; } = 100;

    /// <summary>Jobs that run at once, but for those that only wait for devices to come; the others wait in the order in which they were made. Default 10: IoT Hub's S3 unit.</summary>
    public int MaxRunning { get; init; } = 10;

    /// <summary>Devices and modules of one job; one that is for more fails. Default 1,000,000: as many as a hub of IoT Hub has.</summary>
    public int MaxDevices { get; init; } = 1_000_000;

    /// <summary>How long a job and its outcomes are kept after its end. Default 30 days: IoT Hub's.</summary>
    public TimeSpan History { get; init; } = TimeSpan.FromDays(30);

    /// <summary>Jobs that are kept; at the bound those that ended go, the oldest first. Default 10,000. Ours.</summary>
    public int MaxKept { get; init; } = 10_000;

    /// <summary>Outcomes of devices that are kept; at the bound those of jobs that ended go, the oldest first. A job that finds no room then fails. Default 5,000,000: about 1 GB. Ours.</summary>
    public long MaxOutcomes { get; init; } = 5_000_000;

    /// <summary>Of a device's answer to a method so much is kept; of a larger one only its status. Default 4 KiB. Ours.</summary>
    public int MaxPayloadBytes { get; init; } = 4096;

    /// <summary>Methods that one job calls at once; it goes on when one is answered. Default 50. Ours.</summary>
    public int CallsPerJob { get; init; } = 50;

    /// <summary>Devices that all jobs together do a second; they wait for their turn. 0 is no limit. Default 5,000 (IoT Hub's S3 unit: 50).</summary>
    public long DevicesPerSecond { get; init; } = 5_000;

    /// <summary>Devices in one write to the metadata: others have their turn behind it. Default 64: some 5 ms.</summary>
    public int DevicesPerWrite { get; init; } = 64;

    /// <summary>Devices that are chosen in one write. Default 500.</summary>
    public int ChosenPerWrite { get; init; } = 500;

    /// <summary>Devices that came while they are waited for and have not been looked at; beyond it all that wait are looked at. Default 10,000.</summary>
    public int MaxArrivals { get; init; } = 10_000;
}
