using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Logging.Abstractions;
using Sallyport.Protocol.Errors;
using Sallyport.Services.Connections;
using Sallyport.Services.Outgoing;
using Sallyport.Storage.EventLog;

namespace Sallyport.Tests.Services.Connections;

/// <summary>Connections as an operator sees them, into SQLite files.</summary>
public sealed class ServiceConnectionsTests : IAsyncLifetime
{
    private const string Secret = "Data Source=telemetry.db";

    private readonly StepTime _time = new();
    private readonly string _name = $"c{Guid.NewGuid():N}";
    private TestHub _hub = null!;
    private bool _mayRun = true;
    private Action _onRestart = () => { };

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Connection_FromEarliest_WritesWhatWasThereAndWhatComes()
    {
        await _hub.SendAsync(6);
        await using var connections = await StartAsync();

        Assert.True(await connections.PutAsync(Definition(fromEarliest: true), "policy:iothubowner", 2, Cancel));
        await _hub.SendAsync(6);
        await CaughtUpAsync(connections);

        Assert.Equal(Enumerable.Range(0, 12).Select(i => (long)i), Numbers());
        var shown = await connections.FindAsync(_name, Cancel);
        Assert.Equal((ConnectionState.Running, 12L, "SQLite telemetry.db, table telemetry", "policy:iothubowner"),
            (shown!.State, shown.RowsWritten, shown.Target, shown.Creator));
        Assert.All(shown.Behind, lag => Assert.Equal((0L, 0.0, 0L), (lag.Records, lag.Seconds, lag.Skipped)));
    }

    [Fact]
    public async Task Connection_FromLatest_WritesOnlyWhatComes()
    {
        await _hub.SendAsync(6);
        await using var connections = await StartAsync();

        await connections.PutAsync(Definition(), "p", 2, Cancel);
        await _hub.SendAsync(6);
        await CaughtUpAsync(connections);

        Assert.Equal([6, 7, 8, 9, 10, 11], Numbers());
    }

    [Fact]
    public async Task Hub_Restarted_GoesOnWhereItWas()
    {
        await using (var connections = await StartAsync())
        {
            await connections.PutAsync(Definition(), "p", 2, Cancel);
            await _hub.SendAsync(4);
            await CaughtUpAsync(connections);
        }

        await _hub.SendAsync(4);
        await using var again = await StartAsync();
        await CaughtUpAsync(again);

        Assert.Equal(Enumerable.Range(0, 8).Select(i => (long)i), Numbers());
        Assert.Equal(2, _hub.Metadata.Read(tx => _hub.Metadata.Connections.Find(tx, _name))!.Epoch);
    }

    [Fact]
    public async Task Pause_KeepsWhatComesForTheResume()
    {
        await using var connections = await StartAsync();
        await connections.PutAsync(Definition(), "p", 2, Cancel);
        await _hub.SendAsync(4);
        await CaughtUpAsync(connections);

        await connections.PauseAsync(_name, Cancel);
        await _hub.SendAsync(8);
        _time.AdjustTime(_hub.LogTime.GetUtcNow().AddSeconds(90));
        var paused = (await connections.FindAsync(_name, Cancel))!;

        Assert.Equal(ConnectionState.Paused, paused.State);
        Assert.Equal([2L, 2L, 2L, 2L], paused.Behind.Select(lag => lag.Records));
        Assert.All(paused.Behind, lag => Assert.Equal(90, lag.Seconds));
        Assert.Equal(4, Numbers().Count);

        await connections.ResumeAsync(_name, Cancel);
        await CaughtUpAsync(connections);
        Assert.Equal(12, Numbers().Count);
    }

    [Fact]
    public async Task Dispose_Again_DoesNothing()
    {
        await using var connections = await StartAsync();
        await connections.PutAsync(Definition(), "p", 2, Cancel);

        await connections.DisposeAsync();
        await connections.DisposeAsync();
    }

    [Fact]
    public async Task Resume_RetentionRunsMeanwhile_LosesNothingThatWasHeld()
    {
        await using var connections = await StartAsync();
        await connections.PutAsync(Definition(), "p", 2, Cancel);
        await connections.PauseAsync(_name, Cancel);
        await _hub.SendAsync(8);
        _hub.LogTime.Advance(TimeSpan.FromDays(2));
        _hub.Log.KeepUp();
        _onRestart = _hub.Log.KeepUp;

        await connections.ResumeAsync(_name, Cancel);
        _onRestart = () => { };

        Assert.Equal(0, _hub.Log.Describe(StreamId.Events, 0).FirstSequence);
        await CaughtUpAsync(connections);
        Assert.Equal(8, Numbers().Count);
    }

