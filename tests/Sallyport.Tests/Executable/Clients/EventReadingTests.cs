using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using Sallyport.Client.Amqp;
using Sallyport.Client.Device;
using Sallyport.Client.Events;
using Sallyport.Client.Service;
using Sallyport.Protocol.ConnectionStrings;

namespace Sallyport.Tests.Executable.Clients;

/// <summary>The event consumer over AMQP and TLS against a whole hub.</summary>
public sealed class EventReadingTests : IAsyncDisposable
{
    private TestHub _hub = null!;
    private ServiceClient _owner = null!;

    [Fact]
    public async Task Events_OfAllPartitions_AreReadWithAllThatTheHubKnows()
    {
        await StartAsync();
        foreach (var device in (string[])["d1", "d2", "d3"])
            await SendAsync(device, 0, 200);
        await using var consumer = Consumer();

        var events = await TakeTelemetryAsync(consumer.ReadEventsAsync(EventPosition.Earliest, Cancel), 600);

        foreach (var device in events.GroupBy(one => one.DeviceId))
            Assert.Equal(Enumerable.Range(0, 200), device.Select(Number));
        Assert.All(events, one => Assert.Equal("application/json", one.ContentType));
        Assert.All(events, one => Assert.Equal("v", one.Properties["p"]));
        Assert.Equal("Telemetry", events[0].SystemProperties["iothub-message-source"]);
        Assert.InRange(DateTimeOffset.UtcNow - events[0].EnqueuedTime, TimeSpan.FromMinutes(-1), TimeSpan.FromMinutes(5));
    }

    [Fact]
    public async Task Positions_BeginWhereTheySay_AndWhoHasReadAllHasNoLag()
    {
        await StartAsync();
        await SendAsync("d1", 0, 20);
        await using var consumer = Consumer();
        var all = await TakeTelemetryAsync(consumer.ReadEventsAsync(EventPosition.Earliest, Cancel), 20);
        var tenth = all[10];
        var partition = tenth.PartitionId;

        Assert.Equal(10, Number(await FirstAsync(EventPosition.FromSequenceNumber(tenth.SequenceNumber))));
        Assert.Equal(11, Number(await FirstAsync(EventPosition.FromSequenceNumber(tenth.SequenceNumber, isInclusive: false))));
        Assert.Equal(10, Number(await FirstAsync(EventPosition.FromOffset(tenth.Offset))));
        Assert.True((await FirstAsync(EventPosition.FromEnqueuedTime(tenth.EnqueuedTime))).EnqueuedTime >= tenth.EnqueuedTime);
        Assert.Equal(all[^1].SequenceNumber, (await consumer.GetPartitionPropertiesAsync(partition, Cancel)).LastEnqueuedSequenceNumber);
        Assert.Equal("events", (await consumer.GetEventHubPropertiesAsync(Cancel)).Name);

        var behind = await Assert.ThrowsAsync<AmqpRefusedException>(() => FirstAsync(EventPosition.FromSequenceNumber(1_000_000)));
        Assert.Equal("com.microsoft:argument-out-of-range", behind.Condition);

        async Task<ReceivedEvent> FirstAsync(EventPosition from) => (await TakeAsync(consumer.ReadEventsFromPartitionAsync(partition, from, Cancel), 1))[0];
    }

    [Fact]
    public async Task Latest_SeesWhatComesFromThenOn()
    {
        await StartAsync();
        await SendAsync("d1", 0, 5);
        await using var consumer = Consumer();
        var partition = (await TakeTelemetryAsync(consumer.ReadEventsAsync(default, Cancel), 5))[0].PartitionId;
        await using var reading = consumer.ReadEventsFromPartitionAsync(partition, EventPosition.Latest, Cancel).GetAsyncEnumerator(Cancel);
        var next = reading.MoveNextAsync().AsTask();

        // Answered behind the question about the newest event, on the same link.
        await consumer.GetPartitionPropertiesAsync(partition, Cancel);
        await SendAsync("d1", 5, 6);

        Assert.True(await next);
        while (reading.Current.ContentType is null)
            Assert.True(await reading.MoveNextAsync());
        Assert.Equal(5, Number(reading.Current));
    }

