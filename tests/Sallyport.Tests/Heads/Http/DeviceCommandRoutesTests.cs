using System.Net;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Sallyport.Protocol.Sas;
using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Heads.Http;

/// <summary>How a device takes its commands over HTTPS, and how a service is told of them.</summary>
public sealed class DeviceCommandRoutesTests : IAsyncLifetime
{
    private const string Bound = "/devices/d1/messages/deviceBound";
    private const string Told = "/messages/serviceBound/feedback";

    private HttpHeadHost _hub = null!;

    public async ValueTask InitializeAsync()
    {
        _hub = await HttpHeadHost.StartAsync();
        foreach (var resource in new[] { "devices/d1", "devices/d1/modules/m1", "devices/d2" })
        {
            var identity = new JsonObject { ["authentication"] = new JsonObject { ["symmetricKey"] = new JsonObject { ["primaryKey"] = KeyOf(resource), ["secondaryKey"] = KeyOf(resource + "'") } } };
            Assert.True((await _hub.OwnerAsync(HttpMethod.Put, $"/{resource}", identity.ToJsonString())).Status is HttpStatusCode.OK or HttpStatusCode.Created);
        }
    }

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Command_IsGivenWithItsPropertiesAsHeaders_AndCompletedByItsEtag()
    {
        await SendAsync("""{"body":"open","messageId":"m1","correlationId":"c1","ack":"full","properties":{"k 1":"v/1","ü":"é","n":null,"same":"a","SAME":"b"}}""");
        var given = await DeviceAsync(HttpMethod.Get, Bound);

        Assert.Equal((HttpStatusCode.OK, "open"), (given.Status, given.Body));
        Assert.Equal(
            ("m1", "c1", "full", "/devices/d1/messages/deviceBound", "1", "0", "2026-01-02T12:00:00.0000000Z"),
            (given.Header("iothub-messageid"), given.Header("iothub-correlationid"), given.Header("iothub-ack"), given.Header("iothub-to"), given.Header("iothub-sequencenumber"),
                given.Header("iothub-deliverycount"), given.Header("iothub-enqueuedtime")));
        Assert.Equal(("v/1", "%C3%A9", ""), (given.Header("iothub-app-k%201"), given.Header("iothub-app-%C3%BC"), given.Header("iothub-app-n")));
        Assert.Equal(["a", "b"], given.Headers.GetValues("iothub-app-same"));
        Assert.Equal(HttpStatusCode.NoContent, (await DeviceAsync(HttpMethod.Get, Bound)).Status);

        Assert.Equal(HttpStatusCode.NoContent, (await DeviceAsync(HttpMethod.Delete, $"{Bound}/{Lock(given)}")).Status);
        var late = await DeviceAsync(HttpMethod.Delete, $"{Bound}/{Lock(given)}");
        Assert.Equal((HttpStatusCode.PreconditionFailed, "DeviceMessageLockLost"), (late.Status, late.ErrorCode));
    }

    [Fact]
    public async Task Command_Abandoned_ComesAgain_AndRejectedDoesNot()
    {
        await SendAsync("""{"body":"x"}""");
        Assert.Equal(HttpStatusCode.NoContent, (await DeviceAsync(HttpMethod.Post, $"{Bound}/{Lock(await DeviceAsync(HttpMethod.Get, Bound))}/abandon")).Status);
        var again = await DeviceAsync(HttpMethod.Get, Bound);
        Assert.Equal("1", again.Header("iothub-deliverycount"));

        Assert.Equal(HttpStatusCode.NoContent, (await DeviceAsync(HttpMethod.Delete, $"{Bound}/{Lock(again)}?reject")).Status);
        Assert.Equal(HttpStatusCode.NoContent, (await DeviceAsync(HttpMethod.Get, Bound)).Status);
        Assert.Equal(DeadReason.Rejected, Assert.Single(_hub.Commands.ListDead("d1", 0, 10)).Reason);
    }

    [Fact]
    public async Task Command_WhoseLockHasEnded_IsGivenAgain_AndTheOldEtagSettlesNothing()
    {
        await SendAsync("""{"body":"x"}""");
        var first = await DeviceAsync(HttpMethod.Get, Bound);
        _hub.Time.Advance(TimeSpan.FromSeconds(60));
        Assert.Equal("x", (await DeviceAsync(HttpMethod.Get, Bound)).Body);
        foreach (var (method, path) in new[] { (HttpMethod.Delete, ""), (HttpMethod.Delete, "?reject"), (HttpMethod.Post, "/abandon") })
            Assert.Equal("DeviceMessageLockLost", (await DeviceAsync(method, $"{Bound}/{Lock(first)}{path}")).ErrorCode);
    }

