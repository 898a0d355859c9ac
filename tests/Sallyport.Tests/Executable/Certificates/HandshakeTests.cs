using System.Diagnostics;
using System.Formats.Asn1;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Sallyport.Tests.Executable.Certificates;

/// <summary>What a client sees of TLS, on both ports.</summary>
public sealed class HandshakeTests : IAsyncLifetime
{
    private TestHub _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await TestHub.StartAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Theory]
    [InlineData(SslProtocols.Tls12)]
    [InlineData(SslProtocols.Tls13)]
    public async Task Handshake_WithACurrentVersion_Succeeds(SslProtocols version)
    {
        using var stream = await ConnectAsync(_hub.Endpoints.MqttsPort!.Value, new() { EnabledSslProtocols = version });

        Assert.Equal(version, stream.SslProtocol);
    }

    [Fact]
    public async Task Handshake_WithTls11_IsRefused()
    {
#pragma warning disable SYSLIB0039, CA5397, CS0618 // An old version is what this test is about.
        await Assert.ThrowsAnyAsync<Exception>(() => ConnectAsync(_hub.Endpoints.MqttsPort!.Value, new() { EnabledSslProtocols = SslProtocols.Tls11 }));
#pragma warning restore SYSLIB0039, CA5397, CS0618
    }

    [Theory]
    [InlineData("")]
    [InlineData("elsewhere.example")]
    public async Task Handshake_WithoutAKnownServerName_ShowsTheSameCertificate(string name)
    {
        using var stream = await ConnectAsync(_hub.Endpoints.HttpsPort, new()
        {
            TargetHost = name,
            CertificateChainPolicy = null,
            RemoteCertificateValidationCallback = (_, shown, _, _) => shown is not null,
        });

        Assert.True(new X509Certificate2(stream.RemoteCertificate!).MatchesHostname("sallyport.localhost"));
    }

    [Fact]
    public async Task Handshake_OnTheMqttPort_PassesOverApplicationProtocols()
    {
        using var stream = await ConnectAsync(_hub.Endpoints.MqttsPort!.Value, new() { ApplicationProtocols = [new SslApplicationProtocol("mqtt")] });

        Assert.Equal(default, stream.NegotiatedApplicationProtocol);
    }

    [Theory]
    [InlineData(SslProtocols.Tls12)]
    [InlineData(SslProtocols.Tls13)]
    public async Task ClientCertificate_OfNobodyKnown_DoesNotFailTheHandshakeNorFetchAnything(SslProtocols version)
    {
        using var fetched = new TcpListener(IPAddress.Loopback, 0);
        fetched.Start();
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var certificate = ExpiredCertificateWithIssuerAt(key, $"http://127.0.0.1:{((IPEndPoint)fetched.LocalEndpoint).Port}/ca.crt");

        // Offline, or the client itself would look for the issuer.
        var shown = SslStreamCertificateContext.Create(certificate, null, offline: true);
        using var stream = await ConnectAsync(_hub.Endpoints.HttpsPort, new() { EnabledSslProtocols = version, ClientCertificateContext = shown });
        await stream.WriteAsync("GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"u8.ToArray());
        var answer = await new StreamReader(stream).ReadToEndAsync();

        Assert.StartsWith("HTTP/1.1 200", answer);
        Assert.False(fetched.Pending());
    }

    [Fact]
    public async Task CertificateRequest_SeenByOpenSsl_NamesNoAuthorities()
    {
        var seen = await OpenSslAsync("s_client", "-connect", $"127.0.0.1:{_hub.Endpoints.MqttsPort}", "-CAfile", _hub.Endpoints.CaFile!, "-verify_return_error");

        Assert.Contains("No client certificate CA names sent", seen);
        Assert.Contains("Verify return code: 0 (ok)", seen);
    }

    [Fact]
    public async Task Session_OnTls12_Resumes()
    {
        var seen = await OpenSslAsync("s_client", "-connect", $"127.0.0.1:{_hub.Endpoints.HttpsPort}", "-CAfile", _hub.Endpoints.CaFile!, "-tls1_2", "-reconnect");

        Assert.Contains("Reused, TLSv1.2", seen);
    }

    [Fact]
    public async Task Renewed_WhileConnected_NewHandshakesSeeItAndOldConnectionsGoOn()
    {
        using var before = await ConnectAsync(_hub.Endpoints.HttpsPort, new());

        File.Delete(Path.Combine(_hub.Data, "tls", "server.crt"));
        _hub.Host.Certificate.Reload();
        using var after = await ConnectAsync(_hub.Endpoints.HttpsPort, new());

        Assert.NotEqual(before.RemoteCertificate!.GetCertHashString(), after.RemoteCertificate!.GetCertHashString());
        await before.WriteAsync("GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"u8.ToArray());
        Assert.StartsWith("HTTP/1.1 200", await new StreamReader(before).ReadToEndAsync());
    }

    private async Task<SslStream> ConnectAsync(int port, SslClientAuthenticationOptions options)
    {
        var trust = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        trust.CustomTrustStore.ImportFromPemFile(_hub.Endpoints.CaFile!);
        options.TargetHost ??= "localhost";
        if (options.RemoteCertificateValidationCallback is null)
            options.CertificateChainPolicy = trust;

        var client = new TcpClient();
        await client.ConnectAsync(IPAddress.Loopback, port);
        var stream = new SslStream(client.GetStream());
        await stream.AuthenticateAsClientAsync(options);
        return stream;
    }

    private static X509Certificate2 ExpiredCertificateWithIssuerAt(ECDsa key, string url)
    {
        using var issuerKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest("CN=d1", key, HashAlgorithmName.SHA256);
        var access = new AsnWriter(AsnEncodingRules.DER);
        using (access.PushSequence())
        using (access.PushSequence())
        {
            access.WriteObjectIdentifier("1.3.6.1.5.5.7.48.2");
            access.WriteCharacterString(UniversalTagNumber.IA5String, url, new Asn1Tag(TagClass.ContextSpecific, 6));
        }

        request.CertificateExtensions.Add(new X509Extension("1.3.6.1.5.5.7.1.1", access.Encode(), critical: false));
        using var certificate = request.Create(
            new X500DistinguishedName("CN=nobody known"), X509SignatureGenerator.CreateForECDsa(issuerKey),
            DateTimeOffset.UtcNow.AddDays(-20), DateTimeOffset.UtcNow.AddDays(-10), [1, 2, 3]);
        return certificate.CopyWithPrivateKey(key);
    }

    private static async Task<string> OpenSslAsync(params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo("openssl", arguments) { RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true })!;
        process.StandardInput.Close();
        var error = process.StandardError.ReadToEndAsync();
        var output = await process.StandardOutput.ReadToEndAsync() + await error;
        await process.WaitForExitAsync();
        return output;
    }
}
