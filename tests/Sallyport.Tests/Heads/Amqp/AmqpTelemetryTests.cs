using Sallyport.Heads.Amqp;
using Sallyport.Hub.Limits;
using Sallyport.Storage.EventLog;
using Sallyport.Tests.Protocol.Amqp;

namespace Sallyport.Tests.Heads.Amqp;

/// <summary>Telemetry of devices: settled when it is on disk, and not before.</summary>
public sealed class AmqpTelemetryTests : IAsyncDisposable
{
    private const string ArgumentError = "disposition com.microsoft:argument-error";
    private const string TooLarge = "disposition amqp:link:message-size-exceeded";

    private AmqpTestHub _hub = null!;

    public async ValueTask DisposeAsync() => await _hub.DisposeAsync();

    [Fact]
    public async Task Transfers_AreSettledAfterTheCommit_InOneDisposition()
    {
        _hub = await AmqpTestHub.StartAsync(commits: false);
        var device = await _hub.DeviceAsync();
        await device.SendAsync([.. Enumerable.Range(0, 20).Select(i => device.Transfer(2, AmqpMessages.Text($"{i}")))]);
        await device.PutAsync("hub.test/devices/d1", "no token"); // It is through with them, and settles none.

        _hub.Commit();

        var settled = Assert.Single(await device.ExpectAsync("disposition"));
        Assert.Equal([true, 1u, 20u, true], settled.Fields[..4]);
        Assert.Equal(0x24, ((Described)settled.Fields[4]!).Code);
        Assert.Equal(Enumerable.Range(0, 20).Select(i => $"{i}"), (await _hub.StoredAsync(20)).Select(message => message.Body));
    }

    [Fact]
    public async Task Transfers_OfTwoLinks_AreSettledEachByItsOwn()
    {
        _hub = await AmqpTestHub.StartAsync(commits: false);
        var client = await _hub.DeviceAsync();
        await _hub.AddDeviceAsync(client, "d2", handle: 3);
        await client.SendAsync(
            client.Transfer(2, AmqpMessages.Text("a")), client.Transfer(3, AmqpMessages.Text("b")), client.Transfer(2, AmqpMessages.Text("c")), client.Transfer(2, AmqpMessages.Text("d")));
        await client.PutAsync("hub.test/devices/d1", "no token");

        _hub.Commit();

        var settled = new List<(object?, object?)>();
        while (settled.Count < 3)
            settled.AddRange((await client.ExpectAsync("disposition")).Select(frame => (frame.Fields[1], frame.Fields[2])));
        Assert.Equal([(2u, 2u), (3u, 3u), (4u, 5u)], settled.Order());
    }

    [Fact]
    public async Task Transfer_WithPropertiesAndAnnotations_IsStoredAsTheHubsWords()
    {
        _hub = await AmqpTestHub.StartAsync();
        var device = await _hub.DeviceAsync();
        await device.SendAsync(device.Transfer(2, AmqpMessages.Text("21.5", ("unit", "C"), ("count", 7u), ("iothub-connection-device-id", "d2"))));

        await device.ExpectAsync("disposition");

        var stored = Assert.Single(await _hub.StoredAsync(1));
        Assert.Equal(("21.5", "C", "7", "d1"), (stored.Body, stored.Properties["unit"], stored.Properties["count"], stored.Annotations["iothub-connection-device-id"]));
        Assert.DoesNotContain("iothub-connection-device-id", stored.Properties.Keys);
    }

    [Fact]
    public async Task Transfer_Settled_IsStoredWithoutADisposition()
    {
        _hub = await AmqpTestHub.StartAsync();
        var device = await _hub.DeviceAsync();
        await device.SendAsync(device.Transfer(2, AmqpMessages.Text("fire"), settled: true), device.Transfer(2, AmqpMessages.Text("forget"), settled: true), device.Transfer(2, AmqpMessages.Text("told")));

        var told = Assert.Single(await device.ExpectAsync("disposition"));
        Assert.Equal(3u, told.Fields[1]);
        Assert.Equal(["fire", "forget", "told"], (await _hub.StoredAsync(3)).Select(message => message.Body));
    }

    [Fact]
    public async Task Batch_IsStoredAsItsMessages_AndSettledOnce()
    {
        _hub = await AmqpTestHub.StartAsync();
        var device = await _hub.DeviceAsync();
        await device.SendAsync(device.Transfer(2, AmqpMessages.Batch(AmqpMessages.Text("a", ("n", "1")), AmqpMessages.Text("b"), AmqpMessages.Text("c")), format: 0x8001_3700));

        await device.ExpectAsync("disposition");

        var stored = await _hub.StoredAsync(3);
        Assert.Equal(["a", "b", "c"], stored.Select(message => message.Body));
        Assert.Equal("1", stored[0].Properties["n"]);
    }

