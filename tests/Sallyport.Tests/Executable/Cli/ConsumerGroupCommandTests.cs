using Sallyport.Cli;

namespace Sallyport.Tests.Executable.Cli;

public sealed class ConsumerGroupCommandTests(CliHub hub) : IClassFixture<CliHub>
{
    [Fact]
    public async Task Group_CreatedListedShownDeleted_IsThereAndThenGone()
    {
        var made = await hub.JsonAsync("consumer-group", "create", "-n", "Dashboards");
        var again = await hub.JsonAsync("consumer-group", "create", "--name", "dashboards");
        var shown = await hub.JsonAsync("consumer-group", "show", "-n", "DASHBOARDS");

        Assert.Equal("Dashboards", (string?)made["name"]);
        Assert.Equal(made.ToJsonString(), again.ToJsonString());
        Assert.Equal(made.ToJsonString(), shown.ToJsonString());
        var table = (await hub.RunAsync("consumer-group", "list", "-o", "table")).Out.TrimEnd('\n').Split('\n');
        Assert.Matches("^ +Name +│ CreatedTime", table[0]);
        Assert.Contains(table, row => row.Contains("$Default", StringComparison.Ordinal));
        Assert.Contains(table, row => row.Contains("Dashboards", StringComparison.Ordinal));

        Assert.Equal(new CliResult(0, "", ""), await hub.RunAsync("consumer-group", "delete", "-n", "dashboards", "--yes"));
        Assert.Contains("(NotFound)", (await hub.RunAsync("consumer-group", "show", "-n", "dashboards")).Error);
        var trail = (await hub.JsonAsync("audit", "list", "--action", "consumer-group delete")).AsArray();
        Assert.Contains(trail, entry => (string?)entry!["target"] == "Dashboards");
    }

    [Fact]
    public async Task Delete_AsksFirst()
    {
        await hub.JsonAsync("consumer-group", "create", "-n", "asked");

        var unanswered = await hub.RunAsync("consumer-group", "delete", "-n", "asked");
        Assert.Equal(1, unanswered.Exit);
        Assert.Contains("Delete consumer group asked with its checkpoints? Whoever reads in it is cut off. [y/N]", unanswered.Error);
        Assert.Contains("Nothing was deleted.", (await hub.RunWithInputAsync("n\n", "consumer-group", "delete", "-n", "asked")).Error);
        await hub.JsonAsync("consumer-group", "show", "-n", "asked");
        Assert.Equal(0, (await hub.RunWithInputAsync("y\n", "consumer-group", "delete", "-n", "asked")).Exit);
        Assert.Equal(1, (await hub.RunAsync("consumer-group", "show", "-n", "asked")).Exit);
    }

    [Theory]
    [InlineData("create", "a b")]
    [InlineData("create", "..")]
    [InlineData("create", "$other")]
    [InlineData("show", "a/b")]
    [InlineData("delete", "..")]
    [InlineData("delete", "123456789012345678901234567890123456789012345678901")]
    public async Task Name_ThatNoGroupHas_IsWrongUsage(string verb, string name)
    {
        var result = await hub.RunAsync("consumer-group", verb, "-n", name);

        Assert.Equal((2, ""), (result.Exit, result.Out));
        Assert.Contains("--name: 1 to 50 ASCII letters, digits and - . _, not dots alone.", result.Error);
    }

    [Fact]
    public async Task Delete_OfTheDefaultGroup_IsRefused()
    {
        var result = await hub.RunAsync("consumer-group", "delete", "-n", "$Default", "-y");

        Assert.Equal(1, result.Exit);
        Assert.Equal("$Default cannot be deleted (ArgumentInvalid).\n", result.Error);
    }

    [Fact]
    public async Task Monitor_InAGroup_HasItsOwnCheckpoints_AndEndsWhenTheGroupIsDeleted()
    {
        await hub.JsonAsync("consumer-group", "create", "-n", "Mine");
        await hub.JsonAsync("device-identity", "create", "-d", "grouped");
        await hub.SendAsync("grouped", "1", "2");
        string[] verb = ["monitor-events", "-d", "grouped", "--et", "0", "--checkpoint", "same"];
        var first = await hub.RunAsync([.. verb, "--consumer-group", "mine", "--message-count", "2"]);
        var other = await hub.RunAsync([.. verb, "--message-count", "1"]);
        Assert.Equal((2, 1), (first.Out.Count(c => c == '\n'), other.Out.Count(c => c == '\n')));
        var shown = new LineWriter();
        var said = new LineWriter();
        var terminal = new Terminal(TextReader.Null, shown, said) { Variable = _ => null };
        var monitor = CommandLine.RunAsync([.. verb, "--cg", "MINE", "--timeout", "0", "--data", hub.Data], terminal, TimeProvider.System, TestContext.Current.CancellationToken);
        await hub.SendAsync("grouped", "3");
        await shown.LinesAsync(1);

        await hub.RunAsync("consumer-group", "delete", "-n", "mine", "--yes");

        Assert.Equal(1, await monitor);
        Assert.Contains("\"payload\":3", Assert.Single(shown.Lines));
        Assert.Contains("no such consumer group", Assert.Single(said.Lines), StringComparison.OrdinalIgnoreCase);
    }
}