    [Fact]
    public async Task Pause_SurvivesARestart()
    {
        await using (var connections = await StartAsync())
        {
            await connections.PutAsync(Definition(), "p", 2, Cancel);
            await connections.PauseAsync(_name, Cancel);
        }

        await using var again = await StartAsync();

        Assert.Equal(ConnectionState.Paused, (await again.FindAsync(_name, Cancel))!.State);
    }

    [Fact]
    public async Task Delete_LeavesTheTableAndANewOneOfTheNameBeginsAnew()
    {
        await using var connections = await StartAsync();
        await connections.PutAsync(Definition(), "p", 2, Cancel);
        await _hub.SendAsync(4);
        await CaughtUpAsync(connections);

        await connections.DeleteAsync(_name, Cancel);
        Assert.Null(await connections.FindAsync(_name, Cancel));
        await _hub.SendAsync(4);
        Assert.Equal(4, Numbers().Count);

        // From earliest: what is there already is not written twice.
        await connections.PutAsync(Definition(fromEarliest: true), "p", 2, Cancel);
        await CaughtUpAsync(connections);
        Assert.Equal(Enumerable.Range(0, 8).Select(i => (long)i), Numbers());
        Assert.Equal(4, (await connections.FindAsync(_name, Cancel))!.RowsWritten);
    }

    [Fact]
    public async Task Put_AgainWithAnotherConnectionString_ReplacesItAndGoesOn()
    {
        await using var connections = await StartAsync();
        await connections.PutAsync(Definition(), "p", 2, Cancel);
        await _hub.SendAsync(4);
        await CaughtUpAsync(connections);

        Assert.False(await connections.PutAsync(Definition() with { ConnectionString = "Data Source=other.db" }, "q", 3, Cancel));
        await _hub.SendAsync(4);
        await CaughtUpAsync(connections);

        Assert.Equal([4, 5, 6, 7], Numbers("other.db"));
        Assert.Equal("q", (await connections.FindAsync(_name, Cancel))!.Creator);
    }

    [Fact]
    public async Task Put_AgainWithAnotherTableOrStart_IsAConflict()
    {
        await using var connections = await StartAsync();
        await connections.PutAsync(Definition(), "p", 2, Cancel);

        foreach (var other in (ConnectionDefinition[])[Definition() with { Table = "other" }, Definition(fromEarliest: true)])
        {
            var refused = await Assert.ThrowsAsync<HubException>(() => connections.PutAsync(other, "p", 2, Cancel));
            Assert.Equal(HubErrors.Conflict, refused.Error);
        }
    }

    [Theory]
    [InlineData("bad name", "sql", Secret, "telemetry")]
    [InlineData("name", "kafka", Secret, "telemetry")]
    [InlineData("name", "sql", "", "telemetry")]
    [InlineData("name", "sql", "Password=s3cret", "telemetry")]
    [InlineData("name", "sql", Secret, "t; DROP TABLE x")]
    public async Task Put_WithAValueThatIsNotValid_IsRefusedWithoutRepeatingTheSecret(string name, string kind, string connectionString, string table)
    {
        await using var connections = await StartAsync();

        var refused = await Assert.ThrowsAsync<HubException>(
            () => connections.PutAsync(new ConnectionDefinition(name, kind, connectionString, table, false), "p", 2, Cancel));

        Assert.Equal(HubErrors.ArgumentInvalid, refused.Error);
        Assert.DoesNotContain("s3cret", refused.ToString());
        Assert.Empty(await connections.ListAsync(Cancel));
    }

    [Fact]
    public async Task Target_OutsideTheSinks_IsRefusedAtOnce()
    {
        await using var connections = await StartAsync();

        foreach (var file in (string[])["/etc/sallyport.db", "../../etc/x.db"])
        {
            var refused = await Assert.ThrowsAsync<HubException>(() => connections.PutAsync(Definition() with { ConnectionString = $"Data Source={file}" }, "p", 2, Cancel));
            Assert.Equal(HubErrors.ArgumentInvalid, refused.Error);
            Assert.Contains("outside the sinks directory", refused.Message);
        }

        Assert.Empty(await connections.ListAsync(Cancel));
    }

    [Fact]
    public async Task Target_LedOutsideTheSinksLater_FailsAndSaysSo()
    {
        await using var connections = await StartAsync();
        using var watch = new CommitWatch(_name);
        await connections.PutAsync(Definition() with { ConnectionString = "Data Source=later/x.db" }, "p", 2, Cancel);

        Directory.CreateDirectory(_hub.Sinks);
        Directory.CreateSymbolicLink(Path.Combine(_hub.Sinks, "later"), "/etc");
        await connections.ResumeAsync(_name, Cancel);
        var shown = await connections.FindAsync(_name, Cancel);
        await watch.UntilAsync(() => (shown = connections.FindAsync(_name, Cancel).GetAwaiter().GetResult())!.State == ConnectionState.Failed);

        Assert.Contains("outside the sinks directory", shown!.LastError);
        Assert.Contains("outside the sinks directory", await connections.TestAsync(_name, Cancel));
    }