    [Fact]
    public async Task Reader_ThatPauses_LosesNothing()
    {
        await StartAsync();
        await SendAsync("d1", 0, 2000);
        await using var consumer = Consumer(new EventConsumerOptions { Prefetch = 10 });
        var partition = (await TakeTelemetryAsync(consumer.ReadEventsAsync(default, Cancel), 1))[0].PartitionId;

        var events = await TakeTelemetryAsync(consumer.ReadEventsFromPartitionAsync(partition, default, Cancel), 2000);

        Assert.Equal(Enumerable.Range(0, 2000), events.Select(Number));
    }

    [Fact]
    public async Task Hub_Restarted_IsReadOnWhereTheReaderWas()
    {
        await StartAsync();
        await using var door = new FixedDoor(() => _hub.Endpoints.AmqpsPort!.Value);
        await SendAsync("d1", 0, 10);
        await using var consumer = Consumer(new EventConsumerOptions { Port = door.Port });
        await using var reading = consumer.ReadEventsAsync(default, Cancel).GetAsyncEnumerator(Cancel);
        var seen = new List<int>();
        await SeeAsync(10);

        await _hub.RestartAsync();
        _owner.Dispose();
        _owner = _hub.Owner();
        await SendAsync("d1", 10, 20);
        await SeeAsync(20);

        Assert.Equal(Enumerable.Range(0, 20), seen);

        async Task SeeAsync(int count)
        {
            while (seen.Count < count && await reading.MoveNextAsync())
            {
                if (reading.Current.ContentType is not null)
                    seen.Add(Number(reading.Current));
            }
        }
    }

    [Fact]
    public async Task Policy_WithAnotherKey_IsRefused()
    {
        await StartAsync();
        var events = EventHubsConnectionString.Parse(_hub.Endpoints.EventHubConnectionString!);
        var wrong = _hub.Endpoints.EventHubConnectionString!.Replace(events.SharedAccessKey, Convert.ToBase64String(RandomNumberGenerator.GetBytes(32)), StringComparison.Ordinal);
        await using var consumer = new EventConsumer(wrong, new EventConsumerOptions { CaFile = _hub.Endpoints.CaFile });

        var refused = await Assert.ThrowsAsync<AmqpRefusedException>(() => consumer.GetEventHubPropertiesAsync(Cancel));

        Assert.False(refused.IsRetryable);
    }

    [Fact]
    public async Task Policy_WhoseKeysAreReplacedMeanwhile_EndsTheReading()
    {
        await StartAsync();
        await SendAsync("d1", 0, 1);
        await using var consumer = Consumer();
        await using var reading = consumer.ReadEventsAsync(default, Cancel).GetAsyncEnumerator(Cancel);
        Assert.True(await reading.MoveNextAsync());

        foreach (var kind in (string[])["primary", "secondary"])
            await _owner.SendAsync(HttpMethod.Post, "manage/v1/policies/service/renew-key", new JsonObject { ["key"] = kind }, cancel: Cancel);

        var refused = await Assert.ThrowsAsync<AmqpRefusedException>(async () =>
        {
            while (await reading.MoveNextAsync())
                continue;
        });
        Assert.Equal("amqp:unauthorized-access", refused.Condition);
    }

    [Theory]
    [InlineData("nobody", "0")]
    [InlineData("$Default", "99")]
    public async Task Group_OrPartition_ThatIsNotThere_IsSaid(string group, string partition)
    {
        await StartAsync();
        await using var consumer = Consumer(new EventConsumerOptions { ConsumerGroup = group });

        var refused = await Assert.ThrowsAsync<AmqpRefusedException>(() => TakeAsync(consumer.ReadEventsFromPartitionAsync(partition, default, Cancel), 1));

        Assert.Equal("amqp:not-found", refused.Condition);
    }

