using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using Sallyport.Tests.Client;

namespace Sallyport.Tests.Executable.Bounds;

/// <summary>Starts that cannot be: exit 1, nothing on standard output, one sentence that says what to do, and nothing left behind.</summary>
public sealed class RefusedStartTests : IDisposable
{
    private readonly TemporaryDirectory _home = new();

    private string Data => Path.Combine(_home.Path, "sallyport", "data");

    public void Dispose() => _home.Dispose();

    [Fact]
    public async Task Port_InUse_IsNamedWithItsProcess_AndTheOtherGoesOn()
    {
        using var other = new TcpListener(IPAddress.Loopback, 0);
        other.Start();
        var port = ((IPEndPoint)other.LocalEndpoint).Port.ToString(CultureInfo.InvariantCulture);

        var error = await RefusedAsync("--https-port", "0", "--mqtts-port", port, "--amqps-port", "0", "--bind", "127.0.0.1");

        Assert.Contains($"Port {port} is in use by process {Environment.ProcessId}: stop that, or choose another with --mqtts-port", error);
        using var client = new TcpClient();
        await client.ConnectAsync((IPEndPoint)other.LocalEndpoint, TestContext.Current.CancellationToken);
    }

    [Theory]
    [InlineData("--production injects no faults, whoever answers for it: leave --enable-insecure-fault-injection out.", "--production")]
    [InlineData("Listeners:InsecureFaultInjection needs a hub that listens on loopback alone", "--bind", "0.0.0.0")]
    public async Task FaultInjection_InProductionOrBeyondLoopback_IsRefused(string expected, params string[] flags)
    {
        var error = await RefusedAsync([.. flags, "--enable-insecure-fault-injection", "--https-port", "0", "--mqtts-port", "0", "--amqps-port", "0"]);

        Assert.Contains(expected, error);
        Assert.False(Directory.Exists(Data));
    }

    [Theory]
    [InlineData("{ not JSON", "not JSON at line 1")]
    [InlineData("""{ "Hub": { "Dta": "x" } }""", "there is no setting Hub:Dta")]
    [InlineData(null, "cannot be read")] // a directory in its place
    public async Task Config_Unreadable_IsNamed_AndNothingIsMade(string? content, string expected)
    {
        var path = _home["sallyport.json"];
        if (content is null)
            Directory.CreateDirectory(path);
        else
            File.WriteAllText(path, content);

        var error = await RefusedAsync("--config", path, "--https-port", "0", "--mqtts-port", "0", "--amqps-port", "0");

        Assert.Contains($"{path}: {expected}", error);
        Assert.False(Directory.Exists(Data));
    }

    [Theory]
    [InlineData("garbage\n", "cannot be used: '")]
    [InlineData(null, "cannot be used: Could not find file '")]
    public async Task Certificate_Unusable_IsNamedWithItsFlags(string? content, string expected)
    {
        if (content is not null)
            File.WriteAllText(_home["server.pem"], content);

        var error = await RefusedAsync("--tls-certificate", _home["server.pem"], "--https-port", "0", "--mqtts-port", "0", "--amqps-port", "0");

        Assert.Contains($"{expected}{_home["server.pem"]}'", error);
        Assert.Contains("--tls-certificate FILE", error);
    }

    [Theory]
    [InlineData("format.json", "data directory format 99")]
    [InlineData("metadata.db", "99")]
    [InlineData("log/format", "99")]
    public async Task DataDirectory_OfANewerVersion_IsRefusedByName_AndLeftAsItIs(string file, string expected)
    {
        await using (var hub = await SallyportProcess.UpAsync(_home))
        {
            hub.Signal("TERM");
            await hub.ExitAsync();
        }

        var path = Path.Combine(Data, file);
        MakeNewer(path);
        var before = File.ReadAllBytes(path);

        var error = await RefusedAsync("--https-port", "0", "--mqtts-port", "0", "--amqps-port", "0");

        Assert.Contains(file.Split('/')[0], error);
        Assert.Contains(expected, error);
        Assert.Equal(before, File.ReadAllBytes(path));
        Assert.False(File.Exists(Path.Combine(Data, "endpoints.json")));
    }

    [Theory]
    [InlineData(TestCertificates.ClientAuth, false, "is not a server's certificate: its extended key usage does not name server authentication, but that of a client")]
    [InlineData("1.3.6.1.5.5.7.3.3", false, "is not a server's certificate")] // for signing code
    [InlineData(TestCertificates.ServerAuth, true, "is signed with SHA-1, which clients refuse")]
    public async Task Certificate_ThatClientsWouldRefuse_IsNamed(string purpose, bool isSignedWithSha1, string expected)
    {
        var (certificate, key) = (_home["hub.crt"], _home["hub.key"]);
        using var made = new TestCertificates("localhost", purpose, isSignedWithSha1);
        File.WriteAllText(certificate, made.Server.ExportCertificatePem());
        File.WriteAllText(key, made.ServerKeyPem);

        var error = await RefusedAsync("--https-port", "0", "--mqtts-port", "0", "--amqps-port", "0", "--tls-certificate", certificate, "--tls-key", key);

        Assert.StartsWith("The server's certificate cannot be used: ", error);
        Assert.Contains(expected, error);
        Assert.Contains(certificate, error);
    }

    private static void MakeNewer(string path)
    {
        var bytes = File.ReadAllBytes(path);
        switch (Path.GetFileName(path))
        {
            case "format.json":
                var description = JsonNode.Parse(bytes)!;
                description["version"] = 99;
                File.WriteAllText(path, description.ToJsonString());
                break;
            case "metadata.db":
                bytes[63] = 99; // user_version, big-endian at 60
                File.WriteAllBytes(path, bytes);
                break;
            default:
                bytes[8] = 99; // the version, little-endian, after eight letters
                File.WriteAllBytes(path, bytes);
                break;
        }
    }

    private async Task<string> RefusedAsync(params string[] arguments)
    {
        var (exitCode, output, error) = await SallyportProcess.RunAsync(_home, ["up", .. arguments]);
        Assert.True(exitCode == 1, error);
        Assert.Empty(output);
        Assert.DoesNotContain("   at ", error, StringComparison.Ordinal); // a sentence, not a stack
        return error;
    }
}
