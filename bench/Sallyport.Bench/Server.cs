using System.Diagnostics;
using System.Net.Http.Json;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;

namespace Sallyport.Bench;

/// <summary>A server in a process of its own, to be loaded and accounted for: the hub, or the probe.</summary>
internal sealed class Server : IDisposable
{
    private readonly Process _process;

    private Server(Process process, TimeSpan startTime)
    {
        _process = process;
        StartTime = startTime;
    }

    public int Pid => _process.Id;

    /// <summary>Of MQTT.</summary>
    public int Port { get; private init; }

    public int AmqpsPort { get; private init; }

    public string HostName { get; private init; } = "localhost";

    /// <summary>From the start of the process to the line <c>ready</c>.</summary>
    public TimeSpan StartTime { get; }

    /// <summary>Makes the password of a bench device; null for the probe.</summary>
    public Func<string, string>? Token { get; private init; }

    /// <summary>The policy that may do everything.</summary>
    public string? OwnerName { get; private init; }

    public string? OwnerToken { get; private init; }

    public HttpClient? Rest { get; private init; }

    public static Server Probe(string directory)
    {
        const int port = 18883;
        var (process, time) = Start(Environment.ProcessPath!, [.. Self(), "probe", "--port", $"{port}", "--dir", directory]);
        return new Server(process, time) { Port = port };
    }

    /// <param name="program">The built <c>sallyport.dll</c>.</param>
    public static Server Hub(string program, string data, params string[] flags)
    {
        var (process, time) = Start("dotnet", [program, "up", "--data", data, "--https-port", "18443", "--mqtts-port", "18884", "--amqps-port", "18671", "--log-level", "Warning", .. flags]);
        using var endpoints = JsonDocument.Parse(File.ReadAllText(Path.Combine(data, "endpoints.json")));
        string Text(string name) => endpoints.RootElement.GetProperty(name).GetString()!;
        var owner = Text("ownerConnectionString").Split(';').Select(part => part.Split('=', 2)).ToDictionary(part => part[0], part => part[1]);
        var hostName = Text("hostName");
        var root = X509CertificateLoader.LoadCertificateFromFile(Text("caFile"));
#pragma warning disable CA2000 // The client owns its handler.
        var rest = new HttpClient(new SocketsHttpHandler
        {
            MaxConnectionsPerServer = 16, // As many as one busy service keeps; handshakes are not what is measured.
            SslOptions =
            {
                CertificateChainPolicy = new X509ChainPolicy
                {
                    TrustMode = X509ChainTrustMode.CustomRootTrust,
                    CustomTrustStore = { root },
                    RevocationMode = X509RevocationMode.NoCheck,
                },
            },
        })
        {
            BaseAddress = new Uri($"https://{hostName}:{endpoints.RootElement.GetProperty("httpsPort").GetInt32()}/"),
        };
#pragma warning restore CA2000
        var ownerToken = Sas(hostName, Convert.FromBase64String(owner["SharedAccessKey"]), owner["SharedAccessKeyName"]);
        rest.DefaultRequestHeaders.TryAddWithoutValidation("Authorization", ownerToken);
        return new Server(process, time)
        {
            Port = endpoints.RootElement.GetProperty("mqttsPort").GetInt32(),
            AmqpsPort = endpoints.RootElement.GetProperty("amqpsPort").GetInt32(),
            HostName = hostName,
            OwnerName = owner["SharedAccessKeyName"],
            OwnerToken = ownerToken,
            Rest = rest,
            Token = id => Sas($"{hostName}/devices/{id}", Key(id), null),
        };
    }

    /// <summary>Registers the bench devices with keys derived from their ids.</summary>
    public async Task Register(int count)
    {
        for (var first = 0; first < count; first += 100)
            await Register(first, Math.Min(100, count - first));
    }

