using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Sallyport.Settings;

namespace Sallyport.Tests.Executable.Settings;

public sealed class LiveSettingsTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly FakeTimeProvider _time = new();
    private readonly List<LogLevel> _applied = [];

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void LogLevel_ChangedInTheFile_IsTakenWithoutRestart()
    {
        Write("""{ "Log": { "Level": "Warning" } }""", DateTime.UnixEpoch);
        using var live = Start();

        Write("""{ "Log": { "Level": "Debug" }, "Listeners": { "MqttsPort": 1 } }""", DateTime.UnixEpoch.AddSeconds(1));
        _time.Advance(LiveSettings.Interval);

        Assert.Equal([LogLevel.Debug], _applied);
        Assert.Equal(LogLevel.Debug, live.Current.Log.Level);
        Assert.Equal(8883, live.Current.Listeners.MqttsPort); // Needs a restart.
    }

    [Fact]
    public void File_ThatBecameWrong_ChangesNothing()
    {
        Write("""{ "Log": { "Level": "Warning" } }""", DateTime.UnixEpoch);
        using var live = Start();

        Write("""{ "Log": { "Level": "Debug", "Typo": 1 } }""", DateTime.UnixEpoch.AddSeconds(1));
        _time.Advance(LiveSettings.Interval);

        Assert.Empty(_applied);
        Assert.Equal(LogLevel.Warning, live.Current.Log.Level);
    }

    private LiveSettings Start()
    {
        SettingsReading Read() => SettingsReader.Read(_directory["sallyport.json"], new Dictionary<string, string>(), new Dictionary<string, IReadOnlyList<string>>());
        return new LiveSettings(Read(), Read, settings => _applied.Add(settings.Log.Level), _time, NullLogger.Instance);
    }

    private void Write(string json, DateTime written)
    {
        File.WriteAllText(_directory["sallyport.json"], json);
        File.SetLastWriteTimeUtc(_directory["sallyport.json"], written);
    }
}