    [Fact]
    public async Task Test_OfAGoodTarget_FindsNothingWrong()
    {
        await using var connections = await StartAsync();
        await connections.PutAsync(Definition(), "p", 2, Cancel);

        Assert.Null(await connections.TestAsync(_name, Cancel));
    }

    [Fact]
    public async Task Creator_WithoutTheRightToReadTelemetry_RunsNothing()
    {
        await _hub.SendAsync(4);
        await using (var connections = await StartAsync())
            await connections.PutAsync(Definition(fromEarliest: true), "policy:reader", 2, Cancel);

        _mayRun = false;
        await using var again = await StartAsync();
        var shown = (await again.FindAsync(_name, Cancel))!;

        Assert.Equal(ConnectionState.Stopped, shown.State);
        Assert.Contains("policy:reader", shown.LastError);
        await again.ResumeAsync(_name, Cancel);
        Assert.Equal(ConnectionState.Stopped, (await again.FindAsync(_name, Cancel))!.State);
    }

    [Fact]
    public async Task Creator_WhoLosesTheRightToReadTelemetry_StopsARunningConnection()
    {
        await using var connections = await StartAsync();
        await connections.PutAsync(Definition(), "policy:reader", 2, Cancel);
        await _hub.SendAsync(4);
        await CaughtUpAsync(connections);

        _mayRun = false;
        await _hub.SendAsync(4);
        ConnectionDescription shown;
        do
            shown = (await connections.FindAsync(_name, Cancel))!;
        while (shown.State == ConnectionState.Running);

        Assert.Equal(ConnectionState.Stopped, shown.State);
        Assert.Contains("policy:reader", shown.LastError);
        Assert.Equal([0, 1, 2, 3], Numbers());
    }

    [Fact]
    public async Task Acts_OnAConnectionThatIsNotThere_AreNotFound()
    {
        await using var connections = await StartAsync();

        foreach (var act in (Func<Task>[])[
            () => connections.PauseAsync(_name, Cancel), () => connections.ResumeAsync(_name, Cancel),
            () => connections.DeleteAsync(_name, Cancel), () => connections.TestAsync(_name, Cancel)])
        {
            Assert.Equal(HubErrors.NotFound, (await Assert.ThrowsAsync<HubException>(act)).Error);
        }
    }

    [Fact]
    public async Task Connections_BeyondTheBound_AreRefused()
    {
        await using var connections = await StartAsync();
        for (var i = 0; i < ServiceConnections.MaxConnections; i++)
        {
            await connections.PutAsync(Definition() with { Name = $"{_name}-{i}" }, "p", 2, Cancel);
            await connections.PauseAsync($"{_name}-{i}", Cancel);
        }

        await Assert.ThrowsAsync<HubException>(() => connections.PutAsync(Definition(), "p", 2, Cancel));
    }

    public async ValueTask InitializeAsync() => _hub = await TestHub.OpenAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    private ConnectionDefinition Definition(bool fromEarliest = false) => new(_name, "sql", Secret, "telemetry", fromEarliest);

    // Asked between the end of one owner and the start of the next.
    private bool MayRun()
    {
        _onRestart();
        return _mayRun;
    }

    private async Task<ServiceConnections> StartAsync()
    {
        var connections = new ServiceConnections(
            _hub.Log, _hub.Metadata, new OutgoingOptions { SinksDirectory = _hub.Sinks }, _ => MayRun(), _time, NullLoggerFactory.Instance);
        await connections.StartAsync(Cancel);
        return connections;
    }

    private async Task CaughtUpAsync(ServiceConnections connections)
    {
        using var watch = new CommitWatch(_name);
        await watch.UntilAsync(() =>
            connections.FindAsync(_name, Cancel).GetAwaiter().GetResult() is { State: ConnectionState.Running } shown && shown.Behind.All(lag => lag.Records == 0));
    }

    private List<long> Numbers(string file = "telemetry.db")
    {
        var path = Path.Combine(_hub.Sinks, file);
        using var connection = new SqliteConnection($"Data Source={path};Pooling=false");
        connection.Open();
        using var command = connection.CreateCommand();
        command.CommandText = "SELECT body ->> 'n' FROM telemetry ORDER BY 1";
        using var rows = command.ExecuteReader();
        var numbers = new List<long>();
        while (rows.Read())
            numbers.Add(rows.GetInt64(0));
        return numbers;
    }
}
