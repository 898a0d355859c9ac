using System.Text.Json.Nodes;
using Sallyport.Cli;

namespace Sallyport.Tests.Executable.Cli;

public sealed class SimulateCommandTests(CliHub hub) : IClassFixture<CliHub>
{
    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Simulate_OfAFile_SendsEachRowAndSaysHowMany()
    {
        using var directory = new TemporaryDirectory();
        await File.WriteAllTextAsync(directory["weather.csv"], "date,temp\n2026-01-01,3.5\n2026-01-02,4.0,9\n2026-01-03,5.5\n", Cancel);

        var result = await hub.RunAsync("simulate", "--source", directory["weather.csv"], "--time-column", "date", "--speed", "0", "-d", "station");
        var events = await hub.RunAsync("monitor-events", "-d", "station", "--et", "0", "--message-count", "2");

        Assert.Equal(0, result.Exit);
        Assert.Matches("^2 messages sent by 1 device in [0-9.]+ s .*; 1 row was no reading.\n$", result.Out);
        Assert.StartsWith("Line 3 of ", result.Error);
        Assert.Contains("\"payload\":{\"date\":\"2026-01-03\",\"temp\":5.5}", events.Out);
    }

    [Fact]
    public async Task Simulate_OfThisMachine_GoesOnUntilItIsStopped()
    {
        var output = new LineWriter();
        var terminal = new Terminal(TextReader.Null, output, TextWriter.Null) { Variable = _ => null };
        using var stop = new CancellationTokenSource();
        var simulation = CommandLine.RunAsync(["simulate", "--count", "2", "--interval", "0.05", "--data", hub.Data], terminal, TimeProvider.System, stop.Token);

        var events = await hub.RunAsync("monitor-events", "-d", "sim2", "--et", "0", "--message-count", "2");
        await stop.CancelAsync();

        Assert.Equal(0, await simulation);
        Assert.Contains(" messages sent by 2 devices in ", Assert.Single(output.Lines));
        Assert.NotNull(JsonNode.Parse(events.Out.Split('\n')[0])!["event"]!["payload"]!["memoryTotalBytes"]);
    }

    [Fact]
    public async Task Simulate_OverAmqp_SendsAsOverMqtt()
    {
        var result = await hub.RunAsync("simulate", "--protocol", "amqp", "-d", "over-amqp", "--interval", "0.01", "--message-count", "3");
        var events = await hub.RunAsync("monitor-events", "-d", "over-amqp", "--et", "0", "--message-count", "3");

        Assert.Equal("", result.Error);
        Assert.StartsWith("3 messages sent by 1 device in ", result.Out);
        Assert.Contains("memoryTotalBytes", events.Out);
    }

    [Fact]
    public async Task Simulate_WithAMessageCount_EndsBehindIt()
    {
        var result = await hub.RunAsync("simulate", "-d", "counted", "--interval", "0.01", "--message-count", "3");

        Assert.StartsWith("3 messages sent by 1 device in ", result.Out);
    }

    [Theory]
    [InlineData(2, "There is no file 'nothing.csv'", "--source", "nothing.csv")]
    [InlineData(2, "Give one of --device-id and --count.", "-d", "d1", "--count", "2")]
    [InlineData(2, "--speed is a number from 0 on.", "--speed", "-1")]
    [InlineData(2, "--protocol is one of mqtt, amqp.", "--protocol", "coap")]
    [InlineData(2, "A time column goes with a file", "--time-column", "date")]
    public async Task Simulate_WronglyUsed_SaysWhatToDo(int exit, string expected, params string[] arguments)
    {
        var result = await hub.RunAsync(["simulate", .. arguments]);

        Assert.Contains(expected, result.Error);
        Assert.Equal(exit, result.Exit);
    }

    [Fact]
    public async Task Simulate_OfADisabledDevice_SaysWhatToDo()
    {
        await hub.JsonAsync("device-identity", "create", "-d", "off", "--status", "disabled");

        var result = await hub.RunAsync("simulate", "-d", "off");

        Assert.Equal(1, result.Exit);
        Assert.StartsWith("The hub does not let a device in", result.Error);
    }
}
