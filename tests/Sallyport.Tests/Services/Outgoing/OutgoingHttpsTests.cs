using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Sallyport.Services.Outgoing;
using Sallyport.Tests.Executable;

namespace Sallyport.Tests.Services.Outgoing;

/// <summary>What is fetched over HTTPS, from a server that answers whatever a test wants.</summary>
public sealed class OutgoingHttpsTests : IDisposable
{
    private readonly TemporaryDirectory _files = new();
    private readonly TcpListener _server = new(IPAddress.Loopback, 0);
    private readonly X509Certificate2 _certificate = Certificate("localhost");

    public OutgoingHttpsTests()
    {
        _server.Start();
        File.WriteAllText(_files["roots.pem"], _certificate.ExportCertificatePem());
    }

    private int Port => ((IPEndPoint)_server.LocalEndpoint).Port;

    public void Dispose()
    {
        _server.Dispose();
        _certificate.Dispose();
        _files.Dispose();
    }

    [Fact]
    public async Task Answer_OfATrustedServer_IsTaken() =>
        Assert.Equal("list"u8.ToArray(), await GetAsync("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlist"));

    [Fact]
    public async Task Answer_ThatIsTooLong_IsNotTaken() =>
        Assert.Contains("more than 100 bytes", await FaultAsync($"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{new string('x', 101)}"));

    [Fact]
    public async Task Redirect_IsNotFollowed() =>
        Assert.Contains("answered 302", await FaultAsync("HTTP/1.1 302 Found\r\nLocation: https://localhost/\r\nContent-Length: 0\r\n\r\n"));

    [Fact]
    public async Task Server_WithAnotherName_IsNotAsked()
    {
        using var other = Certificate("elsewhere");
        File.AppendAllText(_files["roots.pem"], "\n" + other.ExportCertificatePem());

        Assert.NotEqual("", await FaultAsync("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlist", other));
    }

    [Fact]
    public async Task Address_ThatIsNotAllowed_IsNotAsked()
    {
        using var outgoing = new OutgoingHttps(new OutgoingOptions { SinksDirectory = _files.Path }, TimeProvider.System);

        var refused = await Assert.ThrowsAsync<IOException>(() => outgoing.GetAsync(new Uri($"https://localhost:{Port}/"), 100, TestContext.Current.CancellationToken));

        Assert.Contains("loopback", refused.Message);
        Assert.False(_server.Pending());
    }

    private async Task<string> FaultAsync(string answer, X509Certificate2? shown = null) =>
        (await Assert.ThrowsAsync<IOException>(() => GetAsync(answer, shown))).Message;

    private async Task<byte[]> GetAsync(string answer, X509Certificate2? shown = null)
    {
        using var outgoing = new OutgoingHttps(
            new OutgoingOptions { SinksDirectory = _files.Path, AllowLoopback = true, RootsFile = _files["roots.pem"] }, TimeProvider.System);
        var serving = ServeAsync(answer, shown ?? _certificate);
        try
        {
            return await outgoing.GetAsync(new Uri($"https://localhost:{Port}/plant.crl"), 100, TestContext.Current.CancellationToken);
        }
        finally
        {
            await serving;
        }
    }

    private async Task ServeAsync(string answer, X509Certificate2 shown)
    {
        using var socket = await _server.AcceptTcpClientAsync(TestContext.Current.CancellationToken);
        await using var tls = new SslStream(socket.GetStream());
        try
        {
            await tls.AuthenticateAsServerAsync(shown);
            await tls.ReadExactlyAsync(new byte[4], TestContext.Current.CancellationToken);
            await tls.WriteAsync(Encoding.ASCII.GetBytes(answer), TestContext.Current.CancellationToken);
            await tls.ShutdownAsync();
        }
        catch (Exception e) when (e is IOException or System.Security.Authentication.AuthenticationException)
        {
            return; // The client did not want any of it.
        }
    }

    private static X509Certificate2 Certificate(string name)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName(name);
        request.CertificateExtensions.Add(names.Build());
        return request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
    }
}
