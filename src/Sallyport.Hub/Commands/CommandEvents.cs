using Microsoft.Extensions.Logging;

namespace Sallyport.Hub.Commands;

internal static partial class CommandEvents
{
    [LoggerMessage(2470, LogLevel.Warning, "Commands that expired and feedback could not be stored; it is tried again every {Interval}.")]
    public static partial void UpkeepDelayed(this ILogger logger, Exception exception, TimeSpan interval);
}
