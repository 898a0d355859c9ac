using System.Net;
using Microsoft.AspNetCore.Http;
using Sallyport.Heads.Http;
using Sallyport.Hub.Access;
using Sallyport.Protocol.Sas;

namespace Sallyport.Tests.Heads.Http;

public sealed class UploadRoutesTests : IAsyncLifetime
{
    private HttpHeadHost _hub = null!;

    public async ValueTask InitializeAsync()
    {
        _hub = await HttpHeadHost.StartAsync();
        await _hub.OwnerAsync(HttpMethod.Put, "/devices/d1", """{"deviceId":"d1"}""");
        await _hub.OwnerAsync(HttpMethod.Put, "/devices/d2", """{"deviceId":"d2"}""");
    }

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Upload_AsADeviceDoesIt_IsReadByAService_AndAudited()
    {
        var place = await BeginAsync("a b.txt");
        Assert.Equal((HttpHeadHost.HostName, "uploads", "d1/a b.txt"), ((string)place["hostName"]!, (string)place["containerName"]!, (string)place["blobName"]!));
        var url = Url(place);
        var block = await PutAsync($"{url}&comp=block&blockid=MQ%3D%3D", "hello");
        Assert.Equal((HttpStatusCode.Created, "false"), (block.Status, block.Header("x-ms-request-server-encrypted")));
        var committed = await PutAsync($"{url}&comp=blocklist", "<?xml version=\"1.0\"?><BlockList><Latest>MQ==</Latest></BlockList>", ("x-ms-blob-content-type", "text/plain"));
        Assert.Equal(HttpStatusCode.Created, committed.Status);
        Assert.Matches("^\"0x[0-9A-F]{16}\"$", committed.Header("ETag"));
        Assert.Equal(HttpStatusCode.NoContent, (await DeviceAsync("/devices/d1/files/notifications", $$"""{"correlationId":"{{place["correlationId"]}}","isSuccess":true,"statusCode":201,"statusDescription":"Created"}""")).Status);

        var listed = (await _hub.OwnerAsync(HttpMethod.Get, "/manage/v1/devices/d1/files")).Json.AsArray();
        Assert.Equal(("d1/a b.txt", 5), ((string)listed[0]!["blobName"]!, (int)listed[0]!["sizeBytes"]!));
        var handed = (await _hub.OwnerAsync(HttpMethod.Post, "/manage/v1/devices/d1/files/read", """{"blobName":"a b.txt","minutes":1}""")).Json;
        var read = await _hub.SendAsync(HttpMethod.Get, Path((string)handed["uri"]!), null, null);
        Assert.Equal((HttpStatusCode.OK, "hello"), (read.Status, read.Body));
        Assert.Equal(("bytes", "BlockBlob"), (read.Header("Accept-Ranges"), read.Header("x-ms-blob-type")));
        var part = await _hub.SendAsync(HttpMethod.Get, Path((string)handed["uri"]!), null, null, ("Range", "bytes=1-2"));
        Assert.Equal((HttpStatusCode.PartialContent, "el"), (part.Status, part.Body));
        Assert.Equal(HttpStatusCode.NoContent, (await _hub.OwnerAsync(HttpMethod.Delete, "/manage/v1/devices/d1/files?name=d1/a%20b.txt")).Status);
        Assert.Equal("BlobNotFound", (await _hub.SendAsync(HttpMethod.Get, Path((string)handed["uri"]!), null, null)).Header("x-ms-error-code"));
        foreach (var action in (string[])["file list", "file read", "file delete"])
            Assert.Contains(_hub.Audit.Entries, entry => entry.Action == action && entry is { Principal: "policy:iothubowner", Result: "done" });
    }

