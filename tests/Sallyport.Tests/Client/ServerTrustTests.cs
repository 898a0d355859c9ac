using System.Diagnostics;
using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using Sallyport.Client.Access;
using Sallyport.Tests.Executable;

namespace Sallyport.Tests.Client;

/// <summary>Servers that only OpenSSL, told to, makes.</summary>
public sealed class ServerTrustTests
{
    [Theory]
    [InlineData(TestCertificates.ServerAuth, false, null)]
    [InlineData(TestCertificates.ServerAuth, true, "is signed with SHA-1")]
    [InlineData(TestCertificates.ClientAuth, false, "NotValidForUsage")] // a device's, with the hub's name, of the root that is trusted
    public async Task Server_IsBelievedByItsCertificate(string purpose, bool isSignedWithSha1, string? fault)
    {
        var cancel = TestContext.Current.CancellationToken;
        using var certificates = new TestCertificates("localhost", purpose, isSignedWithSha1);
        using var directory = new TemporaryDirectory();
        await File.WriteAllTextAsync(directory["server.crt"], certificates.Server.ExportCertificatePem(), cancel);
        await File.WriteAllTextAsync(directory["server.key"], certificates.ServerKeyPem, cancel);
        var start = new ProcessStartInfo(
            "openssl", ["s_server", "-accept", "127.0.0.1:0", "-cert", directory["server.crt"], "-key", directory["server.key"], "-cipher", "DEFAULT@SECLEVEL=0"])
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true,
        };
        using var server = Process.Start(start)!;
        try
        {
            // ACCEPT 127.0.0.1:PORT
            string? line;
            while ((line = await server.StandardOutput.ReadLineAsync(cancel)) is not null && !line.StartsWith("ACCEPT 127", StringComparison.Ordinal))
                continue;
            using var tcp = new TcpClient();
            await tcp.ConnectAsync(IPEndPoint.Parse(line!.Split(' ')[1]), cancel);
            await using var tls = new SslStream(tcp.GetStream());
            var handshake = tls.AuthenticateAsClientAsync(ServerTrust.Options("localhost", certificates.RootFile), cancel);

            if (fault is null)
                await handshake;
            else
                Assert.Contains(fault, (await Assert.ThrowsAsync<AuthenticationException>(() => handshake)).Message);
        }
        finally
        {
            server.Kill();
            await server.WaitForExitAsync(cancel);
        }
    }
}
