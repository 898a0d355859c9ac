using System.Text.Json;
using System.Text.Json.Nodes;
using Microsoft.Extensions.Time.Testing;
using Sallyport.Cli;
using Sallyport.Client.Service;

namespace Sallyport.Tests.Executable.Cli;

public sealed class MonitorEventsCommandTests(CliHub hub) : IClassFixture<CliHub>
{
    private static readonly JsonDocumentOptions Deep = new() { MaxDepth = 128 };

    [Fact]
    public async Task Events_FromTheOldest_ComeInTheShapeOfAz()
    {
        await hub.JsonAsync("device-identity", "create", "-d", "shape");
        await hub.SendAsync("shape", """{"t":21.50}""");

        var result = await hub.RunAsync("monitor-events", "-d", "shape", "--et", "0", "--message-count", "1");

        Assert.Equal("", result.Error);
        Assert.Equal(0, result.Exit);
        Assert.Equal("""{"event":{"origin":"shape","module":"","interface":"","component":"","payload":{"t":21.50}}}""" + "\n", result.Out);
    }

    [Theory]
    [InlineData("sys", "properties.system")]
    [InlineData("app", "properties.application")]
    [InlineData("anno", "annotations")]
    [InlineData("all", "properties.system properties.application annotations")]
    public async Task Properties_AskedFor_AreShownAndNoOthers(string asked, string expected)
    {
        var device = $"props-{asked}";
        await hub.JsonAsync("device-identity", "create", "-d", device);
        await hub.SendAsync(device, "1");

        var line = (await hub.RunAsync("monitor-events", "-d", device, "--et", "0", "--message-count", "1", "--properties", asked)).Out;

        var shown = JsonNode.Parse(line)!["event"]!;
        var groups = new List<string>();
        if (shown["properties"]?["system"] is not null)
            groups.Add("properties.system");
        if (shown["properties"]?["application"] is not null)
            groups.Add("properties.application");
        if (shown["annotations"] is not null)
            groups.Add("annotations");
        Assert.Equal(expected, string.Join(' ', groups));
    }

    [Fact]
    public async Task SystemProperties_HaveTheNamesOfAz()
    {
        using var directory = new TemporaryDirectory();
        await File.WriteAllTextAsync(directory["one.jsonl"], "{}", TestContext.Current.CancellationToken);
        await hub.RunAsync("simulate", "--source", directory["one.jsonl"], "-d", "sys");

        var line = (await hub.RunAsync("monitor-events", "-d", "sys", "--et", "0", "--message-count", "1", "--props", "sys")).Out;

        Assert.Equal("application/json", (string?)JsonNode.Parse(line)!["event"]!["properties"]!["system"]!["content_type"]);
    }

    [Fact]
    public async Task Checkpoint_GoesOnBehindTheLastEventShown()
    {
        await hub.JsonAsync("device-identity", "create", "-d", "saved");
        await hub.SendAsync("saved", "1", "2", "3");
        string[] verb = ["monitor-events", "-d", "saved", "--et", "0", "--checkpoint", "tests", "--timeout", "15"];

        var first = await hub.RunAsync([.. verb, "--message-count", "2"]);
        var second = await hub.RunAsync([.. verb, "--message-count", "1"]);

        Assert.Equal(["1", "2"], Payloads(first));
        Assert.Equal(["3"], Payloads(second));
    }

    [Fact]
    public async Task Events_AsTable_AreARowEachThatCannotSteerTheTerminal()
    {
        await hub.JsonAsync("device-identity", "create", "-d", "rows");
        await hub.SendAsync("rows", "\"a\\u001b[2Jb\\nc\\u202Ed\"");

        var result = await hub.RunAsync("monitor-events", "-d", "rows", "--et", "0", "--message-count", "1", "-o", "table");

        var rows = result.Out.TrimEnd('\n').Split('\n');
        Assert.Equal(2, rows.Length);
        Assert.Matches("^EnqueuedTime +Origin +Payload$", rows[0]);
        Assert.Matches("rows +\"?a", rows[1]);
        Assert.DoesNotContain('\u001b', result.Out);
        Assert.DoesNotContain('\u202e', result.Out);
    }

    [Fact]
    public async Task Payload_OfAHostileDevice_IsShownAndEscaped()
    {
        await hub.JsonAsync("device-identity", "create", "-d", "hostile");
        var deep = string.Concat(Enumerable.Repeat("[", 63)) + string.Concat(Enumerable.Repeat("]", 63));
        await hub.SendAsync("hostile", deep, "\"\\u001b]0;title\\u0007 \\u009b2J\"");

        var result = await hub.RunAsync("monitor-events", "-d", "hostile", "--et", "0", "--message-count", "2");

        Assert.Equal("", result.Error);
        Assert.Contains(deep, result.Out);
        Assert.DoesNotContain(result.Out, c => char.IsControl(c) && c != '\n');
    }

