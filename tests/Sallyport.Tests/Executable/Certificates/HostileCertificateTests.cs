using System.Diagnostics;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Protocol.Mqtt;
using Sallyport.Tests.Hub.Access.Certificates;
using Sallyport.Tests.Protocol.Mqtt;

namespace Sallyport.Tests.Executable.Certificates;

/// <summary>
/// Certificates that somebody hostile shows, one after the other, over each transport: refused, each with its true reason, while the handshake
/// succeeds and a good device is served beside them.
/// </summary>
public sealed class HostileCertificateTests : IAsyncLifetime
{
    private TestHub _hub = null!;
    private CertificateDevices _devices = null!;

    public async ValueTask InitializeAsync()
    {
        _hub = await TestHub.StartAsync();
        _devices = new CertificateDevices(_hub);
    }

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task EveryHostileCertificate_OnEveryTransport_IsRefusedForItsTrueReason()
    {
        var now = DateTimeOffset.UtcNow;
        var plant = TestAuthority.Root("plant", now);
        var scoped = TestAuthority.Root("scoped", now);
        await _devices.TrustAsync("plant", plant);
        await _devices.TrustAsync("scoped", scoped, idPrefix: "scoped-");
        await _devices.RegisterAsync("good");
        var good = plant.Leaf("good");
        var cases = Cases(plant, scoped, now).ToList();
        await _devices.RevokeAsync("plant", plant.Revoke(cases.Where(one => one.Id == "revoked").Select(one => one.Shown.Leaf)), "soft-fail");

        var wrong = new List<string>();
        foreach (var one in cases)
        {
            await _devices.RegisterAsync(one.Id, one.Id.StartsWith("pinned", StringComparison.Ordinal) ? one.Pinned ?? one.Shown.Leaf.Thumbprint : null);
            foreach (var transport in CertificateDevices.Transports)
            {
                if (await _devices.ComeAsync(transport, one.Id, one.Shown))
                    wrong.Add($"{one.Id} over {transport}: let in");
                if (!await _devices.ComeAsync(transport, "good", new PresentedCertificate(good, [])))
                    wrong.Add($"the good device over {transport} after {one.Id}: refused");
            }

            if (await _devices.AskAsync(one.Shown) is not HttpStatusCode.Unauthorized and var status)
                wrong.Add($"{one.Id} as an operator's: {status}");
        }

        var refusals = await _devices.RefusalsAsync();
        Assert.NotEmpty(refusals[""]);
        Assert.All(refusals[""], reason => Assert.Contains("the certificate shown is no operator's", reason));
        foreach (var one in cases)
        {
            var reasons = refusals[one.Id].ToList();
            if (reasons.Count == 0 || reasons.Exists(reason => !reason.StartsWith("401003 ", StringComparison.Ordinal) || !reason.Contains(one.Reason, StringComparison.Ordinal)))
                wrong.Add($"{one.Id}: '{string.Join("', '", reasons.Distinct())}' instead of '{one.Reason}'");
        }

        Assert.True(wrong.Count == 0, string.Join("\n", wrong));
    }

    /// <summary>Shown with OpenSSL, told to: neither .NET nor OpenSSL by itself shows such a certificate any more.</summary>
    [Theory]
    [InlineData("HTTPS")]
    [InlineData("MQTT")]
    public async Task Sha1Signed_IsRefusedForItsTrueReason(string transport)
    {
        var plant = TestAuthority.Root("plant", DateTimeOffset.UtcNow);
        var weak = plant.Below("weak line", isSignedWithSha1: true);
        await _devices.TrustAsync("plant", plant);
        var shown = new[] { (Id: "sha1-leaf", Chain: new PresentedCertificate(plant.Leaf("sha1-leaf", isSignedWithSha1: true), [])), (Id: "sha1-issuer", Chain: weak.Show(weak.Leaf("sha1-issuer"))) };
        foreach (var (id, chain) in shown)
        {
            await _devices.RegisterAsync(id);
            var answer = transport == "HTTPS"
                ? await OpenSslAsync(_hub.Endpoints.HttpsPort, chain, Encoding.ASCII.GetBytes($"POST /devices/{id}/messages/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}"))
                : await OpenSslAsync(_hub.Endpoints.MqttsPort!.Value, chain, Packets.Of(o => MqttWriter.Connect(o, new MqttConnect(id, true, 60, $"localhost/{id}/?api-version=2021-04-12", null, null))));
            Assert.True(transport == "HTTPS" ? answer.StartsWith("HTTP/1.1 401", StringComparison.Ordinal) : answer == "\x20\x02\x00\x05", answer);
        }

        var refusals = await _devices.RefusalsAsync();
        Assert.Equal("401003 the certificate is signed with SHA-1, under which signatures can be forged", Assert.Single(refusals["sha1-leaf"]));
        Assert.Equal("401003 the issuer 'CN=weak line' is signed with SHA-1, under which signatures can be forged", Assert.Single(refusals["sha1-issuer"]));
    }

