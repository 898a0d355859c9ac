using System.Text;
using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Amqp;
using Sallyport.Storage.EventLog;

namespace Sallyport.Tests.Hub.Telemetry;

public sealed class EventReaderTests : IAsyncLifetime
{
    private TelemetryLog _telemetry = null!;
    private EventReader _reader = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _telemetry = await TelemetryLog.OpenAsync();
        _reader = new EventReader(_telemetry.Log, _telemetry.Time);
    }

    public ValueTask DisposeAsync() => _telemetry.DisposeAsync();

    [Fact]
    public async Task Reading_WithoutFollowing_GivesAllPartitionsAndEnds()
    {
        for (var partition = 0; partition < 4; partition++)
            await _telemetry.SendAsync(_telemetry.DeviceOf(partition), $"{partition}a", $"{partition}b");

        var bodies = await BodiesAsync(All(LogStart.Earliest));

        Assert.Equal(["0a", "0b", "1a", "1b", "2a", "2b", "3a", "3b"], bodies.Order());
        Assert.True(bodies.IndexOf("2a") < bodies.IndexOf("2b"));
    }

    [Fact]
    public async Task Reading_OfNothing_Ends() => Assert.Empty(await BodiesAsync(All(LogStart.Earliest)));

    [Fact]
    public async Task Reading_OfOnePartition_GivesNoOther()
    {
        await _telemetry.SendAsync(_telemetry.DeviceOf(0), "zero");
        await _telemetry.SendAsync(_telemetry.DeviceOf(1), "one");

        Assert.Equal(["one"], await BodiesAsync(new EventQuery { Starts = _reader.Starts(LogStart.Earliest, 1), Follow = false }));
    }

    [Theory]
    [InlineData("earliest", "a b c")]
    [InlineData("sequence:1", "b c")]
    [InlineData("offset:1", "c")]
    [InlineData("offset:00000000000000000001", "c")]
    [InlineData("sequence:9", "")]
    [InlineData("latest", "")]
    [InlineData("time:2026-01-02T03:05:05Z", "b c")]
    [InlineData("time:2026-01-02T04:05:05+01:00", "b c")]
    public async Task Reading_FromAPosition_BeginsThere(string position, string expected)
    {
        var device = _telemetry.DeviceOf(0);
        await _telemetry.SendAsync(device, "a");
        _telemetry.Time.Advance(TimeSpan.FromMinutes(1));
        await _telemetry.SendAsync(device, "b", "c");

        Assert.True(EventPosition.TryParse(position, out var start));
        Assert.Equal(expected, string.Join(' ', await BodiesAsync(new EventQuery { Starts = _reader.Starts(start, 0), Follow = false })));
    }

    [Theory]
    [InlineData("")]
    [InlineData("Earliest")]
    [InlineData("offset")]
    [InlineData("offset:")]
    [InlineData("offset:-1")]
    [InlineData("offset:9223372036854775807")]
    [InlineData("sequence:99999999999999999999")]
    [InlineData("sequence:1 ")]
    [InlineData("time:yesterday")]
    public void Position_NotKnown_IsRefused(string position) => Assert.False(EventPosition.TryParse(position, out _));

    [Fact]
    public async Task Reading_Following_GetsWhatComesInAnyPartition()
    {
        using var reading = _reader.Open(All(LogStart.Latest) with { Follow = true });
        await using var pages = reading.ReadAsync(Cancel).GetAsyncEnumerator(Cancel);
        for (var partition = 3; partition >= 0; partition--)
        {
            var next = pages.MoveNextAsync();
            await _telemetry.SendAsync(_telemetry.DeviceOf(partition), $"live {partition}");

            Assert.True(await next);
            Assert.Equal(partition, pages.Current.Partition);
            Assert.Equal($"live {partition}", Body(pages.Current.Records.Single()));
            Assert.Equal(1, pages.Current.Next);
        }
    }

    [Fact]
    public async Task Reading_WithABusyPartition_TakesTurns()
    {
        var big = new string('x', 40_000);
        await _telemetry.SendAsync(_telemetry.DeviceOf(0), big, big, big, big, big, big);
        await _telemetry.SendAsync(_telemetry.DeviceOf(1), "small");

        var order = new List<int>();
        using var reading = _reader.Open(All(LogStart.Earliest));
        await foreach (var page in reading.ReadAsync(Cancel))
            order.Add(page.Partition);

        Assert.Equal([0, 1, 0], order.Take(3));
        Assert.True(order.Count > 3);
    }

    [Theory]
    [InlineData("device-1", "device-1")]
    [InlineData("device-*", "device-1 device-2 device-30")]
    [InlineData("*3*", "device-30")]
    [InlineData("*-*0", "device-30")]
    [InlineData("*", "device-1 device-2 device-30 other")]
    [InlineData("device", "")]
    [InlineData("DEVICE-1", "")]
    public async Task Reading_OfDevices_LeavesOthersOut(string pattern, string expected)
    {
        foreach (var device in new[] { "device-1", "device-2", "device-30", "other" })
            await _telemetry.SendAsync(device, device);

        var bodies = await BodiesAsync(All(LogStart.Earliest) with { Devices = new DevicePattern(pattern) });

        Assert.Equal(expected, string.Join(' ', bodies.Order()));
    }

    [Fact]
    public async Task Reading_FromBeforeTheOldest_TellsHowManyAreGone()
    {
        await _telemetry.SendAsync(_telemetry.DeviceOf(0), "a", "b", "c", "d");
        var reader = new EventReader(new TrimmedLog(_telemetry.Log, first: 3), _telemetry.Time);

        using var reading = reader.Open(new EventQuery { Starts = reader.Starts(LogStart.FromSequence(1), 0) });
        await using var pages = reading.ReadAsync(Cancel).GetAsyncEnumerator(Cancel);
        Assert.True(await pages.MoveNextAsync());

        Assert.Equal(2, pages.Current.Skipped);
        Assert.Equal("d", Body(pages.Current.Records.Single()));
    }

    [Fact]
    public async Task Idle_AfterTwoPeriods_Heartbeats()
    {
        using var reading = _reader.Open(All(LogStart.Latest) with { Follow = true, Heartbeat = TimeSpan.FromSeconds(15) });
        await using var pages = reading.ReadAsync(Cancel).GetAsyncEnumerator(Cancel);
        var next = pages.MoveNextAsync().AsTask();
        while (!next.IsCompleted)
        {
            _telemetry.Time.Advance(TimeSpan.FromSeconds(15));
            await Task.Yield();
        }

        Assert.True(await next);
        Assert.True(pages.Current.IsHeartbeat);
    }

    [Fact]
    public async Task Reading_Cancelled_EndsWhileItWaits()
    {
        using var stop = new CancellationTokenSource();
        using var reading = _reader.Open(All(LogStart.Latest) with { Follow = true });
        await using var pages = reading.ReadAsync(stop.Token).GetAsyncEnumerator(Cancel);
        var next = pages.MoveNextAsync().AsTask();

        await stop.CancelAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => next);
    }

    private EventQuery All(LogStart start) => new() { Starts = _reader.Starts(start, null), Follow = false };

    private async Task<List<string>> BodiesAsync(EventQuery query)
    {
        var bodies = new List<string>();
        using var reading = _reader.Open(query);
        await foreach (var page in reading.ReadAsync(Cancel))
            bodies.AddRange(page.Records.Select(Body));
        return bodies;
    }

    private static string Body(LogRecord record)
    {
        Assert.True(StoredMessage.TryRead(record.Message.Span, out var message));
        return Encoding.UTF8.GetString(message.Body);
    }
}
