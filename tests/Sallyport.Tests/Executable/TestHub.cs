using System.Security.Cryptography;
using Microsoft.Extensions.Logging.Abstractions;
using Sallyport.Settings;
using Sallyport.Up;

namespace Sallyport.Tests.Executable;

/// <summary>A whole hub in this process, on free ports of loopback, with its own data directory.</summary>
internal sealed class TestHub : IAsyncDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly TimeProvider _time;

    private TestHub(TimeProvider time) => _time = time;

    public string Data => _directory["data"];

    public HubHost Host { get; private set; } = null!;

    public EndpointsFile Endpoints => Host.Endpoints;

    public static async Task<TestHub> StartAsync(Func<HubSettings, HubSettings>? change = null, TimeProvider? time = null)
    {
        var hub = new TestHub(time ?? TimeProvider.System);
        await hub.StartHostAsync(change ?? (settings => settings));
        return hub;
    }

    public async ValueTask DisposeAsync()
    {
        await Host.DisposeAsync();
        _directory.Dispose();
    }

    private string KeyFile()
    {
        var path = _directory["key"];
        if (!File.Exists(path))
        {
            File.WriteAllText(path, $"sallyport-key:1:{Convert.ToBase64String(RandomNumberGenerator.GetBytes(32))}\n");
            File.SetUnixFileMode(path, WholeFile.OwnerOnly);
        }

        return path;
    }

    private async Task StartHostAsync(Func<HubSettings, HubSettings> change)
    {
        var settings = change(new HubSettings
        {
            Hub = new HostSettings { Data = Data, KeyFile = KeyFile(), Hosts = ["localhost", "sallyport.localhost"] },
            Listeners = new ListenerSettings { HttpsPort = 0, MqttsPort = 0 },
        });
        var reading = new SettingsReading(settings, [], null);
        using var live = new LiveSettings(reading, () => reading, _ => { }, _time, NullLogger.Instance);
        Host = await HubHost.StartAsync(live, NullLoggerFactory.Instance, _time);
    }
}
