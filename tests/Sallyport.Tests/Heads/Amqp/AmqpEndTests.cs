using Sallyport.Heads.Amqp;
using Sallyport.Hub.Diagnosis;
using Sallyport.Protocol.Identities;
using Sallyport.Tests.Heads.Mqtt;
using Sallyport.Tests.Protocol.Amqp;

namespace Sallyport.Tests.Heads.Amqp;

/// <summary>How connections end, by whose doing ever, and what is on record of it.</summary>
public sealed class AmqpEndTests : IAsyncDisposable
{
    private AmqpTestHub _hub = null!;

    public async ValueTask DisposeAsync() => await _hub.DisposeAsync();

    [Fact]
    public async Task Close_ByThePeer_IsAnswered_AfterWhatItSentIsStored()
    {
        _hub = await AmqpTestHub.StartAsync();
        var device = await _hub.DeviceAsync();

        await device.SendAsync(device.Transfer(2, AmqpMessages.Text("last")), Frames.Close());

        await device.HearUntilAsync("close");
        await device.ExpectGoneAsync();
        Assert.Equal("last", Assert.Single(await _hub.StoredAsync(1)).Body);
        Assert.False(_hub.Access.Connected.IsConnected(Identity.Of("d1")));
    }

    public static TheoryData<string, byte[], string, string> Offences() => new()
    {
        { "a second open", Frames.Open(), "close amqp:not-allowed", "a second open" },
        { "garbage", [1, 2, 3, 4, 5, 6, 7, 8], "close amqp:connection:framing-error", "a frame of" },
        { "an oversized frame", [0, 2, 0, 0, 2, 0, 0, 0], "close amqp:connection:framing-error", "more than the" },
        { "a channel without session", Frames.AttachSender(0, channel: 9), "close amqp:not-allowed", "channel 9 has no session" },
        { "a channel beyond the bound", Frames.Begin(channel: 5000), "close amqp:connection:framing-error", "channel 5000" },
        { "a handle beyond the bound", Frames.AttachSender(256), "close amqp:connection:framing-error", "handle 256" },
        { "an unknown performative", Frames.Amqp(0, 0x4f), "close amqp:not-implemented", "performative" },
        { "a handle in use", Frames.AttachSender(2), "end amqp:session:handle-in-use", "handle 2" },
        { "a transfer on no link", Frames.Transfer(77, 5, [1]), "end amqp:session:unattached-handle", "handle 77" },
        { "a tag of 33 bytes", Frames.Transfer(2, 5, [1], tag: new byte[33]), "end amqp:invalid-field", "delivery tag" },
        { "a transfer without id", Frames.Transfer(2, null, [1]), "detach amqp:invalid-field", "delivery-id" },
        { "an attach of 20 KB", Frames.AttachSender(5, "x", new string('a', 20_000)), "close amqp:resource-limit-exceeded", "attach of more than" },
        { "an address of 3 KB", Frames.AttachSender(5, "x", new string('a', 3_000)), "close amqp:decode-error", "longer than" },
    };

    [Theory]
    [MemberData(nameof(Offences))]
    public async Task Offence_EndsWhatItConcerns_IsDiagnosedAndAudited_AndKeepsWhatCameBefore(string what, byte[] offence, string told, string reason)
    {
        _hub = await AmqpTestHub.StartAsync();
        var bystander = await _hub.DeviceAsync("d2");
        var device = await _hub.DeviceAsync();

        await device.SendAsync(device.Transfer(2, AmqpMessages.Text("before")), offence);

        await device.HearUntilAsync(told);
        device.EndSending();
        await device.ExpectGoneAsync();
        Assert.Equal("before", Assert.Single(await _hub.StoredAsync(1)).Body);
        await AliveAsync(bystander);
        var refusal = Assert.Single(_hub.Refusals);
        Assert.Equal(("device:d1", "amqp connection"), (refusal.Principal, refusal.Action));
        Assert.True(refusal.Reason.Contains(reason, StringComparison.Ordinal), $"{what}: {refusal.Reason}");
        Assert.StartsWith("400", refusal.Reason, StringComparison.Ordinal);
        var end = _hub.Newest("d1");
        Assert.Equal(AttemptOutcome.Closed, end.Outcome);
        Assert.True(end.Reason.Contains(reason, StringComparison.Ordinal), $"{what}: {end.Reason}");
    }