    [Fact]
    public async Task Events_WhenTheHubIsStartedAgain_GoOnWithoutLossOrDouble()
    {
        await using var own = new CliHub();
        await own.InitializeAsync();
        await own.JsonAsync("device-identity", "create", "-d", "restart");
        await own.SendAsync("restart", "1", "2");
        var shown = new LineWriter();
        var said = new LineWriter();
        var terminal = new Terminal(TextReader.Null, shown, said) { Variable = _ => null };
        using var stop = new CancellationTokenSource();
        var monitor = CommandLine.RunAsync(["monitor-events", "--et", "0", "--data", own.Data], terminal, TimeProvider.System, stop.Token);
        await shown.LinesAsync(2);

        await own.Hub.RestartAsync(async () => await said.LinesAsync(1));
        await own.SendAsync("restart", "3");
        await shown.LinesAsync(3);
        await stop.CancelAsync();

        Assert.Equal(0, await monitor);
        Assert.Equal(["1", "2", "3"], shown.Lines.Select(Payload));
        Assert.StartsWith("The hub is away", said.Lines[0]);
        Assert.Equal("The hub is back; reading goes on.", said.Lines[1]);
    }

    [Fact]
    public async Task Events_WhenTheTokenExpires_GoOnUnnoticed()
    {
        var time = new FakeTimeProvider(DateTimeOffset.UtcNow);
        await using var own = await TestHub.StartAsync(time: time);
        using var owner = new ServiceClient(
            own.Endpoints.OwnerConnectionString!, new ServiceClientOptions { Port = own.Endpoints.HttpsPort, CaFile = own.Endpoints.CaFile, Time = time });
        await owner.PutDeviceAsync("long", cancel: TestContext.Current.CancellationToken);
        var shown = new LineWriter();
        var said = new LineWriter();
        using var stop = new CancellationTokenSource();
        var terminal = new Terminal(TextReader.Null, shown, said) { Variable = _ => null };
        var monitor = CommandLine.RunAsync(["monitor-events", "--et", "0", "--timeout", "0", "--data", own.Data], terminal, time, stop.Token);
        // A token lives for five minutes. Two steps are shorter than the silence after which a hub counts as gone: the reader may not have
        // begun to wait again when the first one is taken.
        for (var i = 1; i <= 9; i++)
        {
            await owner.SendAsync(HttpMethod.Post, "devices/long/messages/events", i, cancel: TestContext.Current.CancellationToken);
            await shown.LinesAsync(i);
            time.Advance(TimeSpan.FromSeconds(40));
        }

        await stop.CancelAsync();

        Assert.Equal(0, await monitor);
        Assert.Equal(["1", "2", "3", "4", "5", "6", "7", "8", "9"], shown.Lines.Select(Payload));
        Assert.Empty(said.Lines);
    }

    [Theory]
    [InlineData("--properties: one or more of sys, app, anno, all.", "--properties", "everything")]
    [InlineData("--timeout is a number from 0", "--timeout", "soon")]
    [InlineData("--enqueued-time is a number from 0", "--et", "yesterday")]
    [InlineData("--message-count is a number from 1 on.", "--message-count", "0")]
    public async Task Monitor_WronglyUsed_NamesTheFlag(string expected, params string[] arguments)
    {
        var result = await hub.RunAsync(["monitor-events", .. arguments]);

        Assert.Equal(2, result.Exit);
        Assert.Contains(expected, result.Error);
    }

    [Theory]
    [InlineData("--consumer-group", "dashboards", "no such consumer group")]
    [InlineData("--partition", "99", "Partition: 0 to 3")]
    [InlineData("--checkpoint", "../x", "Checkpoint: 1 to 128")]
    public async Task Monitor_OfWhatTheHubRefuses_SaysWhy(string flag, string value, string expected)
    {
        var result = await hub.RunAsync("monitor-events", flag, value);

        Assert.Equal(1, result.Exit);
        Assert.Contains(expected, result.Error);
    }

    [Fact]
    public async Task Monitor_WithoutEventsForTheTimeout_Ends()
    {
        var result = await hub.RunAsync("monitor-events", "-d", "nobody", "--timeout", "1");

        Assert.Equal(new CliResult(0, "", ""), result);
    }

    private static IEnumerable<string> Payloads(CliResult result) => result.Out.TrimEnd('\n').Split('\n').Select(Payload);

    private static string Payload(string line) => JsonNode.Parse(line, documentOptions: Deep)!["event"]!["payload"]!.ToJsonString();
}
