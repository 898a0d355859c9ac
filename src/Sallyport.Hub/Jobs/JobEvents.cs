using Microsoft.Extensions.Logging;

namespace Sallyport.Hub.Jobs;

internal static partial class JobEvents
{
    [LoggerMessage(2510, LogLevel.Warning, "A step of the job {Job} could not be done; it is tried again in {Pause}.")]
    public static partial void JobDelayed(this ILogger logger, Exception exception, string job, TimeSpan pause);

    [LoggerMessage(2511, LogLevel.Information, "The job {Job} ended as {Status}: {Succeeded} of {Devices} devices succeeded, {Failed} failed, {Canceled} were cancelled.")]
    public static partial void JobEnded(this ILogger logger, string job, string status, int succeeded, int devices, int failed, int canceled);

    [LoggerMessage(2512, LogLevel.Warning, "Looking after jobs was not possible; it is tried again every {Interval}.")]
    public static partial void JobsDelayed(this ILogger logger, Exception exception, TimeSpan interval);

    [LoggerMessage(2513, LogLevel.Error, "The job with the number {Sequence} ran into a mistake of the hub and fails.")]
    public static partial void JobBroken(this ILogger logger, Exception exception, long sequence);
}
