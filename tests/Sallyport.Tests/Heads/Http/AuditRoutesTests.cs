using System.Net;

namespace Sallyport.Tests.Heads.Http;

public sealed class AuditRoutesTests : IAsyncLifetime
{
    private HttpHeadHost _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await HttpHeadHost.StartAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Theory]
    [InlineData("top=0")]
    [InlineData("top=1001")]
    [InlineData("top=x")]
    [InlineData("from=0")]
    [InlineData("to=-1")]
    [InlineData("since=yesterday")]
    [InlineData("until=2026-08-01")]
    [InlineData("principle=d1")]
    [InlineData("action=a&action=b")]
    public async Task List_WithAWrongParameter_IsRefused_AndSaysWhich(string query)
    {
        var answer = await _hub.SendAsync("iothubowner", HttpMethod.Get, $"/manage/v1/audit?{query}");

        Assert.Equal(HttpStatusCode.BadRequest, answer.Status);
    }

    [Theory]
    [InlineData("""{"anchors":["{\"format\":\"sallyport-audit-anchor\",\"version\":9"]}""")]
    [InlineData("""{"anchors":[7]}""")]
    [InlineData("[]")]
    public async Task Verify_WithADamagedAnchor_IsRefused(string body)
    {
        var answer = await _hub.SendAsync("iothubowner", HttpMethod.Post, "/manage/v1/audit/verify", body);

        Assert.Equal(HttpStatusCode.BadRequest, answer.Status);
    }

    [Fact]
    public async Task Reads_BeyondTheBound_AreRefused()
    {
        // Each of them waits for its entry to be on disk.
        var waiting = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var arrived = new SemaphoreSlim(0);
        _hub.Audit.Recorded = entry =>
        {
            if (entry.Action != "audit anchor")
                return;
            arrived.Release();
            waiting.Task.Wait();
        };
        var reads = Enumerable.Range(0, 4).Select(_ => Task.Run(() => _hub.SendAsync("iothubowner", HttpMethod.Get, "/manage/v1/audit/anchor"))).ToList();
        for (var read = 0; read < 4; read++)
            await arrived.WaitAsync(TestContext.Current.CancellationToken);

        var beyond = await _hub.SendAsync("iothubowner", HttpMethod.Get, "/manage/v1/audit/anchor");
        waiting.SetResult();

        Assert.Equal(HttpStatusCode.ServiceUnavailable, beyond.Status);
        Assert.All(await Task.WhenAll(reads), read => Assert.Equal(HttpStatusCode.OK, read.Status));
        Assert.Equal(HttpStatusCode.OK, (await _hub.SendAsync("iothubowner", HttpMethod.Get, "/manage/v1/audit/anchor")).Status);
    }
}
