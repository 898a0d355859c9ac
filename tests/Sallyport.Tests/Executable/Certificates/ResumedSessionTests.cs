using System.Diagnostics;
using System.Globalization;
using System.Security.Cryptography.X509Certificates;
using Sallyport.Protocol.Mqtt;
using Sallyport.Tests.Heads.Mqtt;
using Sallyport.Tests.Hub.Access.Certificates;
using Sallyport.Tests.Protocol.Mqtt;

namespace Sallyport.Tests.Executable.Certificates;

/// <summary>
/// A resumed TLS session proves nothing anew: OpenSSL gives the hub the leaf of the first handshake, without its intermediates. All that is
/// asked at CONNECT is asked again. The client is OpenSSL's own, because .NET's does not say whether it resumed.
/// </summary>
public sealed class ResumedSessionTests : IAsyncLifetime
{
    private readonly TemporaryDirectory _files = new();
    private TestHub _hub = null!;
    private CertificateDevices _devices = null!;
    private TestAuthority _plant = null!;
    private TestAuthority _line = null!;
    private X509Certificate2 _leaf = null!;

    public async ValueTask InitializeAsync()
    {
        _hub = await TestHub.StartAsync();
        _devices = new CertificateDevices(_hub);
        _plant = TestAuthority.Root("plant", DateTimeOffset.UtcNow);
        _line = _plant.Below("line");
        _leaf = _line.Leaf("d1");
        await _devices.TrustAsync("plant", _plant);
        await _devices.RegisterAsync("d1");
        File.WriteAllText(_files["leaf.crt"], _leaf.ExportCertificatePem());
        File.WriteAllText(_files["leaf.key"], _leaf.GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem());
        File.WriteAllText(_files["chain.crt"], _line.Certificate.ExportCertificatePem());
    }

    public async ValueTask DisposeAsync()
    {
        await _hub.DisposeAsync();
        _files.Dispose();
    }

    [Theory]
    [InlineData("-tls1_2")]
    [InlineData("-tls1_3")]
    public async Task Resumed_ComesWithoutIntermediates_AndIsLetInByThoseThatWereKept(string version)
    {
        Assert.Equal((MqttConnectCode.Accepted, false), await ConnectAsync(version, resume: false));
        Assert.Equal((MqttConnectCode.Accepted, true), await ConnectAsync(version, resume: true));

        // An authority that is registered anew knows no intermediates: only a full handshake brings them.
        await _devices.DistrustAsync("plant");
        await _devices.TrustAsync("plant", _plant);
        Assert.Equal((MqttConnectCode.NotAuthorized, true), await ConnectAsync(version, resume: true));
        Assert.Equal((MqttConnectCode.Accepted, false), await ConnectAsync(version, resume: false));
        Assert.Equal((MqttConnectCode.Accepted, true), await ConnectAsync(version, resume: true));

        Assert.Contains("the chain lacks 'CN=line'", Assert.Single((await _devices.RefusalsAsync())["d1"]));
    }

    [Theory]
    [InlineData("-tls1_2")]
    [InlineData("-tls1_3")]
    public async Task Resumed_AfterRevocation_IsRefused(string version)
    {
        Assert.Equal((MqttConnectCode.Accepted, false), await ConnectAsync(version, resume: false));

        byte[] lists = System.Text.Encoding.ASCII.GetBytes(Pem(_plant.Revoke([])) + "\n" + Pem(_line.Revoke([_leaf])));
        await _devices.RevokeAsync("plant", lists);

        Assert.Equal((MqttConnectCode.NotAuthorized, true), await ConnectAsync(version, resume: true));
        Assert.Contains("is revoked by 'CN=line'", Assert.Single((await _devices.RefusalsAsync())["d1"]));
    }

    private static string Pem(byte[] list) => new(System.Security.Cryptography.PemEncoding.Write("X509 CRL", list));

    /// <summary>CONNECT over OpenSSL's client: the hub's answer, and whether the session was resumed.</summary>
    private async Task<(MqttConnectCode Code, bool Resumed)> ConnectAsync(string version, bool resume)
    {
        var session = _files[$"session{version}"];
        var messages = _files["messages"];
        string[] arguments =
        [
            "s_client", "-connect", string.Create(CultureInfo.InvariantCulture, $"127.0.0.1:{_hub.Endpoints.MqttsPort}"), version, "-servername", "localhost",
            "-CAfile", _hub.Endpoints.CaFile!, "-cert", _files["leaf.crt"], "-key", _files["leaf.key"], "-cert_chain", _files["chain.crt"],
            "-msg", "-msgfile", messages, "-quiet", resume ? "-sess_in" : "-sess_out", session,
        ];
        using var client = Process.Start(new ProcessStartInfo("openssl", arguments)
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true,
        })!;
        var errors = client.StandardError.ReadToEndAsync();
        var connect = Packets.Of(o => MqttWriter.Connect(o, new MqttConnect("d1", true, 60, "localhost/d1/?api-version=2021-04-12", null, null)));
        await client.StandardInput.BaseStream.WriteAsync(connect);
        await client.StandardInput.BaseStream.FlushAsync();
        var answer = new byte[4];
        await client.StandardOutput.BaseStream.ReadExactlyAsync(answer).AsTask().WaitAsync(MqttTestClient.Patience);

        // MQTT's goodbye makes the hub close, and that ends the client, which then has written what it heard.
        await client.StandardInput.BaseStream.WriteAsync(new byte[] { 0xe0, 0 });
        client.StandardInput.Close();
        await client.WaitForExitAsync().WaitAsync(MqttTestClient.Patience);
        await errors;

        // In a full handshake the client sends its certificate.
        var resumed = !(await File.ReadAllTextAsync(messages)).Split('\n').Any(line => line.StartsWith(">>>", StringComparison.Ordinal) && line.Contains(", Certificate", StringComparison.Ordinal) && !line.Contains("CertificateVerify", StringComparison.Ordinal));
        return ((MqttConnectCode)answer[3], resumed);
    }
}