    [Theory]
    [InlineData("&comp=metadata", "x", "InvalidQueryParameterValue")]
    [InlineData("&comp=block", "x", "InvalidBlockId")]
    [InlineData("&comp=block&blockid=!!!!", "x", "InvalidBlockId")]
    [InlineData("&comp=block&blockid=MQ%3D%3D", "", "InvalidHeaderValue")]
    [InlineData("", "x", "InvalidHeaderValue")]
    [InlineData("&comp=blocklist", "<BlockList><Latest>MQ==</Latest></BlockList>", "InvalidBlockList")]
    [InlineData("&comp=blocklist", "<BlockList><Latest>MQ==</Latest>", "InvalidXmlDocument")]
    [InlineData("&comp=blocklist", "<List/>", "InvalidXmlDocument")]
    [InlineData("&comp=blocklist", "<BlockList>text</BlockList>", "InvalidXmlDocument")]
    [InlineData("&comp=blocklist", "<BlockList><Latest><Latest>MQ==</Latest></Latest></BlockList>", "InvalidXmlDocument")]
    [InlineData("&comp=blocklist", "<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><BlockList><Latest>&b;</Latest></BlockList>", "InvalidXmlDocument")]
    [InlineData("&comp=blocklist", "", "InvalidXmlDocument")]
    public async Task Request_ThatIsNotAsStorageHasIt_IsRefusedAsXml(string query, string body, string code)
    {
        var answer = await PutAsync(Url(await BeginAsync("a")) + query, body);
        Assert.Equal((HttpStatusCode.BadRequest, code), (answer.Status, answer.Header("x-ms-error-code")));
        Assert.StartsWith($"<?xml version=\"1.0\" encoding=\"utf-8\"?><Error><Code>{code}</Code><Message>", answer.Body, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("x-ms-structured-body", "XSM/1.0; properties=crc64")]
    [InlineData("x-ms-meta-a", "b")]
    [InlineData("x-ms-lease-id", "1")]
    [InlineData("x-ms-tags", "a=b")]
    [InlineData("If-Unmodified-Since", "Fri, 02 Jan 2026 12:00:00 GMT")]
    [InlineData("If-None-Match", "\"0x1\"")]
    public async Task Request_ThatAsksForMore_IsToldSo_AndNothingIsWritten(string name, string value)
    {
        var answer = await PutAsync(Url(await BeginAsync("a")), "x", ("x-ms-blob-type", "BlockBlob"), (name, value));
        Assert.Equal((HttpStatusCode.BadRequest, "UnsupportedHeader"), (answer.Status, answer.Header("x-ms-error-code")));
        Assert.Empty((await _hub.OwnerAsync(HttpMethod.Get, "/manage/v1/devices/d1/files")).Json.AsArray());
    }

    [Fact]
    public async Task Signature_OfAnUpload_OpensNothingElse()
    {
        var url = Url(await BeginAsync("a"));
        Assert.Equal(HttpStatusCode.Created, (await PutAsync(url, "x", ("x-ms-blob-type", "BlockBlob"))).Status);
        foreach (var method in (HttpMethod[])[HttpMethod.Get, HttpMethod.Head, HttpMethod.Delete, HttpMethod.Post])
            Assert.Equal("AuthorizationPermissionMismatch", (await _hub.SendAsync(method, url, null, null)).Header("x-ms-error-code"));
        Assert.Equal("AuthorizationResourceTypeMismatch", (await PutAsync(url.Replace("/d1%2Fa?", "/d2%2Fa?", StringComparison.Ordinal), "x", ("x-ms-blob-type", "BlockBlob"))).Header("x-ms-error-code"));
        foreach (var none in (string[])["/uploads/d1/a", "/uploads/d1/a?sv=1&sp=cw&sig=", url.Replace("sig=", "sig=A", StringComparison.Ordinal), "/uploads/"])
            Assert.Equal((HttpStatusCode.Forbidden, "AuthenticationFailed"), ((await PutAsync(none, "x")).Status, (await PutAsync(none, "x")).Header("x-ms-error-code")));
        Assert.Contains(_hub.Audit.Entries, entry => entry is { Principal: "anonymous", Action: "blob request", Result: "refused", Reason: "AuthenticationFailed" });
        Assert.DoesNotContain(_hub.Audit.Entries, entry => entry.ToString().Contains("sig=", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Device_AsksForItselfAlone()
    {
        Assert.Equal(HttpStatusCode.Unauthorized, (await DeviceAsync("/devices/d2/files", """{"blobName":"a"}""")).Status);
        var place = await BeginAsync("a");
        Assert.Equal(HttpStatusCode.Unauthorized, (await DeviceAsync($"/devices/d2/files/notifications/{place["correlationId"]}", """{"isSuccess":false}""")).Status);
        Assert.Equal("IotHubFormatError", (await DeviceAsync("/devices/d1/files", "[]")).ErrorCode);
        Assert.Equal("ArgumentNull", (await DeviceAsync("/devices/d1/files", "{}")).ErrorCode);
    }

    [Theory]
    [InlineData("hub.test", "hub.test")]
    [InlineData("HUB.test:8443", "HUB.test:8443")]
    [InlineData("hub.test:443", "hub.test")]
    [InlineData("evil.test:8443", "hub.test:8443")]
    [InlineData("", "hub.test")]
    public void Url_HandedOut_NamesTheHubAsItWasCalled_AndNoOther(string called, string named)
    {
        var context = new DefaultHttpContext();
        context.Request.Host = new HostString(called);
        Assert.Equal(named, context.CalledHost(new HubNames(["hub.test", "other.test"])));
    }

    [Fact]
    public async Task Files_OfADevice_AreForItsOwnRight()
    {
        foreach (var policy in (string[])["service", "registryReadWrite", "device"])
        {
            Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync(policy, HttpMethod.Get, "/manage/v1/devices/d1/files")).Status);
            Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync(policy, HttpMethod.Post, "/manage/v1/devices/d1/files/read", """{"blobName":"a"}""")).Status);
            Assert.Equal(HttpStatusCode.Unauthorized, (await _hub.SendAsync(policy, HttpMethod.Delete, "/manage/v1/devices/d1/files?name=a")).Status);
        }

        Assert.Equal(HttpStatusCode.NotFound, (await _hub.OwnerAsync(HttpMethod.Post, "/manage/v1/devices/d1/files/read", """{"blobName":"nothing"}""")).Status);
        Assert.Equal(HttpStatusCode.BadRequest, (await _hub.OwnerAsync(HttpMethod.Post, "/manage/v1/devices/d1/files/read", """{"blobName":"a","minutes":61}""")).Status);
        Assert.Equal(HttpStatusCode.BadRequest, (await _hub.OwnerAsync(HttpMethod.Delete, "/manage/v1/devices/d1/files")).Status);
    }

