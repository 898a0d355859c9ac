using System.CommandLine;
using Sallyport.Settings;
using Sallyport.Storage;
using Sallyport.Storage.Secrets;
using Sallyport.Up;

namespace Sallyport.Cli;

/// <summary>
/// What verbs take that work on the data directory of a stopped hub: the settings that say where it is, read the way <c>up</c> reads
/// them. They take the directory's lock, so a running hub refuses them, by its process id.
/// </summary>
internal sealed class OfflineOptions
{
    private readonly Option<string> _config = new("--config") { Description = "Settings file, as for up", HelpName = "FILE" };
    private readonly Option<string> _data = new("--data") { Description = "The data directory, as for up", HelpName = "DIR" };
    private readonly Option<string> _keyFile = new("--key-file") { Description = "The key that encrypts secrets at rest, as for up", HelpName = "FILE" };

    public IEnumerable<Option> All => [_config, _data, _keyFile];

    /// <exception cref="CannotStartException">The settings are not valid.</exception>
    public HubSettings Read(ParseResult parsed)
    {
        var flags = new Dictionary<string, IReadOnlyList<string>>();
        if (parsed.GetValue(_data) is { } data)
            flags["Hub:Data"] = [data];
        if (parsed.GetValue(_keyFile) is { } keyFile)
            flags["Hub:KeyFile"] = [keyFile];

        var reading = SettingsReader.Read(parsed.GetValue(_config), Environment.GetEnvironmentVariables(), flags);
        return reading.Errors.Count == 0 ? reading.Settings : throw new CannotStartException(reading.Errors);
    }

    /// <summary>Takes the directory; the caller gives it back.</summary>
    /// <exception cref="UnusableDataException">There is none, it is in use, or its key is not here.</exception>
    public static (DataDirectory Data, KeyRing Keys) Open(HubSettings settings, TimeProvider time)
    {
        var data = DataDirectory.Open(settings.Hub.Data, time, mustExist: true);
        try
        {
            return (data, KeyFile.Open(data, settings.Hub.KeyFile, Environment.GetEnvironmentVariable));
        }
        catch
        {
            data.Dispose();
            throw;
        }
    }
}
