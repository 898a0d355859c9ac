using Microsoft.Extensions.Logging;

namespace Sallyport.Hub.Uploads;

internal static partial class UploadEvents
{
    [LoggerMessage(2480, LogLevel.Warning, "Uploads and file notifications whose time is over could not be tidied up; it is tried again every {Interval}.")]
    public static partial void UpkeepDelayed(this ILogger logger, Exception exception, TimeSpan interval);
}
