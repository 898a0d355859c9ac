using System.Text.Json.Nodes;
using Sallyport.Hub.Commands;

namespace Sallyport.Tests.Executable.Cli;

public sealed class MonitorFeedbackCommandTests(CliHub hub) : IClassFixture<CliHub>
{
    [Fact]
    public async Task Feedback_IsShownOfTheDevice_AndTakenOfAll()
    {
        // A full batch is there at once.
        const int OfEach = CommandOptions.FeedbackBatchRecords / 2;
        foreach (var device in (string[])["shown", "hidden"])
        {
            await hub.JsonAsync("device-identity", "create", "-d", device);
            for (var i = 0; i < OfEach; i++)
                await hub.JsonAsync("device", "c2d-message", "send", "-d", device, "--message-id", $"{device}-{i}", "--ack", "full");
            await hub.JsonAsync("device", "c2d-message", "purge", "-d", device);
        }

        var result = await hub.RunAsync("monitor-feedback", "-d", "shown", "--wait-on-msg", $"hidden-{OfEach - 1}");

        Assert.Equal((0, ""), (result.Exit, result.Error));
        var records = result.Out.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonNode.Parse(line)!).ToList();
        Assert.Equal(Enumerable.Range(0, OfEach).Select(i => $"shown-{i}"), records.Select(record => (string?)record["originalMessageId"]));
        Assert.All(records, record => Assert.Equal(("shown", "Purged"), ((string?)record["deviceId"], (string?)record["statusCode"])));
        Assert.Contains("MessageId", (await hub.RunAsync("monitor-feedback", "--timeout", "1", "-o", "table")).Out);
    }
}