    [Fact]
    public async Task Stop_ClosesAfterTheLastDispositions()
    {
        _hub = await AmqpTestHub.StartAsync(commits: false);
        var device = await _hub.DeviceAsync();
        await device.SendAsync(device.Transfer(2, AmqpMessages.Text("last")));
        Assert.Equal(401, await device.PutAsync("hub.test/devices/d1", "no token")); // The transfer is with the log.

        _hub.Head.Stop();
        _hub.Commit();

        await device.ExpectAsync("disposition", "close com.microsoft:timeout");
        await device.SendAsync(Frames.Close());
        await device.ExpectGoneAsync();
        Assert.Equal((503001, "the hub is stopping"), (_hub.Newest("d1").Code, _hub.Newest("d1").Reason));
    }

    [Fact]
    public async Task Stop_WhenThePeerDoesNotAnswer_CutsItAfter5Seconds()
    {
        _hub = await AmqpTestHub.StartAsync();
        var device = await _hub.DeviceAsync();
        var stranger = _hub.Connect();

        _hub.Head.Stop();
        await device.ExpectAsync("close com.microsoft:timeout");
        await stranger.ExpectGoneAsync();
        _hub.Time.Advance(TimeSpan.FromSeconds(5));

        await device.ExpectGoneAsync();
        Assert.Equal(0, _hub.Head.OpenConnections);
    }

    [Fact]
    public async Task Connect_WhileTheHubStops_IsClosed()
    {
        _hub = await AmqpTestHub.StartAsync();
        _hub.Head.Stop();

        await _hub.Connect().ExpectGoneAsync();
    }

    [Fact]
    public async Task Heartbeats_KeepThePeersIdleTimeOut()
    {
        _hub = await AmqpTestHub.StartAsync();
        var bystander = await _hub.DeviceAsync("d2");
        var device = await _hub.DeviceAsync(idleTimeOutMs: 30_000);

        for (var beat = 0; beat < 3; beat++)
        {
            _hub.Time.Advance(TimeSpan.FromSeconds(14));
            await AliveAsync(bystander);
            _hub.Time.Advance(TimeSpan.FromSeconds(1));
            await device.ExpectAsync("heartbeat");
        }

        await AliveAsync(device);
    }

    [Fact]
    public async Task Silence_ForTwiceTheIdleTimeOut_IsClosed_AndItIsOnRecordWhy()
    {
        _hub = await AmqpTestHub.StartAsync();
        var silent = await _hub.DeviceAsync();
        var alive = await _hub.DeviceAsync("d2");
        _hub.Time.Advance(TimeSpan.FromMinutes(7));
        await alive.SendAsync(Frames.Heartbeat);
        await AliveAsync(alive);

        _hub.Time.Advance(TimeSpan.FromMinutes(1));

        await silent.ExpectAsync("close amqp:resource-limit-exceeded");
        _hub.Time.Advance(TimeSpan.FromSeconds(5));
        await silent.ExpectGoneAsync();
        Assert.Equal((404104, "nothing arrived for twice the idle time-out"), (_hub.Newest("d1").Code, _hub.Newest("d1").Reason));
        await AliveAsync(alive);
    }

    [Fact]
    public async Task Connection_WithoutDeviceOrReader_IsClosedAfter5Minutes()
    {
        _hub = await AmqpTestHub.StartAsync();
        var client = await _hub.ServiceAsync();
        _hub.Time.Advance(TimeSpan.FromMinutes(5) - TimeSpan.FromSeconds(2));
        Assert.Equal(400, await client.PutAsync("hub.test", ""));

        _hub.Time.Advance(TimeSpan.FromSeconds(3));

        await client.ExpectAsync("close amqp:connection:forced");
    }

    [Fact]
    public async Task Connection_WhoseLastReaderWent_IsClosedAfter5Minutes()
    {
        _hub = await AmqpTestHub.StartAsync();
        var client = await _hub.ServiceAsync();
        await client.SendAsync(AmqpMessages.Reader(2, 0));
        await client.ExpectAsync("attach");
        _hub.Time.Advance(TimeSpan.FromMinutes(6));
        await client.SendAsync(Frames.Detach(2));
        await client.ExpectAsync("detach");

        _hub.Time.Advance(TimeSpan.FromMinutes(5) + TimeSpan.FromSeconds(1));

        await client.ExpectAsync("close amqp:connection:forced");
    }

