namespace Sallyport.Tests.Executable.Cli;

public sealed class ConnectionCommandTests(CliHub hub) : IClassFixture<CliHub>
{
    [Fact]
    public async Task Connection_IntoSqlite_LivesItsLife()
    {
        var created = await hub.RunWithInputAsync("Data Source=life.db\n", "connection", "create", "sql", "-n", "life", "--connection-string", "-", "--table", "telemetry", "--from", "earliest");
        var tested = await hub.JsonAsync("connection", "test", "-n", "life");
        var paused = await hub.JsonAsync("connection", "pause", "-n", "life");
        var resumed = await hub.JsonAsync("connection", "resume", "-n", "life");
        var shown = await hub.JsonAsync("connection", "show", "-n", "life");
        var listed = await hub.RunAsync("connection", "list", "-o", "table");
        var deleted = await hub.RunAsync("connection", "delete", "-n", "life", "--yes");

        Assert.Equal("", created.Error);
        Assert.DoesNotContain("Data Source", created.Out);
        Assert.True((bool)tested["ok"]!);
        Assert.Equal("paused", (string?)paused["status"]!["state"]);
        Assert.NotEqual("paused", (string?)resumed["status"]!["state"]);
        Assert.Equal(("telemetry", "earliest"), ((string?)shown["table"], (string?)shown["from"]));
        Assert.Contains(listed.Out.Split('\n'), line => line.Contains("life") && line.Contains("sql"));
        Assert.Equal(0, deleted.Exit);
        Assert.Contains("(NotFound)", (await hub.RunAsync("connection", "show", "-n", "life")).Error);
    }

    [Fact]
    public async Task Create_OfOneThatExists_ReplacesTheConnectionStringOnly()
    {
        await hub.RunWithInputAsync("Data Source=a.db", "connection", "create", "sql", "-n", "moved", "--connection-string", "-", "--table", "readings");

        var replaced = await hub.RunWithInputAsync("Data Source=b.db", "connection", "create", "sql", "-n", "moved", "--connection-string", "-");
        var changed = await hub.RunWithInputAsync("Data Source=b.db", "connection", "create", "sql", "-n", "moved", "--connection-string", "-", "--table", "others");

        Assert.Contains("b.db", replaced.Out);
        Assert.Contains("\"table\": \"readings\"", replaced.Out);
        Assert.Equal(1, changed.Exit);
        Assert.Contains("(Conflict)", changed.Error);
    }

    [Fact]
    public async Task Create_WithAHoldPolicy_ShowsIt_AndReplacesIt()
    {
        await hub.RunWithInputAsync("Data Source=held.db", "connection", "create", "sql", "-n", "held", "--connection-string", "-", "--hold", "refuse-ingest");
        var chosen = await hub.JsonAsync("connection", "show", "-n", "held");
        await hub.RunWithInputAsync("Data Source=held.db", "connection", "create", "sql", "-n", "held", "--connection-string", "-");
        var kept = await hub.JsonAsync("connection", "show", "-n", "held");
        await hub.RunWithInputAsync("Data Source=held.db", "connection", "create", "sql", "-n", "held", "--connection-string", "-", "--hold", "skip");
        var replaced = await hub.JsonAsync("connection", "show", "-n", "held");
        await hub.RunAsync("connection", "delete", "-n", "held", "--yes");

        Assert.Equal(("refuse-ingest", "refuse-ingest", "skip"), ((string?)chosen["hold"], (string?)kept["hold"], (string?)replaced["hold"]));
    }

    [Fact]
    public async Task Create_WithASecretOnTheCommandLine_IsWrongUsage()
    {
        var result = await hub.RunAsync("connection", "create", "sql", "-n", "leak", "--connection-string", "Host=db;Password=swordfish", "--table", "t");

        Assert.Equal(2, result.Exit);
        Assert.Contains("--connection-string takes - (standard input) or @FILE", result.Error);
        Assert.DoesNotContain("swordfish", result.Error);
    }

    [Theory]
    [InlineData("Data Source=x.db", "telemetry; drop", "name a table")]
    [InlineData("Data Source=../../etc/x.db", "telemetry", "outside the sinks directory")]
    [InlineData("nonsense", "telemetry", "connection string is not NAME=VALUE")]
    public async Task Create_OfWhatTheHubRefuses_SaysWhy(string connectionString, string table, string expected)
    {
        using var directory = new TemporaryDirectory();
        await File.WriteAllTextAsync(directory["secret"], connectionString, TestContext.Current.CancellationToken);

        var result = await hub.RunAsync("connection", "create", "sql", "-n", "refused", "--connection-string", $"@{directory["secret"]}", "--table", table);

        Assert.Equal(1, result.Exit);
        Assert.Contains(expected, result.Error, StringComparison.OrdinalIgnoreCase);
    }

    [Theory]
    [InlineData("@/does/not/exist", 1, "--connection-string: /does/not/exist cannot be read")]
    [InlineData("-", 1, "--connection-string: standard input is empty.")]
    [InlineData("@", 2, "--connection-string takes -")]
    public async Task Create_WithoutASecretToRead_Fails(string source, int exit, string expected)
    {
        var result = await hub.RunAsync("connection", "create", "sql", "-n", "none", "--connection-string", source, "--table", "t");

        Assert.Equal(exit, result.Exit);
        Assert.Contains(expected, result.Error);
    }

    [Fact]
    public async Task Test_OfATargetThatIsAway_Fails()
    {
        await hub.RunWithInputAsync("Host=127.0.0.1;Port=1;Username=u;Database=d", "connection", "create", "sql", "-n", "away", "--connection-string", "-", "--table", "t");

        var result = await hub.RunAsync("connection", "test", "-n", "away");

        Assert.Equal(1, result.Exit);
        Assert.StartsWith("Connection away cannot write: ", result.Error);
        await hub.RunAsync("connection", "delete", "-n", "away", "-y");
    }
}
