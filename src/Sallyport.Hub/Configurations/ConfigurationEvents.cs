using Microsoft.Extensions.Logging;
using Sallyport.Protocol.Identities;

namespace Sallyport.Hub.Configurations;

internal static partial class ConfigurationEvents
{
    [LoggerMessage(2560, LogLevel.Warning, "What configurations say could not be stored; it is tried again every {Interval}.")]
    public static partial void Delayed(this ILogger logger, Exception exception, TimeSpan interval);

    [LoggerMessage(2561, LogLevel.Error, "What configurations say could not be set in the twin of {Identity}; it is tried again when the twin changes.")]
    public static partial void TwinFailed(this ILogger logger, Exception exception, Identity identity);
}
