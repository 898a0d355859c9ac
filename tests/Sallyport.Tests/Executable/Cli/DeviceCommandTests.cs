using System.Text.Json.Nodes;

namespace Sallyport.Tests.Executable.Cli;

public sealed class DeviceCommandTests(CliHub hub) : IClassFixture<CliHub>
{
    [Fact]
    public async Task Quarantine_OfADevice_HidesItsDataUntilItIsReleased()
    {
        await hub.JsonAsync("device-identity", "create", "-d", "q1");
        await hub.SendAsync("q1", "1");

        var placed = await hub.JsonAsync("device", "quarantine", "q1", "--reason", "seal broken");
        await hub.SendAsync("q1", "2");
        var shown = await hub.JsonAsync("device-identity", "show", "-d", "q1");
        var status = await hub.JsonAsync("status");
        var listed = await hub.RunAsync("device", "list-quarantined", "-o", "table");
        var released = await hub.RunAsync("device", "release", "q1", "--reason", "looked at");
        await hub.SendAsync("q1", "3");

        Assert.Equal((true, "policy:iothubowner", "seal broken"), ((bool)placed["inQuarantine"]!, (string?)placed["placedBy"], (string?)placed["reason"]));
        Assert.Equal((string?)placed["since"], (string?)shown["quarantine"]!["since"]);
        Assert.True((int)status["quarantinedDevices"]! >= 1);
        Assert.Contains(status["log"]!.AsArray(), head => (string?)head!["stream"] == "quarantine" && (long)head["nextSequence"]! > 0);
        Assert.Contains("seal broken", listed.Out);
        Assert.Equal(new CliResult(0, "", ""), released);
        Assert.Equal(["1", "3"], await PayloadsAsync(2));
        Assert.Equal(["2"], await PayloadsAsync(1, "--quarantine"));
        Assert.Null((await hub.JsonAsync("device-identity", "show", "-d", "q1"))["quarantine"]);

        async Task<IEnumerable<string>> PayloadsAsync(int count, params string[] flags)
        {
            var result = await hub.RunAsync(["monitor-events", "-d", "q1", "--et", "0", "--message-count", $"{count}", .. flags]);
            Assert.Equal("", result.Error);
            return result.Out.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonNode.Parse(line)!["event"]!["payload"]!.ToJsonString());
        }
    }

    [Fact]
    public async Task SendD2CMessage_OfADeviceAndAModule_ArrivesWithItsProperties()
    {
        await hub.JsonAsync("device-identity", "create", "-d", "d2c");
        await hub.JsonAsync("module-identity", "create", "-d", "d2c", "-m", "m1");

        Assert.Equal(new CliResult(0, "", ""), await hub.RunAsync("device", "send-d2c-message", "-d", "d2c", "--body", "{\"t\":21}", "-p", "$.mid=m-1;$.ct=application/json;$.ce=utf-8;größe ü=a/b=c"));
        Assert.Equal(new CliResult(0, "", ""), await hub.RunAsync("device", "send-d2c-message", "-d", "d2c", "-m", "m1"));
        var events = (await hub.RunAsync("monitor-events", "-d", "d2c", "--et", "0", "--message-count", "2", "--properties", "all")).Out.Split('\n', StringSplitOptions.RemoveEmptyEntries);

        var first = JsonNode.Parse(events[0])!["event"]!;
        Assert.Equal((21, "m-1", "a/b=c"), ((int)first["payload"]!["t"]!, (string?)first["properties"]!["system"]!["message_id"], (string?)first["properties"]!["application"]!["größe ü"]));
        Assert.Equal(("m1", "Ping from Sallyport"), ((string?)JsonNode.Parse(events[1])!["event"]!["module"], (string?)JsonNode.Parse(events[1])!["event"]!["payload"]));
    }

    [Theory]
    [InlineData("$.to=x", "$.to is no system property")]
    [InlineData("a", "NAME=VALUE")]
    [InlineData("a=1;a=2", "no name twice")]
    public async Task SendD2CMessage_WithPropertiesThatAreNone_IsWrongUsage(string properties, string said)
    {
        var result = await hub.RunAsync("device", "send-d2c-message", "-d", "d2c", "-p", properties);

        Assert.Equal(2, result.Exit);
        Assert.Contains(said, result.Error);
    }

    [Fact]
    public async Task Quarantine_UnknownDevice_SaysSo()
    {
        Assert.Contains("(DeviceNotFound)", (await hub.RunAsync("device", "quarantine", "nobody")).Error);
        Assert.Contains("not in quarantine", (await hub.RunAsync("device", "release", "nobody")).Error);
    }

    [Fact]
    public async Task MonitorEvents_QuarantineWithACheckpoint_IsWrongUsage() =>
        Assert.Equal(2, (await hub.RunAsync("monitor-events", "--quarantine", "--checkpoint", "me")).Exit);

    [Theory]
    [InlineData("consumerGroup=$Default")]
    [InlineData("checkpoint=me")]
    public async Task QuarantineEvents_WithAGroup_AreRefused(string query)
    {
        var (status, body) = await hub.Hub.GetAsync($"manage/v1/quarantine/events?follow=false&{query}", hub.Hub.Endpoints.OwnerConnectionString);

        Assert.Equal(System.Net.HttpStatusCode.BadRequest, status);
        Assert.Contains("only telemetry has them", body);
    }
}
