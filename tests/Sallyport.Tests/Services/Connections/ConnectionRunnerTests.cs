using Microsoft.Extensions.Logging.Abstractions;
using Sallyport.Services.Connections;
using Sallyport.Services.Outgoing;
using Sallyport.Services.Sql;
using Sallyport.Storage.EventLog;
using Sallyport.Tests.Services.Sql;

namespace Sallyport.Tests.Services.Connections;

/// <summary>Exactly once into PostgreSQL, whatever is killed, stalls or restarts.</summary>
[Collection(PostgresTests.Name)]
public sealed class ConnectionRunnerTests(PostgresCluster cluster) : IAsyncLifetime
{
    private readonly StepTime _time = new();
    private readonly string _name = $"c{Guid.NewGuid():N}";
    private TestHub _hub = null!;
    private string _connectionString = "";

    [Fact]
    public async Task Server_KilledDuringCommits_LeavesEveryRowExactlyOnce()
    {
        await _hub.SendAsync(200);
        var kills = new HashSet<int> { 2, 3, 9 };
        var target = new WatchedTarget(Target())
        {
            BeforeCommit = async number =>
            {
                if (kills.Contains(number))
                    await RestartServerAsync();
            },
            AfterCommit = async number =>
            {
                if (number > 12)
                    return;

                // More comes meanwhile; once the server dies between two commits.
                await _hub.SendAsync(5);
                if (number == 6)
                    await RestartServerAsync();
            },
        };

        await using var runner = Runner(target, epoch: 1);
        await using var clock = RunClock();
        runner.Start();

        await CaughtUpAsync(runner);
        await AssertEveryRowOnceAsync();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    public async Task Reader_StoppedAnywhereAndStartedAgain_LeavesEveryRowExactlyOnce(int seed)
    {
        var random = new Random(seed);
        await _hub.SendAsync(100);
        for (var epoch = 1; epoch <= 6; epoch++)
        {
            var stopAt = random.Next(1, 6);
            var before = random.Next(2) == 0;
            var reached = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            Task Reach(int number, bool isBefore)
            {
                if (number == stopAt && isBefore == before)
                    reached.TrySetResult();
                return Task.CompletedTask;
            }

            var target = new WatchedTarget(Target())
            {
                BeforeCommit = async number =>
                {
                    // Keeps commits coming, one message at a time.
                    await _hub.SendAsync(1);
                    await Reach(number, true);
                },
                AfterCommit = number => Reach(number, false),
            };
            await using var runner = Runner(target, epoch);
            runner.Start();
            await reached.Task.WaitAsync(TestContext.Current.CancellationToken);
        }

        await using var last = Runner(Target(), epoch: 7);
        last.Start();
        await CaughtUpAsync(last);
        await AssertEveryRowOnceAsync();
    }

    [Fact]
    public async Task Owner_StalledWhileANewerOneWrites_CommitsNothingAndStops()
    {
        await _hub.SendAsync(40);
        var stalled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var wake = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var target = new WatchedTarget(Target())
        {
            BeforeCommit = _ =>
            {
                stalled.TrySetResult();
                return wake.Task;
            },
        };
        await using var old = Runner(target, epoch: 1);
        old.Start();
        await stalled.Task.WaitAsync(TestContext.Current.CancellationToken);

        await using var young = Runner(Target(), epoch: 2);
        young.Start();
        await CaughtUpAsync(young);
        wake.SetResult();
        await old.Ended;

        var (state, reason, _, rows, _) = old.Status();
        Assert.Equal(ConnectionState.Stopped, state);
        Assert.Contains("owner 2 has taken over from owner 1", reason);
        Assert.Equal(0, rows);
        await AssertEveryRowOnceAsync();
    }

    [Fact]
    public async Task Target_AwayAtTheStart_IsTriedAgainEverLater()
    {
        await _hub.SendAsync(10);
        await cluster.KillAsync();
        await using var runner = Runner(Target(), epoch: 1);
        runner.Start();

        for (var attempt = 0; attempt < 3; attempt++)
        {
            var full = TimeSpan.FromSeconds(1 << attempt);
            var wait = await _time.WaitBeganAsync(full / 2, full);
            Assert.Equal(ConnectionState.Waiting, runner.Status().State);
            if (attempt == 2)
                await cluster.StartAsync();
            _time.Advance(wait);
        }

        await CaughtUpAsync(runner);
        Assert.Equal(ConnectionState.Running, runner.Status().State);
        Assert.NotNull(runner.Status().LastError);
        await AssertEveryRowOnceAsync();
    }

    [Fact]
    public async Task Table_Dropped_IsMadeAgainAndGoesOnWhereItWas()
    {
        await _hub.SendAsync(8);
        await using var runner = Runner(Target(), epoch: 1);
        await using var clock = RunClock();
        runner.Start();
        await CaughtUpAsync(runner);

        await PostgresCluster.ExecuteAsync(_connectionString, "DROP TABLE telemetry");
        await _hub.SendAsync(4);
        await CaughtUpAsync(runner);

        Assert.Equal([8L, 9L, 10L, 11L], await NumbersAsync());
    }

    [Fact]
    public async Task Row_ThatTheDatabaseRefuses_IsKeptAndStopsNobody()
    {
        var device = TestHub.DeviceOf(0);
        for (var i = 0; i < 50; i++)
            await _hub.SendAsync(device, i % 7 == 3 ? "1e999999" : $"{i}");
        await using var runner = Runner(Target(), epoch: 1);
        runner.Start();

        await CaughtUpAsync(runner);

        var rows = await PostgresCluster.QueryAsync(_connectionString, "SELECT coalesce(body::text, body_text) FROM telemetry ORDER BY sequence_number");
        Assert.Equal(Enumerable.Range(0, 50).Select(i => i % 7 == 3 ? "1e999999" : $"{i}"), rows.Select(row => row[0]));
    }

    [Fact]
    public async Task Table_AheadOfTheLog_StopsTheConnectionForGood()
    {
        await _hub.SendAsync(4);
        await using (var runner = Runner(Target(), epoch: 1))
        {
            runner.Start();
            await CaughtUpAsync(runner);
        }

        await PostgresCluster.ExecuteAsync(_connectionString, "UPDATE sallyport_positions SET next = 1000");
        await using var again = Runner(Target(), epoch: 2);
        again.Start();
        await again.Ended;

        Assert.Equal(ConnectionState.Stopped, again.Status().State);
        Assert.Contains("older backup", again.Status().LastError);
    }

    public async ValueTask InitializeAsync()
    {
        _connectionString = await cluster.CreateDatabaseAsync();
        _hub = await TestHub.OpenAsync();
    }

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    private PostgresTarget Target()
    {
        var options = new OutgoingOptions { SinksDirectory = "/nonexistent", AllowLoopback = true };
        return new PostgresTarget(_connectionString, TableName.TryParse("telemetry")!, options, new OutgoingAddresses(options));
    }

    private ConnectionRunner Runner(ITelemetryTarget target, long epoch) => new(
        _hub.Log, _hub.Metadata, () => target, new Ownership("hub", "connection", _name, epoch, new long[TestHub.Partitions]), HoldPolicy.Skip,
        ConnectionState.Waiting, null, () => null, null, _time, NullLogger.Instance);

    private async Task RestartServerAsync()
    {
        await cluster.KillAsync();
        await cluster.StartAsync();
    }

    /// <summary>Waits until everything in the log is in the table.</summary>
    private async Task CaughtUpAsync(ConnectionRunner runner)
    {
        using var watch = new CommitWatch(_name);
        await watch.UntilAsync(() =>
            Enumerable.Range(0, TestHub.Partitions).All(p => runner.Status().Positions[p].Next >= _hub.Log.Describe(StreamId.Events, p).NextSequence));
    }

    private async Task<List<long>> NumbersAsync() =>
        [.. (await PostgresCluster.QueryAsync(_connectionString, "SELECT (body->>'n')::bigint FROM telemetry ORDER BY 1")).Select(row => (long)row[0]!)];

    private async Task AssertEveryRowOnceAsync()
    {
        var sent = Enumerable.Range(0, TestHub.Partitions).Sum(p => _hub.Log.Describe(StreamId.Events, p).NextSequence);
        Assert.Equal(Enumerable.Range(0, (int)sent).Select(i => (long)i), await NumbersAsync());
    }

    /// <summary>Lets every wait pass at once, until it is disposed.</summary>
    private Clock RunClock() => new(_time);

    private sealed class Clock : IAsyncDisposable
    {
        private readonly CancellationTokenSource _stop = new();
        private readonly Task _run;

        public Clock(StepTime time) => _run = Task.Run(async () =>
        {
            while (true)
                time.Advance(await time.WaitBeganAsync(TimeSpan.Zero, TimeSpan.FromMinutes(1)).WaitAsync(_stop.Token));
        });

        public async ValueTask DisposeAsync()
        {
            await _stop.CancelAsync();
            await _run.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            _stop.Dispose();
        }
    }
}
