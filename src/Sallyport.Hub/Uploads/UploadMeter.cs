using System.Diagnostics.Metrics;

namespace Sallyport.Hub.Uploads;

/// <summary>The meter <c>Sallyport.Uploads</c>. Thread-safe.</summary>
public static class UploadMeter
{
    public const string Name = "Sallyport.Uploads";

    private static readonly Meter Meter = new(Name);
    private static readonly Counter<long> Begun = Meter.CreateCounter<long>("sallyport.uploads.begun", "{upload}", "File uploads for which a device got a URI.");
    private static readonly Counter<long> Refused = Meter.CreateCounter<long>("sallyport.uploads.refused", "{request}", "Requests of file uploads that were refused, by error code.");
    private static readonly Counter<long> Ended = Meter.CreateCounter<long>("sallyport.uploads.ended", "{upload}", "File uploads that devices reported, by how they ended.");
    private static readonly Counter<long> Bytes = Meter.CreateCounter<long>("sallyport.uploads.received", "By", "Bytes that the built-in blob endpoint has put on the disk.");
    private static readonly Counter<long> Committed = Meter.CreateCounter<long>("sallyport.uploads.committed", "{file}", "Files that were made or replaced in the built-in blob endpoint.");
    private static readonly Counter<long> Untidied = Meter.CreateCounter<long>("sallyport.uploads.untidied", "{directory}", "Directories of uploads that could not be cleaned up; the next start tries again.");
    private static readonly Counter<long> Dropped = Meter.CreateCounter<long>("sallyport.filenotifications.dropped", "{message}", "File notifications that nobody took in time, that were abandoned too often, or that made room at their bound.");

    /// <summary>A request was refused.</summary>
    /// <param name="code">IoT Hub's number, or Azure Storage's name.</param>
    public static void OnRefused(object code) => Refused.Add(1, KeyValuePair.Create<string, object?>("code", code));

    internal static void OnBegun() => Begun.Add(1);

    internal static void OnEnded(bool isSuccess) => Ended.Add(1, KeyValuePair.Create<string, object?>("result", isSuccess ? "done" : "failed"));

    internal static void Received(long bytes) => Bytes.Add(bytes);

    internal static void OnCommitted() => Committed.Add(1);

    internal static void OnUntidied() => Untidied.Add(1);

    internal static void NotificationsDropped(int notifications)
    {
        if (notifications > 0)
            Dropped.Add(notifications);
    }
}
