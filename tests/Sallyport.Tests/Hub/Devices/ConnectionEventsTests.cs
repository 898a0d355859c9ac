using System.Text;
using System.Text.Json;
using Microsoft.Extensions.Logging.Abstractions;
using Sallyport.Hub.Access;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Diagnosis;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.EventLog;
using Sallyport.Tests.Heads.Mqtt;
using Sallyport.Tests.Hub.Registry;
using Sallyport.Tests.Storage;
using Sallyport.Tests.Storage.EventLog;

namespace Sallyport.Tests.Hub.Devices;

public sealed class ConnectionEventsTests : IAsyncLifetime
{
    private static readonly Identity D1 = Identity.Of("d1");
    private static readonly Identity Module = Identity.Of("d1", "m1");

    private readonly TemporaryDirectory _directory = new();
    private readonly StepTime _time = new();
    private SegmentLog _segments = null!;
    private GatedLog _log = null!;
    private ConnectedDevices _connected = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public ValueTask InitializeAsync() => OpenAsync();

    public async ValueTask DisposeAsync()
    {
        await _segments.DisposeAsync();
        _directory.Dispose();
    }

    [Fact]
    public async Task ComesAndGoes_AreTold_ATakeOverIsNot()
    {
        await using (Start())
        {
            var first = Attach(D1);
            var module = Attach(Module);
            var second = Attach(D1);
            _connected.Detach(first);
            _connected.Detach(module);
            _connected.Detach(second);
            await ReadAsync(count: 4);
        }

        var told = await ReadAsync(count: 4);
        Assert.Equal(["deviceConnected", "moduleConnected", "moduleDisconnected", "deviceDisconnected"], told.Select(each => each["opType"]));
        Assert.Equal([null, "m1", "m1", null], told.Select(each => each["moduleId"]));
        Assert.All(told, each => Assert.Equal(
            ("hub", "d1", "deviceConnectionStateNotification", "2026-01-02T03:04:05.0000000Z"), (each["hubName"], each["deviceId"], each["iothub-message-schema"], each["operationTimestamp"])));
        Assert.All(told, each => Assert.Matches("""^\{"sequenceNumber":"[0-9A-F]{64}"\}$""", each["body"]));
        AssertRises(told);
    }

    [Fact]
    public async Task Numbers_RiseAcrossARestart_AlsoWhenTheClockWasSetBack()
    {
        await ComeAndGoAsync();
        await _segments.DisposeAsync();
        _time.ClockStep = -TimeSpan.FromHours(1);
        await OpenAsync();
        await ComeAndGoAsync();

        AssertRises(await ReadAsync(count: 4));

        async Task ComeAndGoAsync()
        {
            await using var running = Start();
            _connected.Detach(Attach(D1));
        }
    }

    [Fact]
    public async Task Stopped_AppendsWhatWaitsFirst()
    {
        var running = Start();
        var links = Enumerable.Range(0, 1000).Select(i => Attach(Identity.Of($"d{i}"))).ToArray();
        foreach (var link in links)
            _connected.Detach(link);
        await running.DisposeAsync();
        await _segments.DisposeAsync();
        await OpenAsync();

        var count = 0L;
        for (var partition = 0; partition < _segments.PartitionCount; partition++)
            count += _segments.Describe(StreamId.Changes, partition).NextSequence;
        Assert.Equal(2000, count);
    }

    [Theory]
    [InlineData(AppendOutcome.DiskFull)]
    [InlineData(AppendOutcome.HeldBack)]
    public async Task Refused_WaitsAndIsTriedAgain_AndBeyondTheBoundTheOldestGo(AppendOutcome outcome)
    {
        _log.Answer(outcome);
        await using var running = Start(maxWaiting: 3);
        var link = Attach(D1); // This one the loop has taken.
        await _log.KnockedAsync();
        _connected.Detach(link); // From here on they wait.
        for (var i = 0; i < 5; i++)
            _connected.Detach(Attach(D1));

        _log.Open();
        await _time.WaitBeganAsync(ConnectionEvents.RetryInterval, ConnectionEvents.RetryInterval);
        _time.Advance(ConnectionEvents.RetryInterval);

        var told = await ReadAsync(count: 4);
        Assert.Equal(["deviceConnected", "deviceDisconnected", "deviceConnected", "deviceDisconnected"], told.Select(each => each["opType"]));
        AssertRises(told);
    }

