using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging.Abstractions;
using Sallyport.Client.Service;
using Sallyport.Hub.Audit;
using Sallyport.Protocol.ConnectionStrings;
using Sallyport.Protocol.Sas;
using Sallyport.Settings;
using Sallyport.Up;

namespace Sallyport.Tests.Executable;

/// <summary>A whole hub in this process, on free ports of loopback, with its own data directory.</summary>
internal sealed class TestHub : IAsyncDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private readonly Func<HubSettings, HubSettings> _change;
    private readonly TimeProvider _time;
    private readonly HubHost.OpenLog? _openLog;
    private readonly Func<IAuditTrail, IAuditTrail>? _guardTrail;
    private bool _isStopped;

    private TestHub(Func<HubSettings, HubSettings> change, TimeProvider time, HubHost.OpenLog? openLog, Func<IAuditTrail, IAuditTrail>? guardTrail)
    {
        _guardTrail = guardTrail;
        _change = change;
        _time = time;
        _openLog = openLog;
    }

    public string Data => _directory["data"];

    public HubHost Host { get; private set; } = null!;

    public EndpointsFile Endpoints => Host.Endpoints;

    public static async Task<TestHub> StartAsync(
        Func<HubSettings, HubSettings>? change = null, TimeProvider? time = null, HubHost.OpenLog? openLog = null, Func<IAuditTrail, IAuditTrail>? guardTrail = null)
    {
        var hub = new TestHub(change ?? (settings => settings), time ?? TimeProvider.System, openLog, guardTrail);
        await hub.StartHostAsync();
        return hub;
    }

    /// <summary>With the owner's policy.</summary>
    public ServiceClient Owner() => new(Endpoints.OwnerConnectionString!, new ServiceClientOptions { Port = Endpoints.HttpsPort, CaFile = Endpoints.CaFile, Time = _time });

    /// <summary>Asks for a page that is not JSON.</summary>
    /// <param name="connectionString">Of the policy that asks; null shows no credential.</param>
    public async Task<(HttpStatusCode Status, string Body)> GetAsync(string path, string? connectionString = null)
    {
        using var handler = new SocketsHttpHandler();
        handler.SslOptions.CertificateChainPolicy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        handler.SslOptions.CertificateChainPolicy.CustomTrustStore.ImportFromPemFile(Endpoints.CaFile!);
        using var http = new HttpClient(handler);
        using var request = new HttpRequestMessage(HttpMethod.Get, $"https://localhost:{Endpoints.HttpsPort}/{path}");
        if (connectionString is not null)
        {
            var parsed = ConnectionString.Parse(connectionString);
            request.Headers.TryAddWithoutValidation("Authorization", SharedAccessSignature.Create(
                parsed.HostName, parsed.SharedAccessKey!, _time.GetUtcNow().AddHours(1), parsed.SharedAccessKeyName));
        }

        using var response = await http.SendAsync(request);
        return (response.StatusCode, await response.Content.ReadAsStringAsync());
    }

    /// <summary>Stops the hub and starts it again on the same data, on other ports.</summary>
    /// <param name="whileAway">Done between the two.</param>
    public async Task RestartAsync(Func<Task>? whileAway = null)
    {
        await StopAsync();
        if (whileAway is not null)
            await whileAway();
        await StartHostAsync();
        _isStopped = false;
    }

    /// <summary>Stops the hub: what it had to write is on disk.</summary>
    public async Task StopAsync()
    {
        if (_isStopped)
            return;

        _isStopped = true;
        await Host.DisposeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
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

    private async Task StartHostAsync()
    {
        var settings = _change(new HubSettings
        {
            Hub = new HostSettings { Data = Data, KeyFile = KeyFile(), Hosts = ["localhost", "sallyport.localhost"] },
            Listeners = new ListenerSettings { HttpsPort = 0, MqttsPort = 0, AmqpsPort = 0 },
        });
        var reading = new SettingsReading(settings, [], null);
        using var live = new LiveSettings(reading, () => reading, _ => { }, _time, NullLogger.Instance);
        Host = await HubHost.StartAsync(live, NullLoggerFactory.Instance, _time, _openLog, _guardTrail);
    }
}