    [Fact]
    public async Task Notification_OverHttps_IsLocked_CompletedOrAbandoned()
    {
        var place = await BeginAsync("a");
        await PutAsync(Url(place), "x", ("x-ms-blob-type", "BlockBlob"));
        Assert.Equal(HttpStatusCode.NoContent, (await _hub.SendAsync("service", HttpMethod.Get, "/messages/serviceBound/filenotifications")).Status);
        await DeviceAsync($"/devices/d1/files/notifications/{place["correlationId"]}?api-version=2021-04-12", """{"isSuccess":true}""");

        var told = await _hub.SendAsync("service", HttpMethod.Get, "/messages/serviceBound/filenotifications");
        Assert.Equal("d1/a", (string)told.Json["blobName"]!);
        var token = told.Header("ETag")!.Trim('"');
        Assert.Equal(HttpStatusCode.NoContent, (await _hub.SendAsync("service", HttpMethod.Post, $"/messages/serviceBound/filenotifications/{token}/abandon")).Status);
        Assert.Equal("DeviceMessageLockLost", (await _hub.SendAsync("service", HttpMethod.Delete, $"/messages/serviceBound/filenotifications/{token}")).ErrorCode);
        token = (await _hub.SendAsync("service", HttpMethod.Get, "/messages/serviceBound/filenotifications")).Header("ETag")!.Trim('"');
        Assert.Equal(HttpStatusCode.NoContent, (await _hub.SendAsync("service", HttpMethod.Delete, $"/messages/serviceBound/filenotifications/{token}")).Status);
        Assert.Equal(HttpStatusCode.NoContent, (await _hub.SendAsync("service", HttpMethod.Get, "/messages/serviceBound/filenotifications")).Status);
    }

    private async Task<System.Text.Json.Nodes.JsonNode> BeginAsync(string name)
    {
        var answer = await DeviceAsync("/devices/d1/files?api-version=2021-04-12", $$"""{"blobName":"{{name}}"}""");
        Assert.Equal(HttpStatusCode.OK, answer.Status);
        return answer.Json;
    }

    private async Task<Answer> DeviceAsync(string path, string body)
    {
        var (_, token) = await KeyAsync("d1");
        return await _hub.SendAsync(HttpMethod.Post, path, token, body);
    }

    private Task<Answer> PutAsync(string url, string body, params (string Name, string Value)[] headers) => _hub.SendAsync(HttpMethod.Put, url, null, body, headers);

    private async Task<(string Key, string Token)> KeyAsync(string id)
    {
        var key = (string)(await _hub.OwnerAsync(HttpMethod.Get, $"/devices/{id}")).Json["authentication"]!["symmetricKey"]!["primaryKey"]!;
        return (key, SharedAccessSignature.Create($"{HttpHeadHost.HostName}/devices/{id}", key, _hub.Time.GetUtcNow() + TimeSpan.FromHours(1), null));
    }

    private static string Url(System.Text.Json.Nodes.JsonNode place) => $"/{place["containerName"]}/{Uri.EscapeDataString((string)place["blobName"]!)}{place["sasToken"]}";

    private static string Path(string uri) => uri[(uri.IndexOf(HttpHeadHost.HostName, StringComparison.Ordinal) + HttpHeadHost.HostName.Length)..];
}
