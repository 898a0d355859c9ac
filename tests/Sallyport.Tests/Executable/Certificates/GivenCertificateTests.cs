using System.Security.Cryptography;
using Sallyport.Certificates;
using Sallyport.Settings;
using Sallyport.Tests.Client;

namespace Sallyport.Tests.Executable.Certificates;

/// <summary>The server certificate that somebody gives; what refuses a start is in <see cref="Bounds.RefusedStartTests"/>.</summary>
public sealed class GivenCertificateTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData(TestCertificates.ServerAuth)]
    [InlineData("2.5.29.37.0")] // any purpose
    [InlineData(null)] // says nothing about it
    public void Certificate_ThatMayBeAServers_IsTaken(string? purpose)
    {
        using var made = Give(purpose);

        Assert.Equal(made.Server.Thumbprint, Source().Load().Leaf.Thumbprint);
    }

    [Fact]
    public void Certificate_OfADevice_PutInItsPlaceLater_IsNotTaken()
    {
        using var good = Give(TestCertificates.ServerAuth);
        var source = Source();
        source.Load();

        using var device = Give(TestCertificates.ClientAuth);

        Assert.Contains("is not a server's certificate", Assert.Throws<CryptographicException>(source.LoadIfChanged).Message);
        using var next = Give(TestCertificates.ServerAuth);
        Assert.Equal(next.Server.Thumbprint, source.LoadIfChanged()!.Leaf.Thumbprint);
    }

    private TestCertificates Give(string? purpose)
    {
        var made = new TestCertificates("localhost", purpose);
        File.WriteAllText(_directory["hub.pem"], made.Server.ExportCertificatePem() + "\n" + made.ServerKeyPem);
        return made;
    }

    private GivenCertificate Source() => new(new TlsSettings { CertificateFile = _directory["hub.pem"] }, TimeProvider.System);
}
