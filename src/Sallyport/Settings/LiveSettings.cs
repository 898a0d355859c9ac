using System.Text.Json.Nodes;
using Microsoft.Extensions.Logging;
using Sallyport.Heads.Http;
using Sallyport.Up;

namespace Sallyport.Settings;

/// <summary>
/// Settings in force. Looks at the configuration file every <see cref="Interval"/> and when asked to (SIGHUP): what is live is
/// taken, what needs a restart is said in the log, a file with errors changes nothing. Thread-safe.
/// </summary>
internal sealed class LiveSettings : ISettingsInForce, IDisposable
{
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);

    private readonly Func<SettingsReading> _read;
    private readonly Action<HubSettings> _apply;
    private readonly ILogger _log;
    private readonly Lock _reload = new();
    private readonly ITimer? _timer;
    private DateTime _seen;
    private volatile HubSettings _current;

    /// <param name="started">What the hub was started with.</param>
    /// <param name="read">Reads everything again.</param>
    /// <param name="apply">Told of settings whose live values changed.</param>
    public LiveSettings(SettingsReading started, Func<SettingsReading> read, Action<HubSettings> apply, TimeProvider time, ILogger log)
    {
        _current = started.Settings;
        _read = read;
        _apply = apply;
        _log = log;
        if (started.File is not { } file)
            return;

        _seen = File.GetLastWriteTimeUtc(file);
        _timer = time.CreateTimer(_ => ReloadIfWritten(file), null, Interval, Interval);
    }

    public HubSettings Current => _current;

    public JsonObject Describe()
    {
        var current = _current;
        var sections = new JsonObject();
        foreach (var setting in AllSettings.Table)
        {
            if (!sections.ContainsKey(setting.Section))
                sections[setting.Section] = new JsonObject();
            sections[setting.Section]![setting.Name] = setting.Show(current);
        }

        return sections;
    }

    public void Reload()
    {
        lock (_reload)
        {
            var reading = _read();
            if (reading.Errors.Count > 0)
            {
                foreach (var error in reading.Errors)
                    _log.SettingsNotReloaded(error);
                return;
            }

            var next = _current;
            foreach (var setting in AllSettings.Table)
            {
                var (before, after) = (setting.Show(_current)?.ToJsonString(), setting.Show(reading.Settings)?.ToJsonString());
                if (before == after)
                    continue;

                if (setting.IsLive)
                    next = setting.Apply(next, new SettingValue([setting.Show(reading.Settings)!.GetValue<string>()], "reload", ""));
                else
                    _log.SettingNeedsRestart(setting.Key);
            }

            if (next == _current)
                return;

            _current = next;
            _apply(next);
        }
    }

    public void Dispose() => _timer?.Dispose();

    private void ReloadIfWritten(string file)
    {
        lock (_reload)
        {
            var written = File.GetLastWriteTimeUtc(file);
            if (written == _seen)
                return;

            _seen = written;
            Reload();
        }
    }
}
