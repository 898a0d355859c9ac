using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Console;
using Sallyport.Settings;

namespace Sallyport.Up;

/// <summary>
/// The log of the process: on standard error, so that standard output keeps to what <c>up</c> promises. Its level may change while
/// the hub runs. Thread-safe.
/// </summary>
internal sealed class HubLogging : IDisposable
{
    private volatile LogLevelBox _level;

    public HubLogging(LogSettings settings)
    {
        _level = new LogLevelBox(settings.Level);
        Factory = LoggerFactory.Create(logging =>
        {
            logging.SetMinimumLevel(LogLevel.Trace);
            logging.AddFilter((category, level) => level >= _level.Value && (level >= LogLevel.Warning || IsOwn(category) || _level.Value == LogLevel.Trace));
            logging.Services.Configure<ConsoleLoggerOptions>(options => options.LogToStandardErrorThreshold = LogLevel.Trace);
            if (settings.Format == LogFormat.Json)
            {
                logging.AddJsonConsole(options =>
                {
                    options.UseUtcTimestamp = true;
                    options.TimestampFormat = "yyyy-MM-ddTHH:mm:ss.fffZ";
                });
            }
            else
            {
                logging.AddSimpleConsole(options =>
                {
                    options.SingleLine = true;
                    options.UseUtcTimestamp = true;
                    options.TimestampFormat = "HH:mm:ss ";
                });
            }
        });
    }

    public ILoggerFactory Factory { get; }

    public LogLevel Level
    {
        get => _level.Value;
        set => _level = new LogLevelBox(value);
    }

    // ASP.NET Core tells about each request and connection; the hub has its own words for what matters.
    private static bool IsOwn(string? category) => category?.StartsWith("Sallyport", StringComparison.Ordinal) == true;

    public void Dispose() => Factory.Dispose();

    private sealed record LogLevelBox(LogLevel Value);
}