    [Fact]
    public async Task Commands_AreTheirIdentitysOwn()
    {
        await SendAsync("""{"body":"device's"}""");
        await _hub.OwnerAsync(HttpMethod.Post, "/manage/v1/devices/d1/modules/m1/commands", """{"body":"module's"}""");

        Assert.Equal(HttpStatusCode.Unauthorized, (await DeviceAsync(HttpMethod.Get, Bound, "devices/d2")).Status);
        Assert.Equal(HttpStatusCode.NoContent, (await DeviceAsync(HttpMethod.Get, "/devices/d2/messages/deviceBound", "devices/d2")).Status);
        var module = await DeviceAsync(HttpMethod.Get, "/devices/d1/modules/m1/messages/deviceBound", "devices/d1/modules/m1");
        Assert.Equal("module's", module.Body);
        Assert.Equal("DeviceMessageLockLost", (await DeviceAsync(HttpMethod.Delete, $"{Bound}/{Lock(module)}")).ErrorCode);
    }

    [Fact]
    public async Task Device_InQuarantine_GetsNothing()
    {
        await SendAsync("""{"body":"x"}""");
        _hub.Line.Hold(new QuarantineRecord("d1", _hub.Time.GetUtcNow(), "", ""));
        Assert.Equal(HttpStatusCode.NoContent, (await DeviceAsync(HttpMethod.Get, Bound)).Status);
        _hub.Line.Release("d1");
        Assert.Equal("x", (await DeviceAsync(HttpMethod.Get, Bound)).Body);
    }

    [Fact]
    public async Task Feedback_IsGivenInBatches_AbandonedAndCompletedByItsEtag()
    {
        Assert.Equal(HttpStatusCode.NoContent, (await _hub.SendAsync("service", HttpMethod.Get, Told)).Status);
        await SendAsync("""{"messageId":"m1","ack":"positive"}""");
        await DeviceAsync(HttpMethod.Delete, $"{Bound}/{Lock(await DeviceAsync(HttpMethod.Get, Bound))}");
        _hub.Time.Advance(TimeSpan.FromSeconds(15));
        await _hub.Commands.LookAfterAsync();

        var batch = await _hub.SendAsync("service", HttpMethod.Get, Told);
        Assert.Equal(("m1", "Success"), ((string)batch.Json[0]!["originalMessageId"]!, (string)batch.Json[0]!["statusCode"]!));
        Assert.Equal(HttpStatusCode.NoContent, (await _hub.SendAsync("service", HttpMethod.Get, Told)).Status);
        Assert.Equal(HttpStatusCode.NoContent, (await _hub.SendAsync("service", HttpMethod.Post, $"{Told}/{Lock(batch)}/abandon")).Status);
        batch = await _hub.SendAsync("service", HttpMethod.Get, Told);
        Assert.Equal(HttpStatusCode.NoContent, (await _hub.SendAsync("service", HttpMethod.Delete, $"{Told}/{Lock(batch)}")).Status);
        Assert.Equal("DeviceMessageLockLost", (await _hub.SendAsync("service", HttpMethod.Delete, $"{Told}/{Lock(batch)}")).ErrorCode);
        Assert.Contains(_hub.Audit.Entries, entry => entry is { Action: "feedback read", Principal: "policy:service" });
    }

    private Task<Answer> DeviceAsync(HttpMethod method, string path, string resource = "devices/d1") =>
        _hub.SendAsync(method, path, SharedAccessSignature.Create($"{HttpHeadHost.HostName}/{resource}", KeyOf(resource), _hub.Time.GetUtcNow() + TimeSpan.FromHours(1)), null);

    // No two identities may have the same.
    private static string KeyOf(string resource) => Convert.ToBase64String(SHA256.HashData(Encoding.ASCII.GetBytes(resource)));

    private Task<Answer> SendAsync(string body) => _hub.OwnerAsync(HttpMethod.Post, "/manage/v1/devices/d1/commands", body);

    private static string Lock(Answer answer) => answer.Headers.ETag!.Tag.Trim('"');
}