    [Fact]
    public async Task Batch_WithOneBadMessage_IsRejectedWhole_AndNothingOfItStored()
    {
        _hub = await AmqpTestHub.StartAsync();
        var device = await _hub.DeviceAsync();
        await device.SendAsync(
            device.Transfer(2, AmqpMessages.Batch(AmqpMessages.Text("a"), [1, 2, 3]), format: 0x8001_3700),
            device.Transfer(2, [], format: 0x8001_3700),
            device.Transfer(2, AmqpMessages.Text("good")));

        await device.ExpectAsync(ArgumentError, ArgumentError, "disposition");
        Assert.Equal("good", Assert.Single(await _hub.StoredAsync(1)).Body);
        Assert.Equal(1, _hub.StoredCount());
    }

    [Fact]
    public async Task Batch_OfTensOfThousandsOfTinyMessages_IsRejectedForWhatTheHubAdds_AndAFewThousandAreTaken()
    {
        _hub = await AmqpTestHub.StartAsync();
        var device = await _hub.DeviceAsync();
        await SendInFramesAsync(device, AmqpMessages.Batch([.. Enumerable.Repeat(AmqpMessages.Data([]), 20_000)]), format: 0x8001_3700);
        await device.ExpectAsync(TooLarge);

        await device.SendAsync(device.Transfer(2, AmqpMessages.Batch([.. Enumerable.Repeat(AmqpMessages.Data([]), 3_000)]), format: 0x8001_3700));

        await device.ExpectAsync("disposition");
        Assert.Equal(3_000, _hub.StoredCount());
    }

    public static TheoryData<string, byte[], string> BadMessages() => new()
    {
        { "no section", [], ArgumentError },
        { "garbage", [1, 2, 3, 4], ArgumentError },
        { "no body", [0, 0x53, 0x74, .. AmqpMessages.Map(("a", "b")).Bytes], ArgumentError },
        { "a body that is a sequence", [0, 0x53, 0x76, 0x45], ArgumentError },
        { "two bodies of different kinds", [.. AmqpMessages.Text("a"), 0, 0x53, 0x77, 0x40], ArgumentError },
        { "sections out of order", [.. AmqpMessages.Text("a"), 0, 0x53, 0x74, .. AmqpMessages.Map(("a", "b")).Bytes], ArgumentError },
        { "a compound property", AmqpMessages.Text("a", ("p", new object?[] { "x" })), ArgumentError },
        { "a property that is not allowed", AmqpMessages.Text("a", ("p", "1"), ("p", "2")), ArgumentError },
        { "257 KB", AmqpMessages.Data(new byte[(256 * 1024) + 1]), TooLarge },
    };

    [Theory]
    [MemberData(nameof(BadMessages))]
    public async Task BadMessage_IsRejectedWithItsCondition_AndTheLinkGoesOn(string what, byte[] message, string told)
    {
        _hub = await AmqpTestHub.StartAsync();
        var device = await _hub.DeviceAsync();
        await SendInFramesAsync(device, message);
        await device.SendAsync(device.Transfer(2, AmqpMessages.Text("good")));

        Assert.True((await device.HearAsync()).ToString() == told, what);
        await device.ExpectAsync("disposition");
        Assert.Equal("good", Assert.Single(await _hub.StoredAsync(1)).Body);
        Assert.Equal(1, _hub.StoredCount());
    }

    [Fact]
    public async Task EndlessMessage_IsDetachedAtTheBound()
    {
        _hub = await AmqpTestHub.StartAsync();
        var device = await _hub.DeviceAsync();
        await _hub.AddDeviceAsync(device, "d2", handle: 3);
        for (var frame = 0; frame < 11; frame++)
            await device.SendAsync(Frames.Transfer(2, 2, new byte[30_000], more: true));

        var detach = (await device.ExpectAsync("detach amqp:link:message-size-exceeded"))[0];
        Assert.Equal(2u, detach.Fields[0]);
        await device.SendAsync(Frames.Transfer(3, 3, AmqpMessages.Text("sibling")));
        await device.ExpectAsync("disposition");
    }

    [Theory]
    [InlineData(AppendOutcome.DiskFull, "disposition com.microsoft:quota-exceeded")]
    [InlineData(AppendOutcome.HeldBack, "disposition com.microsoft:quota-exceeded")]
    [InlineData(AppendOutcome.Failed, "disposition com.microsoft:timeout")]
    public async Task Transfers_ThatTheLogDoesNotTake_AreRejected_AndTakenWhenItDoes(AppendOutcome outcome, string told)
    {
        _hub = await AmqpTestHub.StartAsync();
        var device = await _hub.DeviceAsync();
        _hub.Log.Answer(outcome);
        await device.SendAsync(device.Transfer(2, AmqpMessages.Text("a")), device.Transfer(2, AmqpMessages.Text("b")));
        var rejected = Assert.Single(await device.ExpectAsync(told));
        Assert.Equal([1u, 2u], rejected.Fields[1..3]);

        _hub.Log.Open();
        await device.SendAsync(device.Transfer(2, AmqpMessages.Text("c")));

        await device.ExpectAsync("disposition");
        Assert.Equal("c", Assert.Single(await _hub.StoredAsync(1)).Body);
    }

