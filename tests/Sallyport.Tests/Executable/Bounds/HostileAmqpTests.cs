using System.Net.Sockets;
using System.Text;
using Sallyport.Protocol.ConnectionStrings;
using Sallyport.Protocol.Sas;
using Sallyport.Tests.Heads.Amqp;
using Sallyport.Tests.Heads.Mqtt;
using Sallyport.Tests.Protocol.Amqp;

namespace Sallyport.Tests.Executable.Bounds;

/// <summary>
/// What hostile clients say to a whole hub over AMQP, on raw sockets: each has its stated outcome and is in the audit trail with its reason, and
/// nobody else notices. What it costs the process, <see cref="HostileAmqpMemoryTests"/> measures.
/// </summary>
public sealed class HostileAmqpTests : IAsyncLifetime
{
    private readonly StepTime _time = new(DateTimeOffset.UtcNow);
    private TestHub _hub = null!;
    private TestDevices _devices = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _hub = await TestHub.StartAsync(settings => settings with { Limits = settings.Limits with { Quotas = settings.Limits.Quotas with { DeviceConnectionsPerSecond = 0 } } }, _time);
        _devices = new TestDevices(_hub, _time);
        await _devices.RegisterAsync("d1", "bystander");
    }

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Theory]
    [InlineData("AMQP")]
    [InlineData("AMQP-WS")]
    public async Task Stranger_ThatIsHostile_GetsTheStatedAnswer_IsAudited_AndNobodyElseNotices(string transport)
    {
        await using var bystander = await _devices.ConnectAmqpAsync("bystander");
        var wrong = new List<string>();
        foreach (var hostile in HostileFrames.OfStrangers)
        {
            await using var stranger = await WireAmqp.OpenAsync(_hub.Endpoints, transport);
            await stranger.SendAsync(hostile.Bytes);
            var told = await ToldAsync(stranger, hostile.Told.Split(", ").Length);
            if (told != hostile.Told)
                wrong.Add($"{hostile.Name}: {told}");
            if (told.Contains("close", StringComparison.Ordinal))
                await stranger.SendAsync(Frames.Close());
            await bystander.PublishAsync("still here");
        }

        Assert.Empty(wrong);
        Assert.Equal(HostileFrames.OfStrangers.Count, (await _devices.EventsAsync()).Length);
        await bystander.DisposeAsync();
        var reasons = (await _devices.RefusalsAsync()).Select(refusal => refusal.Reason).ToList();
        Assert.All(HostileFrames.OfStrangers.Where(hostile => hostile.Reason is not null), hostile =>
            Assert.True(reasons.Exists(reason => reason.Contains(hostile.Reason!, StringComparison.Ordinal)), $"{hostile.Name} is not in the audit trail"));
    }

    [Theory]
    [InlineData("AMQP")]
    [InlineData("AMQP-WS")]
    public async Task Device_ThatOffends_LosesWhatItConcerns_IsAuditedAndDiagnosed_AndNobodyElseNotices(string transport)
    {
        await using var bystander = await _devices.ConnectAmqpAsync("bystander");
        var wrong = new List<string>();
        foreach (var row in AmqpEndTests.Offences())
        {
            var (what, offence, told, reason) = row.Data;
            await using var device = await _devices.ConnectAmqpAsync("d1", transport);
            await device.SendAsync(offence);
            await device.HearUntilAsync(told);
            await device.SendAsync(Frames.Close());
            await device.DrainAsync();
            var newest = await _devices.NewestAsync("d1");
            if ((string?)newest["outcome"] != "closed" || !((string)newest["reason"]!).Contains(reason, StringComparison.Ordinal))
                wrong.Add($"{what}: {newest["outcome"]} {newest["reason"]}");
            await bystander.PublishAsync("still here");
        }

        Assert.Empty(wrong);
        await bystander.DisposeAsync();
        var refusals = await _devices.RefusalsAsync();
        Assert.All(refusals, refusal => Assert.Equal(("device:d1", "amqp connection"), (refusal.Principal, refusal.Action)));
        Assert.All(AmqpEndTests.Offences(), row =>
            Assert.Contains(refusals, refusal => refusal.Reason.StartsWith("400", StringComparison.Ordinal) && refusal.Reason.Contains(row.Data.Item4, StringComparison.Ordinal)));
    }

    [Theory]
    [InlineData("AMQP")]
    [InlineData("AMQP-WS")]
    public async Task PutToken_Hostile_IsAnswered401_LetsNobodyIn_AndIsAudited(string transport)
    {
        using var owner = _hub.Owner();
        var maker = new TokenMaker(await KeyAsync("d1"), await KeyAsync("bystander"), "", _time.GetUtcNow());
        await using var bystander = await _devices.ConnectAmqpAsync("bystander");
        var wrong = new List<string>();
        var tried = HostileToken.All.Where(hostile => hostile.Carried != "nowhere").ToList();
        for (var at = 0; at < tried.Count; at++)
        {
            var hostile = tried[at];
            await using var device = await WireAmqp.OpenAsync(_hub.Endpoints, transport);
            await device.OpenAsync("localhost");
            await device.AttachCbsAsync();
            var status = await device.PutAsync("localhost/devices/d1", hostile.Make(maker));
            if (status is not (400 or 401))
                wrong.Add($"{hostile.Name}: {status}");
            await device.SendAsync(Frames.AttachSender(2, "up", "devices/d1/messages/events"));
            var told = await ToldAsync(device, 2);
            if (told != "attach, detach amqp:unauthorized-access")
                wrong.Add($"{hostile.Name}: {told}");
            if (at % 10 == 0)
                await bystander.PublishAsync("still here");
        }

        Assert.Empty(wrong);
        await bystander.DisposeAsync();
        var reasons = (await _devices.RefusalsAsync()).Select(refusal => refusal.Reason).ToList();
        Assert.All(tried.Where(hostile => hostile.Name is not "empty"), hostile =>
            Assert.True(reasons.Exists(reason => reason.StartsWith("401", StringComparison.Ordinal)), hostile.Name));

        async Task<string> KeyAsync(string id) => (string)(await owner.GetDeviceAsync(id, Cancel))["authentication"]!["symmetricKey"]!["primaryKey"]!;
    }

    [Theory]
    [InlineData("AMQP")]
    [InlineData("AMQP-WS")]
    public async Task Token_Expired_IsRefusedAndDiagnosed_AndOneThatExpiresEndsItsDevice(string transport)
    {
        await using var bystander = await _devices.ConnectAmqpAsync("bystander");
        await using var device = await _devices.ConnectAmqpAsync("d1", transport, TimeSpan.FromMinutes(1));

        _time.Advance(TimeSpan.FromMinutes(6) + TimeSpan.FromSeconds(1));

        await device.ExpectAsync("detach amqp:unauthorized-access", "close amqp:unauthorized-access");
        await device.SendAsync(Frames.Close());
        Assert.Equal("the token expired", (string?)(await _devices.NewestAsync("d1"))["reason"]);
        await using var late = await WireAmqp.OpenAsync(_hub.Endpoints, transport);
        await late.OpenAsync("localhost");
        await late.AttachCbsAsync();
        Assert.Equal(401, await late.PutAsync("localhost/devices/d1", _devices.Token("d1", TimeSpan.FromMinutes(-10))));
        Assert.Contains("the token expired at", (string?)(await _devices.NewestAsync("d1"))["reason"], StringComparison.Ordinal);
        await bystander.PublishAsync("still here");
        await bystander.DisposeAsync();
        await device.DisposeAsync();
        await late.DisposeAsync();
        Assert.Contains(await _devices.RefusalsAsync(), refusal => refusal is { Principal: "device:d1", Reason: "401003 the token expired" });
    }

    [Fact]
    public async Task Bytes_ThatAreNoTls_AreCutOff_AndNobodyElseNotices()
    {
        await using var bystander = await _devices.ConnectAmqpAsync("bystander");
        foreach (var bytes in new[] { "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"u8.ToArray(), Frames.AmqpHeader, Frames.SaslHeader, [0xde, 0xad, 0xbe, 0xef, 0, 0, 0, 0] })
        {
            using var tcp = new TcpClient();
            await tcp.ConnectAsync("localhost", _hub.Endpoints.AmqpsPort!.Value, Cancel);
            await tcp.GetStream().WriteAsync(bytes, Cancel);
            await DrainAsync(tcp.GetStream());
            await bystander.PublishAsync("still here");
        }

        await bystander.DisposeAsync();
        Assert.Contains(await _devices.RefusalsAsync(), refusal => refusal.Action == "tls handshake");
    }

    [Theory]
    [InlineData("AMQP")]
    [InlineData("AMQP-WS")]
    public async Task Bytes_BeyondThoseOfAStranger_CutItOff_AndNobodyElse(string transport)
    {
        await using var bystander = await _devices.ConnectAmqpAsync("bystander");
        await using var stranger = await WireAmqp.OpenAsync(_hub.Endpoints, transport);
        await stranger.SendAsync(Frames.AmqpHeader, Frames.Open());
        await stranger.ExpectAsync("header", "open");

        try
        {
            await stranger.SendAsync([.. Enumerable.Repeat(Frames.Heartbeat, 10_000)]);
        }
        catch (Exception cut) when (cut is IOException or System.Net.WebSockets.WebSocketException)
        {
            Assert.NotNull(cut.InnerException); // The hub did not wait for the rest.
        }

        await DrainAsync(stranger);
        await bystander.PublishAsync("still here");
        await bystander.DisposeAsync();
        Assert.Contains(await _devices.RefusalsAsync(), refusal => refusal is { Action: "connection", Reason: "429001 too many bytes before authentication" });
    }

    [Fact]
    public async Task HalfOpen_TwoHundred_AreCutAtTheDeadline_AndWhoIsLetInIsNot()
    {
        await using var bystander = await _devices.ConnectAmqpAsync("bystander");
        var strangers = new List<WireAmqp>();
        for (var i = 0; i < 200; i++)
        {
            var stranger = await WireAmqp.OpenAsync(_hub.Endpoints);
            strangers.Add(stranger);
            await stranger.SendAsync((i % 4) switch { 0 => [], 1 => Frames.SaslHeader, 2 => Frames.AmqpHeader, _ => [.. Frames.AmqpHeader, .. Frames.Open(), .. Frames.Begin()] });
        }

        await using var newcomer = await _devices.ConnectAmqpAsync("d1");
        _time.Advance(TimeSpan.FromSeconds(10));
        foreach (var stranger in strangers)
            await DrainAsync(stranger);

        await bystander.PublishAsync("still here");
        await newcomer.PublishAsync("here too");
        foreach (var stranger in strangers)
            await stranger.DisposeAsync();
        await bystander.DisposeAsync();
        await newcomer.DisposeAsync();
        Assert.All(await _devices.RefusalsAsync(), refusal => Assert.StartsWith("404104", refusal.Reason, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("AMQP")]
    [InlineData("AMQP-WS")]
    public async Task Reset_InTheMiddleOfATransfer_IsForgotten_AndNothingOfItStored(string transport)
    {
        await using var bystander = await _devices.ConnectAmqpAsync("bystander");
        for (var i = 0; i < 20; i++)
        {
            await using var device = await _devices.ConnectAmqpAsync("d1", transport);
            await device.SendAsync(Frames.Transfer(2, 1, AmqpMessages.Text(new string('x', 30_000)), more: true));
            await device.SendAsync(Frames.Transfer(2, 1, AmqpMessages.Text(new string('x', 30_000)), more: true)[..20_000]);
            device.Reset();
        }

        await bystander.PublishAsync("still here");
        Assert.Equal("bystander", (string?)Assert.Single(await _devices.EventsAsync())["deviceId"]);
        while ((string?)(await _devices.NewestAsync("d1"))["outcome"] != "closed")
            await bystander.PublishAsync("still here");
        Assert.Equal("the device or the network ended it", (string?)(await _devices.NewestAsync("d1"))["reason"]);
    }

    [Fact]
    public async Task Resets_TwoHundredDuringAPush_AreForgotten_AndAnotherReaderGetsEverything()
    {
        await using var device = await _devices.ConnectAmqpAsync("d1");
        for (var i = 0; i < 100; i++)
            await device.PublishAsync($"{i} {new string('x', 10_000)}");
        var partition = await PartitionAsync();
        for (var i = 0; i < 200; i++)
        {
            await using var reader = await ReaderAsync(partition, credit: 10_000);
            await reader.ExpectAsync("attach", "transfer");
            reader.Reset();
        }

        await using var last = await ReaderAsync(partition, credit: 10_000);
        await last.ExpectAsync("attach");
        for (var i = 0; i < 100; i++)
            await last.ExpectAsync("transfer");
        await device.PublishAsync("still here");
        await last.ExpectAsync("transfer");
    }

    [Fact]
    public async Task Transfers_PresettledWithoutCredit_DetachTheirLink_AndItIsOnRecordWhy()
    {
        await using var bystander = await _devices.ConnectAmqpAsync("bystander");
        await using var device = await _devices.ConnectAmqpAsync("d1");
        await device.SendAsync(Frames.AttachSender(3, "second", "devices/d1/messages/events"));
        await device.ExpectAsync("attach", "flow");

        // Unsettled ones are not granted anew until they are on disk; presettled ones are, so these come with a limit that nobody granted.
        await device.SendAsync(Frames.Amqp(0, 0x13, 0u, 100_000u, 0u, 100u, 2u, 5_000u, 0u));
        await device.SendAsync(Frames.Transfer(2, 1, AmqpMessages.Text("x"), settled: true));

        await device.HearUntilAsync("detach amqp:link:transfer-limit-exceeded");
        await bystander.PublishAsync("still here");
        await bystander.DisposeAsync();
        await device.DisposeAsync();
        var refusal = Assert.Single(await _devices.RefusalsAsync());
        Assert.Equal(("device:d1", "amqp connection"), (refusal.Principal, refusal.Action));
        Assert.Contains("a transfer without credit", refusal.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Links_AttachedAndDetached5000Times_AreAnswered_AndNobodyElseNotices()
    {
        await using var bystander = await _devices.ConnectAmqpAsync("bystander");
        await using var device = await _devices.ConnectAmqpAsync("d1");
        for (var i = 0; i < 50; i++)
        {
            await device.SendAsync([.. Enumerable.Range(0, 100).SelectMany(n => (byte[][])[Frames.AttachSender(3, $"l{n}", "devices/d1/messages/events"), Frames.Detach(3)])]);
            for (var n = 0; n < 100; n++)
                await device.ExpectAsync("attach", "flow", "detach");
            await bystander.PublishAsync("still here");
        }

        await device.PublishAsync("here too");
    }

    [Fact]
    public async Task PutTokens_AThousandBadOnes_AreAnswered_AndTheTrailCountsThem()
    {
        await using var bystander = await _devices.ConnectAmqpAsync("bystander");
        await using var device = await _devices.ConnectAmqpAsync("d1");
        for (var i = 0; i < 1000; i++)
            Assert.Equal(401, await device.PutAsync("localhost/devices/d1", "SharedAccessSignature sr=localhost&sig=x&se=1"));

        await device.PublishAsync("its link has the token that was good");
        await bystander.PublishAsync("still here");
        await bystander.DisposeAsync();
        await device.DisposeAsync();
        Assert.InRange((await _devices.RefusalsAsync()).Count, 1, 10);
    }

    private async Task<WireAmqp> ReaderAsync(int partition, uint credit)
    {
        var reader = await WireAmqp.OpenAsync(_hub.Endpoints);
        await reader.OpenAsync("localhost");
        await reader.AttachCbsAsync();
        var policy = ConnectionString.Parse(_hub.Endpoints.ServiceConnectionString!);
        Assert.Equal(200, await reader.PutAsync("localhost", SharedAccessSignature.Create("localhost", policy.SharedAccessKey!, _time.GetUtcNow().AddHours(1), policy.SharedAccessKeyName)));
        await reader.SendAsync(AmqpMessages.Reader(2, partition), Frames.Credit(2, 0, credit));
        return reader;
    }

    private async Task<int> PartitionAsync() => (int)(await _devices.EventsAsync())[0]["partition"]!;

    private static async Task<string> ToldAsync(WireAmqp client, int frames)
    {
        var told = new StringBuilder();
        for (var i = 0; i < frames; i++)
        {
            try
            {
                told.Append(i == 0 ? "" : ", ").Append(await client.HearAsync());
            }
            catch (EndOfStreamException)
            {
                return told.Append("the end").ToString();
            }
        }

        return told.ToString();
    }

    private static async Task DrainAsync(WireAmqp client)
    {
        try
        {
            await client.DrainAsync();
        }
        catch (EndOfStreamException cut)
        {
            Assert.NotNull(cut.Message); // In the middle of a frame.
        }
    }

    private static async Task DrainAsync(NetworkStream stream)
    {
        try
        {
            while (await stream.ReadAsync(new byte[1024], Cancel).AsTask().WaitAsync(MqttTestClient.Patience) > 0)
                continue;
        }
        catch (IOException cut)
        {
            Assert.NotNull(cut.InnerException);
        }
    }
}