    /// <summary>Registers up to 100 bench devices with one request.</summary>
    public async Task Register(int first, int count)
    {
        var devices = Enumerable.Range(first, count).Select(i => new
        {
            id = Generator.DeviceId(i),
            importMode = "createOrUpdate",
            status = "enabled",
            authentication = new
            {
                type = "sas",
                symmetricKey = new { primaryKey = Convert.ToBase64String(Key(Generator.DeviceId(i))), secondaryKey = Convert.ToBase64String(Key(Generator.DeviceId(i) + "'")) },
            },
        });
        using var answer = await Rest!.PostAsJsonAsync("devices?api-version=2021-04-12", devices);
        if (!answer.IsSuccessStatusCode)
            throw new IOException($"registering devices: {(int)answer.StatusCode} {await answer.Content.ReadAsStringAsync()}");
    }

    /// <summary>How long the hub's garbage collector has stopped all of its threads, in all.</summary>
    public Task<double> GcPauseSeconds() => Metric("dotnet_gc_pause_time");

    /// <summary>What the hub has allocated on its managed heap since it started; asking costs it some hundred KiB.</summary>
    public Task<double> AllocatedBytes() => Metric("dotnet_gc_heap_total_allocated");

    /// <summary>Commits of the event log since the hub started.</summary>
    public Task<double> Commits() => Metric("sallyport_log_commit_duration_seconds_count");

    /// <summary>Time in which the log was writing and syncing.</summary>
    public Task<double> CommitSeconds() => Metric("sallyport_log_commit_duration_seconds_sum");

    /// <summary>Commits of the metadata store since the hub started, and the time in which its writer was at them.</summary>
    public async Task<(double Commits, double Seconds)> MetadataCommits() =>
        (await Metric("sallyport_metadata_commit_duration_seconds_count"), await Metric("sallyport_metadata_commit_duration_seconds_sum"));

    private async Task<double> Metric(string name)
    {
        var metrics = await Rest!.GetStringAsync("metrics");
        var line = metrics.Split('\n').FirstOrDefault(line => line.StartsWith(name, StringComparison.Ordinal));
        return line is null ? 0 : double.Parse(line.Split(' ')[1], System.Globalization.CultureInfo.InvariantCulture); // What was never counted is not listed.
    }

    public void Dispose()
    {
        Rest?.Dispose();
        using var kill = Process.Start("kill", ["-TERM", $"{Pid}"]);
        if (!_process.WaitForExit(TimeSpan.FromSeconds(25)))
            _process.Kill();
        _process.Dispose();
    }

    public static string[] Self() =>
        Path.GetFileNameWithoutExtension(Environment.ProcessPath) == "dotnet" ? [typeof(Server).Assembly.Location] : [];

    private static (Process, TimeSpan) Start(string file, string[] arguments)
    {
        var clock = Stopwatch.StartNew();
        var process = Process.Start(new ProcessStartInfo(file, arguments) { RedirectStandardOutput = true })!;
        List<string> said = [];
        while (process.StandardOutput.ReadLine() is { } line)
        {
            said.Add(line);
            if (line.Trim() != "ready")
                continue;

            var time = clock.Elapsed;
            _ = process.StandardOutput.BaseStream.CopyToAsync(Stream.Null);
            return (process, time);
        }

        throw new IOException($"{file} {arguments[0]} ended before it was ready: {string.Join('\n', said)}");
    }

    public static byte[] Key(string id) => HMACSHA256.HashData("sallyport bench"u8, Encoding.UTF8.GetBytes(id));

    private static string Sas(string resource, byte[] key, string? policy)
    {
        var sr = Uri.EscapeDataString(resource);
        var se = DateTimeOffset.UtcNow.AddHours(12).ToUnixTimeSeconds();
        var sig = Uri.EscapeDataString(Convert.ToBase64String(HMACSHA256.HashData(key, Encoding.UTF8.GetBytes($"{sr}\n{se}"))));
        return $"SharedAccessSignature sr={sr}&sig={sig}&se={se}{(policy is null ? "" : $"&skn={policy}")}";
    }
}