    [Fact]
    public async Task Transfers_BeyondTheQuota_WaitForIt_AndNobodyElseDoes()
    {
        _hub = await AmqpTestHub.StartAsync(quotas: new QuotaOptions { DeviceMessagesPerSecond = 2, Burst = TimeSpan.FromSeconds(1) });
        var device = await _hub.DeviceAsync();
        var other = await _hub.DeviceAsync("d2");
        await device.SendAsync(device.Transfer(2, AmqpMessages.Text("1")), device.Transfer(2, AmqpMessages.Text("2")));
        await device.ExpectAsync("disposition");

        await device.SendAsync(device.Transfer(2, AmqpMessages.Text("3")));
        await _hub.Time.WaitBeganAsync(TimeSpan.FromMilliseconds(400), TimeSpan.FromMilliseconds(600));
        await other.SendAsync(other.Transfer(2, AmqpMessages.Text("other")));
        await other.ExpectAsync("disposition");
        Assert.Equal(2, _hub.StoredCount());

        _hub.Time.Advance(TimeSpan.FromMilliseconds(500));
        await device.ExpectAsync("disposition");
        Assert.Equal(3, _hub.StoredCount());
    }

    [Fact]
    public async Task Transfers_ThatWouldWaitTooLongForTheQuota_AreRejectedAsThrottled()
    {
        _hub = await AmqpTestHub.StartAsync(quotas: new QuotaOptions { DeviceMessagesPerSecond = 1, Burst = TimeSpan.FromSeconds(1) });
        var device = await _hub.DeviceAsync();
        await device.SendAsync([.. Enumerable.Range(0, 40).Select(i => device.Transfer(2, AmqpMessages.Text($"{i}")))]);
        await device.ExpectAsync("disposition"); // A burst may overdraw, and is paid for afterwards.

        await device.SendAsync(device.Transfer(2, AmqpMessages.Text("late")));

        var rejected = Assert.Single(await device.ExpectAsync("disposition com.microsoft:device-container-throttled"));
        Assert.Equal([41u, 41u], rejected.Fields[1..3]);
        Assert.Equal(40, _hub.StoredCount());
    }

    [Fact]
    public async Task Credit_IsGrantedAgainWhenHalfOfItIsSettled()
    {
        _hub = await AmqpTestHub.StartAsync(new AmqpHeadOptions { TelemetryCredit = 10 }, commits: false);
        var device = await _hub.DeviceAsync();
        await device.SendAsync([.. Enumerable.Range(0, 6).Select(i => device.Transfer(2, AmqpMessages.Text($"{i}")))]);
        await device.PutAsync("hub.test/devices/d1", "no token");

        _hub.Commit();

        var heard = await device.ExpectAsync("disposition", "flow");
        Assert.Equal([2u, 6u, 10u], heard[1].Fields[4..7]); // handle, delivery-count, link-credit
    }

    [Fact]
    public async Task Transfer_BeyondTheCredit_DetachesTheLinkAlone()
    {
        _hub = await AmqpTestHub.StartAsync(new AmqpHeadOptions { TelemetryCredit = 2 }, commits: false);
        var device = await _hub.DeviceAsync();
        await _hub.AddDeviceAsync(device, "d2", handle: 3);

        await device.SendAsync([.. Enumerable.Range(0, 3).Select(i => device.Transfer(2, AmqpMessages.Text($"{i}")))]);

        await device.ExpectAsync("detach amqp:link:transfer-limit-exceeded");
        await device.SendAsync(device.Transfer(3, AmqpMessages.Text("sibling")));
        Assert.Equal(401, await device.PutAsync("hub.test/devices/d1", "no token"));
        _hub.Commit();
        await device.ExpectAsync("disposition");
        Assert.Equal(2, _hub.StoredCount()); // What came with credit is kept.
    }

    [Fact]
    public async Task Abort_InTheMiddleOfAMessage_DropsIt()
    {
        _hub = await AmqpTestHub.StartAsync();
        var device = await _hub.DeviceAsync();
        await device.SendAsync(
            Frames.Transfer(2, 1, AmqpMessages.Text("half"), more: true), Frames.Transfer(2, null, [], aborted: true), Frames.Transfer(2, 2, AmqpMessages.Text("whole")));

        var settled = Assert.Single(await device.ExpectAsync("disposition"));
        Assert.Equal(2u, settled.Fields[1]);
        Assert.Equal("whole", Assert.Single(await _hub.StoredAsync(1)).Body);
    }

    // In frames of 40 KB, as one delivery.
    private static async Task SendInFramesAsync(AmqpTestClient device, byte[] message, uint format = 0)
    {
        const int most = 40_000;
        var id = 1u;
        for (var at = 0; at == 0 || at < message.Length; at += most)
        {
            var end = Math.Min(at + most, message.Length);
            await device.SendAsync(Frames.Transfer(2, id, message[at..end], more: end < message.Length, format: format));
        }

        device.Transfer(2, []); // Its id is used.
    }
}