    private async Task<string> OpenSslAsync(int port, PresentedCertificate shown, byte[] request)
    {
        using var directory = new TemporaryDirectory();
        await File.WriteAllTextAsync(directory["leaf.crt"], shown.Leaf.ExportCertificatePem());
        await File.WriteAllTextAsync(directory["leaf.key"], shown.Leaf.GetECDsaPrivateKey()!.ExportPkcs8PrivateKeyPem());
        await File.WriteAllLinesAsync(directory["chain.crt"], shown.Intermediates.Prepend(shown.Leaf).Select(certificate => certificate.ExportCertificatePem()));
        var start = new ProcessStartInfo(
            "openssl",
            ["s_client", "-quiet", "-connect", $"127.0.0.1:{port}", "-CAfile", _hub.Endpoints.CaFile!, "-cipher", "DEFAULT@SECLEVEL=0", "-cert", directory["leaf.crt"], "-key", directory["leaf.key"], "-cert_chain", directory["chain.crt"]])
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true, StandardOutputEncoding = Encoding.Latin1,
        };
        using var process = Process.Start(start)!;
        var errors = process.StandardError.ReadToEndAsync();
        await process.StandardInput.BaseStream.WriteAsync(request);
        await process.StandardInput.BaseStream.FlushAsync();
        var answer = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        return answer.Length > 0 ? answer : await errors;
    }

    private IEnumerable<Hostile> Cases(TestAuthority plant, TestAuthority scoped, DateTimeOffset now)
    {
        var line = plant.Below("line");
        var elsewhere = TestAuthority.Root("elsewhere", now);
        var twin = TestAuthority.Root("plant", now);
        var device = plant.Leaf("neighbour");

        yield return Alone("expired", plant.Leaf("expired", notAfter: now.AddDays(-1)), "the certificate expired at");
        yield return Alone("not-yet-valid", plant.Leaf("not-yet-valid", notBefore: now.AddDays(1)), "is not valid before");
        yield return Alone("wrong-cn", plant.Leaf("somebody"), "common name is 'somebody'");
        yield return Alone("other-case-cn", plant.Leaf("OTHER-CASE-CN"), "common name is 'OTHER-CASE-CN'");
        yield return Alone("prefix-cn", plant.Leaf("prefix-cn/m1"), "common name is 'prefix-cn/m1'");
        yield return Alone("nul-cn", plant.Leaf("", subject: "CN=\"nul-cn\0x\""), "common name is 'nul-cn");
        yield return Alone("no-cn", plant.Leaf("", subject: "O=no-cn"), "exactly one common name");
        yield return Alone("two-cns", plant.Leaf("", subject: "CN=two-cns, CN=two-cns"), "exactly one common name");
        yield return Alone("other-ca", elsewhere.Leaf("other-ca"), "neither shown nor is registered");
        yield return new Hostile("other-ca-shown", new PresentedCertificate(elsewhere.Leaf("other-ca-shown"), [elsewhere.Certificate]), "'CN=elsewhere'");
        yield return Alone("namesake-ca", twin.Leaf("namesake-ca"), "does not bear the signature of its issuer");
        yield return new Hostile("missing-link", new PresentedCertificate(line.Leaf("missing-link"), []), "the chain lacks 'CN=line'");
        yield return Alone("outside-scope", scoped.Leaf("outside-scope"), "only for ids that begin with scoped-");
        yield return Alone("server-leaf", plant.Leaf("server-leaf", purpose: TestAuthority.ServerAuth), "does not name client authentication");
        yield return Alone("hub-itself", HubsOwn("server"), "does not name client authentication");
        yield return Alone("ca-as-leaf", plant.Leaf("ca-as-leaf", isAuthority: true), "of a certificate authority, not of a device");
        yield return Alone("gateway-minted", ByOwnRoot("gateway-root", "gateway-minted", now), "Sallyport gateway root");
        yield return new Hostile("device-minted", new PresentedCertificate(Minted(device, "device-minted", now), [device]), "'CN=neighbour'");
        yield return Alone("revoked", plant.Leaf("revoked"), "is revoked by 'CN=plant'");
        yield return Alone("v1", plant.LeafOfVersion1("v1"), "of X.509 version 1");
        yield return Alone("16-kb", plant.Leaf("16-kb", paddingBytes: 16 * 1024), "more than 8192");
        yield return Alone("no-digital-signature", plant.Leaf("no-digital-signature", usage: X509KeyUsageFlags.KeyEncipherment), "does not name digital signatures");
        yield return Alone("any-purpose-but-client", plant.Leaf("any-purpose-but-client", purpose: "1.3.6.1.5.5.7.3.8"), "does not name client authentication");
        yield return Alone("owner-by-name", plant.Leaf("iothubowner"), "common name is 'iothubowner'");
        yield return Alone("wildcard-cn", plant.Leaf("*"), "common name is '*'");
        yield return Alone("space-cn", plant.Leaf("", subject: "CN=\"space-cn \""), "common name is 'space-cn '");
        yield return Alone("alternative-name", plant.Leaf("somebody", alternativeName: "alternative-name"), "common name is 'somebody'");
        yield return Alone("self-signed", SelfSigned("self-signed", now), "no registered authority");
        yield return Alone("pinned-other", SelfSigned("pinned-other", now), "neither the primary nor the secondary thumbprint", pinned: new string('0', 40));
        yield return Alone("pinned-expired", SelfSigned("pinned-expired", now.AddDays(-100)), "the certificate expired at");
        yield return Alone("pinned-server", plant.Leaf("pinned-server", purpose: TestAuthority.ServerAuth), "does not name client authentication");
    }

    private static Hostile Alone(string id, X509Certificate2 leaf, string reason, string? pinned = null) => new(id, new PresentedCertificate(leaf, []), reason, pinned);

    private X509Certificate2 HubsOwn(string name) =>
        X509Certificate2.CreateFromPemFile(Path.Combine(_hub.Data, "tls", name + ".crt"), Path.Combine(_hub.Data, "tls", name + ".key"));

    private X509Certificate2 ByOwnRoot(string root, string name, DateTimeOffset now)
    {
        var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var leaf = Sallyport.Certificates.Issue.Device(HubsOwn(root), name, new PublicKey(key), TimeSpan.FromDays(1), now);
        return leaf.CopyWithPrivateKey(key);
    }

    private static X509Certificate2 Minted(X509Certificate2 device, string name, DateTimeOffset now)
    {
        var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var leaf = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256).Create(
            device.SubjectName, X509SignatureGenerator.CreateForECDsa(device.GetECDsaPrivateKey()!), now.AddDays(-1), now.AddDays(1), [1, 2, 3]);
        return leaf.CopyWithPrivateKey(key);
    }

    private static X509Certificate2 SelfSigned(string name, DateTimeOffset now)
    {
        var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        return new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256).CreateSelfSigned(now.AddDays(-1), now.AddDays(30));
    }

    /// <param name="Pinned">The thumbprint that its device is registered with; null for its own.</param>
    private sealed record Hostile(string Id, PresentedCertificate Shown, string Reason, string? Pinned = null);
}
