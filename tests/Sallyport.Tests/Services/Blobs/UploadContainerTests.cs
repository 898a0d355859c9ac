using System.Net;
using System.Net.Sockets;
using Sallyport.Services.Blobs;
using Sallyport.Services.Outgoing;
using Sallyport.Settings;
using Sallyport.Tests.Storage;
using Sallyport.Up;
using Sallyport.Uploads;

namespace Sallyport.Tests.Services.Blobs;

/// <summary>Signing, and what it refuses; against Azurite it is tried in <c>uploads.test.mjs</c>.</summary>
public sealed class UploadContainerTests : IDisposable
{
    private const string Key = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA==";
    private static readonly DateTimeOffset End = new(2026, 1, 2, 13, 0, 0, TimeSpan.Zero);

    private readonly TemporaryDirectory _directory = new();

    private OutgoingOptions Outgoing => new() { SinksDirectory = _directory["sinks"] };

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData("", "acct.blob.core.windows.net")]
    [InlineData("BlobEndpoint=https://192.0.2.1:8443/acct;", "192.0.2.1:8443/acct")]
    [InlineData("BlobEndpoint=https://localhost:10000/acct;", "localhost:10000/acct")]
    [InlineData("BlobEndpoint=https://files.example.org;", "files.example.org")]
    public void Url_IsPutTogetherAsSdksDo(string endpoint, string host)
    {
        using var container = new UploadContainer($"DefaultEndpointsProtocol=https;AccountName=acct;AccountKey={Key};{endpoint}EndpointSuffix=core.windows.net", "from-devices", Outgoing);
        Assert.Equal((host, "from-devices", $"{host}/from-devices"), (container.HostName, container.Name, container.ToString()));
        var query = container.SignForWriting("d1/a b?.bin", End);
        Assert.StartsWith("?", query, StringComparison.Ordinal);
        foreach (var field in (string[])["sr=b", "sp=cw", "spr=https", "se=2026-01-02T13%3A00%3A00Z"])
            Assert.Contains(field, query[1..].Split('&'));
        var read = container.SignForReading("d1/a b?.bin", End);
        Assert.StartsWith($"https://{host}/from-devices/d1/a%20b%3F.bin?", read.AbsoluteUri, StringComparison.Ordinal);
        Assert.Contains("sp=r", read.Query[1..].Split('&'));
        Assert.DoesNotContain(Key, query + read, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("nonsense " + Key)]
    [InlineData("DefaultEndpointsProtocol=https;AccountName=acct;EndpointSuffix=core.windows.net;AccountKey=not base64")]
    [InlineData("BlobEndpoint=https://acct.blob.core.windows.net;SharedAccessSignature=sv=2020-10-02&sig=secret")]
    [InlineData("DefaultEndpointsProtocol=http;AccountName=acct;AccountKey=" + Key + ";EndpointSuffix=core.windows.net")]
    public void ConnectionString_ThatIsNone_HasNoKey_OrNoTls_IsRefused_AndNotRepeated(string connectionString)
    {
        var refused = Assert.Throws<FormatException>(() => new UploadContainer(connectionString, "from-devices", Outgoing));
        Assert.DoesNotContain("secret", refused.ToString(), StringComparison.OrdinalIgnoreCase);
        Assert.DoesNotContain(Key, refused.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Account_AtAnAddressThatIsNotAllowed_OrThatDoesNotAnswer_IsAnIOException_WithoutASecret()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        var port = ((IPEndPoint)listener.LocalEndpoint).Port;
        foreach (var (outgoing, why) in ((OutgoingOptions, string)[])[(Outgoing, "loopback"), (Outgoing with { AllowLoopback = true, OwnPorts = [port] }, "this hub's own")])
        {
            using var container = new UploadContainer($"AccountName=acct;AccountKey={Key};BlobEndpoint=https://127.0.0.1:{port}/acct", "from-devices", outgoing);
            var failed = await Assert.ThrowsAsync<IOException>(() => container.FindAsync("d1/a", TestContext.Current.CancellationToken));
            Assert.Contains(why, failed.Message, StringComparison.Ordinal);
            Assert.DoesNotContain(Key, failed.ToString(), StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Account_WhoseFileCannotBeUsed_KeepsTheHubFromStarting_AndSaysWhich()
    {
        var path = _directory["account"];
        var settings = new HubSettings { UploadAccount = new UploadAccountSettings { ConnectionStringFile = path } };
        Assert.Contains(path, Assert.Throws<CannotStartException>(() => UploadAccount.Open(settings, Outgoing)).Message, StringComparison.Ordinal);
        File.WriteAllText(path, $"AccountName=acct;AccountKey={Key}x");
        var refused = Assert.Throws<CannotStartException>(() => UploadAccount.Open(settings, Outgoing)).Message;
        Assert.Contains("no connection string", refused, StringComparison.Ordinal);
        Assert.DoesNotContain(Key, refused, StringComparison.Ordinal);
        Assert.Null(UploadAccount.Open(new HubSettings(), Outgoing));
    }
}