    [Fact]
    public async Task Stopped_WhileTheLogTakesNothing_Ends()
    {
        _log.Answer(AppendOutcome.DiskFull);
        var running = Start();
        Attach(D1);
        await _log.KnockedAsync();

        await running.DisposeAsync();
    }

    [Fact]
    public async Task NewConnections_WhileOlderOnesGo_AreToldInTheirOrder()
    {
        const int Turns = 2000;
        await using (Start())
        {
            await Task.WhenAll(Enumerable.Range(0, 4).Select(_ => Task.Run(() =>
            {
                for (var i = 0; i < Turns; i++)
                    _connected.Detach(Attach(D1));
            })));
        }

        var told = await ReadAsync(count: 2);
        Assert.Equal(0, told.Count % 2);
        Assert.All(told.Index(), each => Assert.Equal(each.Index % 2 == 0 ? "deviceConnected" : "deviceDisconnected", each.Item["opType"]));
        AssertRises(told);
    }

    private static void AssertRises(IReadOnlyList<Dictionary<string, string?>> told)
    {
        var numbers = told.Select(each => JsonDocument.Parse(each["body"]!).RootElement.GetProperty("sequenceNumber").GetString()!).ToArray();
        Assert.Equal(numbers.Order(StringComparer.Ordinal).Distinct(), numbers);
    }

    private TestLink Attach(Identity identity)
    {
        var link = new TestLink(identity, _connected);
        _connected.Attach(link);
        return link;
    }

    private async ValueTask OpenAsync()
    {
        _segments = await SegmentLog.OpenAsync(
            new SegmentLogOptions { Directory = _directory.Path, SegmentBytes = 16 * 1024 * 1024, ReserveBytes = 0 }, new byte[32], _time, NullLogger.Instance);
        _log = new GatedLog(_segments);
        _connected = new ConnectedDevices(new Attempts(_ => true, _time), _time);
    }

    private Running Start(int maxWaiting = ConnectionEvents.MaxWaiting)
    {
        var stop = new CancellationTokenSource();
        var events = new ConnectionEvents(_connected, _log, new HubNames(["hub.example"]), _time, NullLogger<ConnectionEvents>.Instance, maxWaiting);
        return new Running(Task.Run(() => events.RunAsync(stop.Token)), stop);
    }

    /// <summary>The application properties and the body of d1's events, once there are so many of them.</summary>
    private async Task<IReadOnlyList<Dictionary<string, string?>>> ReadAsync(int count)
    {
        using var cursor = _segments.OpenCursor(StreamId.Changes, PartitionOf.Device("d1", _segments.PartitionCount), LogStart.Earliest);
        List<LogRecord> all = [];
        while (true)
        {
            all.AddRange(await cursor.DrainAsync());
            if (all.Count >= count)
                return [.. all.Select(Parts)];
            await cursor.WaitAsync(Cancel);
        }
    }

    private static Dictionary<string, string?> Parts(LogRecord record)
    {
        Assert.Equal(SourceKind.DeviceConnectionState, record.Source);
        Assert.True(StoredMessage.TryRead(record.Message.ToArray(), out var message));
        var parts = new Dictionary<string, string?> { ["body"] = Encoding.UTF8.GetString(message.Body), ["moduleId"] = null };
        foreach (var name in (string[])["hubName", "deviceId", "moduleId", "opType", "operationTimestamp", "iothub-message-schema"])
        {
            if (message.ApplicationProperties.TryFind(Encoding.UTF8.GetBytes(name), out var value))
                parts[name] = Encoding.UTF8.GetString(value.Content);
        }

        return parts;
    }

    private sealed record Running(Task Task, CancellationTokenSource Stop) : IAsyncDisposable
    {
        public async ValueTask DisposeAsync()
        {
            await Stop.CancelAsync();
            await Task;
            Stop.Dispose();
        }
    }
}