    [Fact]
    public async Task Reader_WithAHigherOwnerLevel_TakesThePartitionOver()
    {
        await StartAsync();
        await SendAsync("d1", 0, 1);
        await using var lower = Consumer(new EventConsumerOptions { OwnerLevel = 1 });
        await using var higher = Consumer(new EventConsumerOptions { OwnerLevel = 2 });
        var partition = (await TakeTelemetryAsync(lower.ReadEventsAsync(default, Cancel), 1))[0].PartitionId;
        await using var reading = lower.ReadEventsFromPartitionAsync(partition, default, Cancel).GetAsyncEnumerator(Cancel);
        Assert.True(await reading.MoveNextAsync());

        await using var taken = higher.ReadEventsFromPartitionAsync(partition, default, Cancel).GetAsyncEnumerator(Cancel);
        Assert.True(await taken.MoveNextAsync());

        var stolen = await Assert.ThrowsAsync<AmqpRefusedException>(async () =>
        {
            while (await reading.MoveNextAsync())
                continue;
        });
        Assert.Equal("amqp:link:stolen", stolen.Condition);
    }

    public async ValueTask DisposeAsync()
    {
        _owner?.Dispose();
        if (_hub is not null)
            await _hub.DisposeAsync();
    }

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    private async Task StartAsync()
    {
        _hub = await TestHub.StartAsync();
        _owner = _hub.Owner();
    }

    private EventConsumer Consumer(EventConsumerOptions? options = null) => new(
        _hub.Endpoints.EventHubConnectionString!,
        (options ?? new EventConsumerOptions()) with { CaFile = _hub.Endpoints.CaFile, ReconnectMin = TimeSpan.FromMilliseconds(10), ReconnectMax = TimeSpan.FromMilliseconds(200) });

    /// <summary>Sends numbers as telemetry over AMQP.</summary>
    private async Task SendAsync(string deviceId, int from, int to)
    {
        var key = (string)(await _owner.PutDeviceAsync(deviceId, ifMatch: from == 0 ? null : "*", cancel: Cancel))["authentication"]!["symmetricKey"]!["primaryKey"]!;
        await using var device = new DeviceClient(
            $"HostName=localhost;DeviceId={deviceId};SharedAccessKey={key}",
            new DeviceClientOptions { Transport = DeviceTransport.Amqp, Port = _hub.Endpoints.AmqpsPort!.Value, CaFile = _hub.Endpoints.CaFile });
        var properties = new Dictionary<string, string> { ["p"] = "v" };
        await Task.WhenAll(Enumerable.Range(from, to - from).Select(i => device.SendAsync(
            new TelemetryMessage(Encoding.UTF8.GetBytes($"{i}")) { ContentType = "application/json", Properties = properties }, Cancel)));
    }

    private static int Number(ReceivedEvent one) => int.Parse(Encoding.UTF8.GetString(one.Body.Span), System.Globalization.CultureInfo.InvariantCulture);

    private static async Task<List<ReceivedEvent>> TakeAsync(IAsyncEnumerable<ReceivedEvent> events, int count, Func<ReceivedEvent, bool>? which = null)
    {
        var taken = new List<ReceivedEvent>();
        await foreach (var one in events)
        {
            if (which?.Invoke(one) ?? true)
                taken.Add(one);
            if (taken.Count == count)
                break;
        }

        return taken;
    }

    // The hub's own events about devices are in the stream as well.
    private static Task<List<ReceivedEvent>> TakeTelemetryAsync(IAsyncEnumerable<ReceivedEvent> events, int count) =>
        TakeAsync(events, count, one => one.SystemProperties.GetValueOrDefault("iothub-message-source") as string == "Telemetry");
}
