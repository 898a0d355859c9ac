using System.Net;
using System.Net.Security;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Sallyport.Client.Service;

namespace Sallyport.Tests.Client;

public sealed class ServiceClientTests : IAsyncDisposable
{
    private const string Policy = "HostName=localhost;SharedAccessKeyName=iothubowner;SharedAccessKey=c2VjcmV0LXNlY3JldC1zZWNyZXQ=";

    private readonly TestCertificates _certificates = new("localhost");
    private WebApplication? _server;

    [Fact]
    public async Task Request_Answered_GivesTheJsonAndCarriesATokenOfThePolicy()
    {
        string? authorization = null, url = null;
        using var client = await Connect(http =>
        {
            authorization = http.Request.Headers.Authorization;
            url = http.Request.Path + http.Request.QueryString;
            return http.Response.WriteAsync("""{"deviceId":"a#b","unknownField":7}""");
        });

        var device = await client.GetDeviceAsync("a#b");

        Assert.Equal(7, (int)device["unknownField"]!);
        Assert.Equal("/devices/a#b?api-version=2021-04-12", Uri.UnescapeDataString(url!));
        Assert.StartsWith("SharedAccessSignature sr=localhost&sig=", authorization);
        Assert.EndsWith("&skn=iothubowner", authorization);
    }

    [Fact]
    public async Task Put_WithETag_SendsItQuotedAndFillsInTheId()
    {
        string? ifMatch = null, body = null;
        using var client = await Connect(async http =>
        {
            ifMatch = http.Request.Headers.IfMatch;
            body = await new StreamReader(http.Request.Body).ReadToEndAsync();
            await http.Response.WriteAsync(body);
        });

        await client.PutDeviceAsync("d1", new JsonObject { ["status"] = "disabled" }, ifMatch: "AAAAAAAAAAc=");

        Assert.Equal("\"AAAAAAAAAAc=\"", ifMatch);
        Assert.Equal("""{"status":"disabled","deviceId":"d1"}""", body);
    }

    [Fact]
    public async Task Request_Refused_ThrowsWithStatusCodeAndMessage()
    {
        using var client = await Connect(http =>
        {
            http.Response.StatusCode = 404;
            http.Response.Headers["iothub-errorcode"] = "DeviceNotFound";
            return http.Response.WriteAsync("""{"Message":"ErrorCode:DeviceNotFound;no such device","ExceptionMessage":"Tracking ID:1"}""");
        });

        var refused = await Assert.ThrowsAsync<ServiceException>(() => client.GetDeviceAsync("d1"));

        Assert.Equal(HttpStatusCode.NotFound, refused.Status);
        Assert.Equal("DeviceNotFound", refused.ErrorCode);
        Assert.Equal("ErrorCode:DeviceNotFound;no such device", refused.Message);
    }

    [Fact]
    public async Task Error_NotJson_ThrowsWithItsText()
    {
        using var client = await Connect(http =>
        {
            http.Response.StatusCode = 502;
            return http.Response.WriteAsync("bad gateway");
        });

        var refused = await Assert.ThrowsAsync<ServiceException>(() => client.GetDeviceAsync("d1"));

        Assert.Equal("bad gateway", refused.Message);
    }

    [Fact]
    public async Task Stream_LinesInAnyPieces_GivesEachAsItComes()
    {
        var firstIsRead = new TaskCompletionSource();
        using var client = await Connect(async http =>
        {
            await http.Response.Body.WriteAsync("{\"n\":1}\n\n{\"n"u8.ToArray());
            await http.Response.Body.FlushAsync();
            await firstIsRead.Task;
            await http.Response.Body.WriteAsync("\":2}\n"u8.ToArray());
        });

        var seen = new List<int>();
        await foreach (var line in client.StreamAsync("manage/v1/events"))
        {
            seen.Add((int)line["n"]!);
            firstIsRead.TrySetResult();
        }

        Assert.Equal([1, 2], seen);
    }

    [Fact]
    public async Task Server_WithARootThatIsNotTrusted_IsNotSpokenTo()
    {
        var asked = false;
        using var _ = await Connect(http =>
        {
            asked = true;
            return Task.CompletedTask;
        });
        using var foreign = new TestCertificates("localhost");
        using var client = new ServiceClient(Policy, new ServiceClientOptions { Port = Port, CaFile = foreign.RootFile });

        await Assert.ThrowsAsync<HttpRequestException>(() => client.GetDeviceAsync("d1"));

        Assert.False(asked);
    }

    [Fact]
    public async Task Server_WithADevicesCertificate_IsNotSpokenTo()
    {
        var asked = false;
        using var bad = new TestCertificates("localhost", TestCertificates.ClientAuth);
        using var _ = await Connect(
            http =>
            {
                asked = true;
                return Task.CompletedTask;
            },
            bad);
        using var client = new ServiceClient(Policy, new ServiceClientOptions { Port = Port, CaFile = bad.RootFile });

        await Assert.ThrowsAsync<HttpRequestException>(() => client.GetDeviceAsync("d1"));

        Assert.False(asked);
    }

    [Fact]
    public async Task Server_OfAnotherName_IsNotSpokenTo()
    {
        using var _ = await Connect(http => Task.CompletedTask);
        using var client = new ServiceClient(
            Policy.Replace("localhost", "127.0.0.1", StringComparison.Ordinal), new ServiceClientOptions { Port = Port, CaFile = _certificates.RootFile });

        await Assert.ThrowsAsync<HttpRequestException>(() => client.GetDeviceAsync("d1"));
    }

    [Theory]
    [InlineData("HostName=localhost;DeviceId=d1;SharedAccessKey=c2VjcmV0")]
    [InlineData("SharedAccessKeyName=p;SharedAccessKey=c2VjcmV0")]
    [InlineData("HostName=localhost;SharedAccessKeyName=p;SharedAccessKey=not base64")]
    [InlineData("HostName=localhost;SharedAccessKeyName=p")]
    [InlineData("HostName=localhost;HostName=b;SharedAccessKeyName=p;SharedAccessKey=c2VjcmV0")]
    [InlineData("")]
    public void ConnectionString_NotOfAPolicy_IsRefusedWithoutItsKey(string connectionString)
    {
        var refused = Assert.Throws<FormatException>(() => new ServiceClient(connectionString));

        Assert.DoesNotContain("c2VjcmV0", refused.ToString());
    }

    public async ValueTask DisposeAsync()
    {
        if (_server is not null)
            await _server.DisposeAsync();
        _certificates.Dispose();
    }

    private int Port => new Uri(_server!.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single()).Port;

    private async Task<ServiceClient> Connect(RequestDelegate answer, TestCertificates? shown = null)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrelHttpsConfiguration().ConfigureKestrel(kestrel =>
            kestrel.Listen(IPAddress.Loopback, 0, listen =>
                listen.UseHttps(new TlsHandshakeCallbackOptions
                {
                    // Kestrel itself would not show what is no server's.
                    OnConnection = _ => ValueTask.FromResult(new SslServerAuthenticationOptions { ServerCertificate = (shown ?? _certificates).Server }),
                })));
        _server = builder.Build();
        _server.Run(answer);
        await _server.StartAsync();
        return new ServiceClient(Policy, new ServiceClientOptions { Port = Port, CaFile = _certificates.RootFile });
    }
}
