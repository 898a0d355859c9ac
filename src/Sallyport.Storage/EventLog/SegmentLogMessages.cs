using Microsoft.Extensions.Logging;

namespace Sallyport.Storage.EventLog;

/// <summary>What the event log tells the operator. Ids are stable: 1100 to 1149.</summary>
internal static partial class SegmentLogMessages
{
    [LoggerMessage(1100, LogLevel.Information, "event log open: {Segments} segments, last batch {LastBatch}, {Partitions} partitions")]
    public static partial void Opened(ILogger logger, int segments, long lastBatch, int partitions);

    [LoggerMessage(1101, LogLevel.Warning, "event log segment {Segment}: cut off a torn tail at {Position}, {Bytes} bytes that were never acknowledged")]
    public static partial void TornTail(ILogger logger, string segment, long position, long bytes);

    [LoggerMessage(1102, LogLevel.Error, "event log {Segment}: {Bytes} bytes at {Position} are quarantined: {What}")]
    public static partial void Quarantined(ILogger logger, string segment, long position, long bytes, string what);

    [LoggerMessage(1103, LogLevel.Error, "event log is truncated: batches {First} to {Last} were on disk and are missing")]
    public static partial void Truncated(ILogger logger, long first, long last);

    [LoggerMessage(1104, LogLevel.Critical, "event log cannot write: the process must end and recover at its next start")]
    public static partial void Failed(ILogger logger, Exception failure);

    [LoggerMessage(1105, LogLevel.Error, "event log has no room for another segment: telemetry is refused until there is ({Reason})")]
    public static partial void DiskFull(ILogger logger, string reason);

    [LoggerMessage(1106, LogLevel.Information, "event log has room again")]
    public static partial void DiskHasRoom(ILogger logger);

    [LoggerMessage(1107, LogLevel.Warning, "event log could not do its upkeep and will try again: {Reason}")]
    public static partial void UpkeepFailed(ILogger logger, string reason);

    [LoggerMessage(1108, LogLevel.Information, "event log dropped segment {Segment}")]
    public static partial void Dropped(ILogger logger, string segment);

    [LoggerMessage(1109, LogLevel.Error, "event log refuses telemetry: {Hold} holds back {HeldBytes} bytes, the bound is {MaxHeldBytes}")]
    public static partial void HeldBack(ILogger logger, string hold, long heldBytes, long maxHeldBytes);

    [LoggerMessage(1110, LogLevel.Information, "event log takes telemetry again: {HeldBytes} bytes held back")]
    public static partial void NoLongerHeldBack(ILogger logger, long heldBytes);

    [LoggerMessage(1111, LogLevel.Error, "event log dropped {Records} records of partition {Partition} that {Hold} had not read")]
    public static partial void Skipped(ILogger logger, string hold, int partition, long records);
}
