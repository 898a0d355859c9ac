using System.Diagnostics.Metrics;
using Microsoft.Extensions.Logging.Abstractions;
using Sallyport.Services.Connections;
using Sallyport.Services.Outgoing;
using Sallyport.Storage.EventLog;
using Sallyport.Tests.Storage.EventLog;

namespace Sallyport.Tests.Services.Connections;

/// <summary>What a connection that is away does to the log, by its policy.</summary>
public sealed class ConnectionHoldTests : IAsyncLifetime
{
    private const int Sent = 60;

    private readonly string _name = $"c{Guid.NewGuid():N}";
    private TestHub _hub = null!;
    private ServiceConnections _connections = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    [Fact]
    public async Task Skip_AtTheBound_LosesTheOldest_CountedExactly()
    {
        await HoldTooMuchAsync(HoldPolicy.Skip);
        long counted = 0;
        using var meter = new MeterListener();
        meter.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Name == "sallyport.connections.skipped")
                listener.EnableMeasurementEvents(instrument);
        };
        meter.SetMeasurementEventCallback<long>((_, value, tags, _) =>
        {
            if (tags.ToArray().Any(tag => Equals(tag.Value, _name)))
                Interlocked.Add(ref counted, value);
        });
        meter.Start();

        var gone = Enumerable.Range(0, TestHub.Partitions).Sum(partition => _hub.Log.Describe(StreamId.Events, partition).FirstSequence);
        var paused = await ShownAsync();
        Assert.InRange(gone, 1, Sent - 1);
        Assert.Equal((gone, Sent - gone), (paused.Behind.Sum(lag => lag.Skipped), paused.Behind.Sum(lag => lag.Records)));

        using var watch = new CommitWatch(_name);
        await _connections.ResumeAsync(_name, Cancel);
        await watch.UntilAsync(() => ShownAsync().GetAwaiter().GetResult().RowsWritten == Sent - gone);

        Assert.Equal((HoldPolicy.Skip, gone), ((await ShownAsync()).Hold, (await ShownAsync()).Behind.Sum(lag => lag.Skipped)));
        Assert.Equal(gone, Interlocked.Read(ref counted));
    }

    [Fact]
    public async Task RefuseIngest_AtTheBound_TakesNothingMore_AndLosesNothing()
    {
        await HoldTooMuchAsync(HoldPolicy.RefuseIngest);

        Assert.Equal(AppendOutcome.HeldBack, (await _hub.Log.AppendAsync(Records.Batch(0, "more"))).Outcome);
        var paused = await ShownAsync();
        Assert.Equal((HoldPolicy.RefuseIngest, 0L, (long)Sent), (paused.Hold, paused.Behind.Sum(lag => lag.Skipped), paused.Behind.Sum(lag => lag.Records)));

        using var watch = new CommitWatch(_name);
        await _connections.ResumeAsync(_name, Cancel);
        await watch.UntilAsync(() => ShownAsync().GetAwaiter().GetResult().RowsWritten == Sent);
        _hub.Log.KeepUp();
        Assert.Equal(AppendOutcome.Accepted, (await _hub.Log.AppendAsync(Records.Batch(0, "more"))).Outcome);
    }

    [Fact]
    public async Task Put_WithAnotherPolicy_ReplacesIt()
    {
        await PutAsync(HoldPolicy.Skip);
        Assert.Equal(HoldPolicy.Skip, (await ShownAsync()).Hold);

        await PutAsync(HoldPolicy.RefuseIngest);

        Assert.Equal(HoldPolicy.RefuseIngest, (await ShownAsync()).Hold);
    }

    public async ValueTask InitializeAsync()
    {
        _hub = await TestHub.OpenAsync(maxHeldBytes: 8 * 1024 * 1024);
        _connections = new ServiceConnections(
            _hub.Log, _hub.Metadata, new OutgoingOptions { SinksDirectory = _hub.Sinks }, _ => true, new StepTime(), NullLoggerFactory.Instance);
        await _connections.StartAsync(Cancel);
    }

    public async ValueTask DisposeAsync()
    {
        await _connections.DisposeAsync();
        await _hub.DisposeAsync();
    }

    // Three segments that retention would let go, of which two may be held.
    private async Task HoldTooMuchAsync(HoldPolicy policy)
    {
        await PutAsync(policy);
        await _connections.PauseAsync(_name, Cancel);
        await _hub.SendAsync(Sent, $"\"{new string('x', 200_000)}\"");
        _hub.LogTime.Advance(TimeSpan.FromDays(2));
        for (var i = 0; i < 3; i++)
            _hub.Log.KeepUp();
    }

    private Task<bool> PutAsync(HoldPolicy policy) =>
        _connections.PutAsync(new ConnectionDefinition(_name, "sql", "Data Source=telemetry.db", "telemetry", true, policy), "p", 2, Cancel);

    private async Task<ConnectionDescription> ShownAsync() => (await _connections.FindAsync(_name, Cancel))!;
}