    [Fact]
    public async Task Readers_AttachedAndDetachedManyTimes_LeaveNothingBehind()
    {
        _hub = await AmqpTestHub.StartAsync();
        var client = await _hub.ServiceAsync();
        for (var i = 0; i < 300; i++)
        {
            await client.SendAsync(AmqpMessages.Reader(2, 0), Frames.Credit(2, 0, 10), Frames.Detach(2));
            await client.ExpectAsync("attach", "detach");
        }

        while (_hub.Log.OpenCursors > 0)
            Assert.Equal(400, await client.PutAsync("hub.test", ""));
    }

    [Fact]
    public async Task Reader_ThatReadsNothing_IsCutAfterTheStallTimeout_AndNobodyElse()
    {
        _hub = await AmqpTestHub.StartAsync(new AmqpHeadOptions { StallTimeout = TimeSpan.FromMinutes(1) });
        var device = await _hub.DeviceAsync();
        for (var i = 0; i < 20; i++)
        {
            await device.SendAsync(device.Transfer(2, AmqpMessages.Text(new string('x', 50_000))));
            await device.ExpectAsync("disposition");
        }

        var reader = await _hub.ServiceAsync();
        await reader.SendAsync(AmqpMessages.Reader(2, _hub.PartitionOfDevice("d1")), Frames.Credit(2, 0, 1_000_000));
        await reader.ExpectAsync("attach", "transfer");

        var seconds = 0;
        for (; !reader.Served.IsCompleted; seconds++)
        {
            _hub.Time.Advance(TimeSpan.FromSeconds(1));
            await AliveAsync(device);
        }

        Assert.InRange(seconds, 60, 400);
        Assert.Contains(_hub.Refusals, refusal => refusal.Reason.Contains("nothing was read for 60 s", StringComparison.Ordinal));
    }

    [Fact]
    public async Task Answers_ThatAreNotRead_StopTheReading_AndAreCutAfterTheStallTimeout()
    {
        _hub = await AmqpTestHub.StartAsync(new AmqpHeadOptions { StallTimeout = TimeSpan.FromMinutes(1) });
        var bystander = await _hub.DeviceAsync("d2");
        var device = await _hub.DeviceAsync();
        var flood = Frames.Concat([.. Enumerable.Range(0, 1000).Select(_ => Frames.Window(0, 1000, echo: true))]);
        var said = 0;
        var flooding = Task.Run(async () =>
        {
            for (; said < 300; said++)
                await device.SendAsync(flood);
        });

        // It stands: what it is told is not read, so it is not heard any more. Then the clock runs.
        while (said < 20)
            await AliveAsync(bystander);
        for (var i = 0; i < 300; i++)
            await AliveAsync(bystander);
        Assert.InRange(said, 20, 60); // Of 300,000 frames: their answers, of a megabyte, are all that is held.
        _hub.Time.Advance(TimeSpan.FromSeconds(61));

        await device.Served.WaitAsync(MqttTestClient.Patience);
        await Assert.ThrowsAnyAsync<Exception>(() => flooding);
        await AliveAsync(bystander);
        Assert.Contains("nothing was read for 60 s", _hub.Newest("d1").Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Telemetry_WhileTheLogHasNoRoom_IsReadUpToABound_AndAllOfItStoredInTheEnd()
    {
        _hub = await AmqpTestHub.StartAsync();
        var device = await _hub.DeviceAsync();
        var other = await _hub.OpenAsync();
        _hub.Log.Shut();
        var message = AmqpMessages.Text(new string('x', 10_000));
        var said = 0;
        var sending = Task.Run(async () =>
        {
            for (; said < 500; said++)
                await device.SendAsync(device.Transfer(2, message));
        });
        await _hub.Log.KnockedAsync();

        for (var after = 0; after < 200; after += said < 100 ? 0 : 1)
            Assert.Equal(401, await other.PutAsync("hub.test/devices/d1", "no token"));
        Assert.InRange(said, 100, 300); // Of 5 MB: 1 MiB is held, the rest stays with the peer.
        _hub.Log.Open();

        await sending.WaitAsync(MqttTestClient.Patience);
        for (var settled = 0u; settled < 500;)
        {
            var frame = await device.HearAsync();
            if (frame.ToString() == "disposition")
                settled = (uint)frame.Fields[2]!;
        }

        Assert.Equal(500, _hub.StoredCount());
    }

    private static async Task AliveAsync(AmqpTestClient device)
    {
        await device.SendAsync(device.Transfer(2, AmqpMessages.Text("alive")));
        await device.ExpectAsync("disposition");
    }
}
