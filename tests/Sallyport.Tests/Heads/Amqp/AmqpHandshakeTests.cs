using System.Text;
using Sallyport.Heads;
using Sallyport.Protocol.Identities;
using Sallyport.Tests.Hub.Access.Certificates;
using Sallyport.Tests.Protocol.Amqp;

namespace Sallyport.Tests.Heads.Amqp;

/// <summary>Headers, SASL, listeners, and what nobody may have who is not authenticated.</summary>
public sealed class AmqpHandshakeTests : IAsyncLifetime
{
    private AmqpTestHub _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await AmqpTestHub.StartAsync();

    public async ValueTask DisposeAsync() => await _hub.DisposeAsync();

    [Theory]
    [InlineData(true, false, "MSSBCBS ANONYMOUS PLAIN")]
    [InlineData(true, true, "MSSBCBS ANONYMOUS PLAIN EXTERNAL")]
    [InlineData(false, false, "ANONYMOUS MSSBCBS")]
    public async Task Mechanisms_AreThoseOfTheListener(bool isEncrypted, bool hasCertificate, string expected)
    {
        var root = TestAuthority.Root("plant", _hub.Time.GetUtcNow());
        var client = _hub.Connect(Zone.All, isEncrypted, hasCertificate ? root.Show(root.Leaf("d1")) : null);
        await client.SendAsync(Frames.SaslHeader);

        var offered = (await client.ExpectAsync("sasl-header", "sasl-mechanisms"))[1];
        Assert.Equal(expected.Split(' '), ((object?[])offered.Fields[0]!).Select(symbol => ((Symbol)symbol!).Text));
    }

    [Theory]
    [InlineData("ANONYMOUS")]
    [InlineData("MSSBCBS")]
    public async Task Sasl_ThatNamesNobody_IsFollowedByCbs(string mechanism)
    {
        var client = _hub.Connect();
        Assert.Equal((byte)0, await AuthenticateAsync(client, mechanism));
        await client.OpenAsync();
        await client.AttachCbsAsync();
        await _hub.AddDeviceAsync(client, "d1", handle: 2);
    }

    [Theory]
    [InlineData("d1@sas.hub", "devices/d1/messages/events")]
    [InlineData("service@sas.root.hub", "messages/devicebound")]
    public async Task Plain_WithAToken_NeedsNoCbs(string user, string address)
    {
        var client = _hub.Connect();
        var token = user[0] == 'd' ? _hub.Access.Token(Identity.Of("d1")) : _hub.Access.PolicyToken("service");
        Assert.Equal((byte)0, await AuthenticateAsync(client, "PLAIN", $"\0{user}\0{token}"));
        await client.OpenAsync();
        await client.SendAsync(Frames.AttachSender(0, "l", address));
        await client.ExpectAsync("attach", "flow");
    }

    public static TheoryData<string, string?, string> Refused() => new()
    {
        { "PLAIN", "\0d1@sas.hub\0not a token", "shared key as it is" },
        { "PLAIN", "\0nobody@sas.elsewhere\0x", "the SASL PLAIN user name is neither" },
        { "PLAIN", "d2@sas.hub\0d1@sas.hub\0SharedAccessSignature x", "act for somebody else" },
        { "PLAIN", "no zeros", "PLAIN" },
        { "PLAIN", null, "PLAIN" },
        { "EXTERNAL", null, "EXTERNAL" },
        { "SCRAM-SHA-256", "n,,n=user", "SCRAM-SHA-256" },
        { "", null, "mechanism" },
    };

    [Theory]
    [MemberData(nameof(Refused))]
    public async Task Sasl_ThatIsRefused_EndsTheConnection_AndIsAudited(string mechanism, string? response, string reason)
    {
        var bystander = await _hub.DeviceAsync();
        var client = _hub.Connect();

        Assert.Equal((byte)1, await AuthenticateAsync(client, mechanism, response));

        await client.ExpectGoneAsync();
        var refusal = Assert.Single(_hub.Refusals);
        Assert.Contains(reason, refusal.Reason, StringComparison.Ordinal);
        Assert.StartsWith("401003 ", refusal.Reason, StringComparison.Ordinal);
        Assert.DoesNotContain("SharedAccessSignature x", refusal.ToString(), StringComparison.Ordinal);
        await AliveAsync(bystander);
    }

    [Fact]
    public async Task Plain_WithAKeyAsItIs_IsRefusedWithASentence_WithoutTheKey()
    {
        var key = _hub.Access.Policies.List().Single(policy => policy.Name == "service").PrimaryKey;
        var client = _hub.Connect();

        Assert.Equal((byte)1, await AuthenticateAsync(client, "PLAIN", $"\0service@sas.root.hub\0{key}"));

        Assert.Contains(_hub.Refusals, entry => entry.Action == "policy key-exposed");
        Assert.DoesNotContain(_hub.Access.Audit.Entries, entry => entry.ToString().Contains(key, StringComparison.Ordinal));
    }

    [Fact]
    public async Task PlainListener_TakesServices_AndNeitherDevicesNorPasswords()
    {
        var client = await _hub.OpenAsync(isEncrypted: false);
        await _hub.PutPolicyAsync(client);
        await client.SendAsync(AmqpMessages.Reader(2, 0));
        await client.ExpectAsync("attach");
        await client.SendAsync(Frames.AttachSender(3, "up", "devices/d1/messages/events"));
        Assert.Equal("detach", (await client.ExpectAsync("attach", "detach amqp:not-allowed"))[1].Name);

        var other = _hub.Connect(isEncrypted: false);
        Assert.Equal((byte)1, await AuthenticateAsync(other, "PLAIN", $"\0service@sas.root.hub\0{_hub.Access.PolicyToken("service")}"));
        await other.ExpectGoneAsync();
    }

    [Theory]
    [InlineData("messages/devicebound", false)]
    [InlineData("$management", false)]
    [InlineData("events/ConsumerGroups/$Default/Partitions/0", true)]
    [InlineData("messages/events", true)]
    [InlineData("messages/servicebound/feedback", true)]
    public async Task DeviceListener_ServesNoNodesOfServices(string address, bool receives)
    {
        var client = await _hub.OpenAsync(Zone.Devices);
        await _hub.PutPolicyAsync(client, "iothubowner");
        await client.SendAsync(receives ? Frames.AttachReceiver(2, "l", address) : Frames.AttachSender(2, "l", address));
        await client.ExpectAsync("attach", "detach amqp:not-found");
        await _hub.AddDeviceAsync(client, "d1", handle: 3);
    }

    [Theory]
    [InlineData("devices/d1/messages/events")]
    [InlineData("devices/d1/twin")]
    public async Task ServiceListener_ServesNoNodesOfDevices(string address)
    {
        var client = await _hub.OpenAsync(Zone.Services);
        await _hub.PutPolicyAsync(client, "iothubowner");
        await client.SendAsync(Frames.AttachSender(2, "l", address));
        await client.ExpectAsync("attach", "detach amqp:not-found");
        await client.SendAsync(AmqpMessages.Reader(3, 0));
        await client.ExpectAsync("attach");
    }

    public static TheoryData<string, byte[], string> BadBeginnings() => new()
    {
        { "garbage", [0xde, 0xad, 0xbe, 0xef], "header" },
        { "HTTP", Encoding.ASCII.GetBytes("GET / HTTP/1.1\r\nHost: hub.test\r\n\r\n"), "header" },
        { "MQTT", [0x10, 12, 0, 4, .. "MQTT"u8, 4, 2, 0, 60, 0, 0], "header" },
        { "AMQP 0-9-1", [.. "AMQP"u8, 0, 0, 9, 1], "header" },
        { "a header of TLS", [.. "AMQP"u8, 2, 1, 0, 0], "header" },
        { "SASL and then none", [.. Frames.SaslHeader, .. Frames.AmqpHeader], "sasl-header, sasl-mechanisms" },
        { "a frame of AMQP in SASL", [.. Frames.SaslHeader, .. Frames.Open()], "sasl-header, sasl-mechanisms" },
        { "a SASL frame out of turn", [.. Frames.SaslHeader, .. Frames.Sasl(0x44, (byte)0)], "sasl-header, sasl-mechanisms" },
        { "begin before open", [.. Frames.AmqpHeader, .. Frames.Begin()], "header, open, close amqp:not-allowed" },
        { "a frame of 0 bytes", [.. Frames.AmqpHeader, 0, 0, 0, 0, 2, 0, 0, 0], "header, open, close amqp:connection:framing-error" },
        { "a frame of 3 bytes", [.. Frames.AmqpHeader, 0, 0, 0, 3, 2, 0, 0, 0], "header, open, close amqp:connection:framing-error" },
        { "a frame of 4 GiB", [.. Frames.AmqpHeader, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0], "header, open, close amqp:connection:framing-error" },
        { "an offset of 1", [.. Frames.AmqpHeader, 0, 0, 0, 8, 1, 0, 0, 0], "header, open, close amqp:connection:framing-error" },
        { "an offset behind the end", [.. Frames.AmqpHeader, 0, 0, 0, 8, 255, 0, 0, 0], "header, open, close amqp:connection:framing-error" },
        { "a type of frame that is none", [.. Frames.AmqpHeader, .. Frames.Of(7, 0, [])], "header, open, close amqp:connection:framing-error" },
        { "no performative", [.. Frames.AmqpHeader, .. Frames.Of(0, 0, [0x40])], "header, open, close amqp:decode-error" },
        { "open without container", [.. Frames.AmqpHeader, .. Frames.Amqp(0, 0x10)], "header, open, close amqp:decode-error" },
        { "open with a number for a name", [.. Frames.AmqpHeader, .. Frames.Amqp(0, 0x10, 7u)], "header, open, close amqp:decode-error" },
        { "frames of 100 bytes", [.. Frames.AmqpHeader, .. Frames.Open(maxFrameSize: 100u)], "header, open, close amqp:invalid-field" },
    };

    [Theory]
    [MemberData(nameof(BadBeginnings))]
    public async Task BadBeginning_IsAnsweredAndClosed_AuditedAndNobodyElseNotices(string what, byte[] bytes, string told)
    {
        var bystander = await _hub.DeviceAsync();
        var client = _hub.Connect();

        await client.SendAsync(bytes);
        client.EndSending();

        var heard = new List<string>();
        for (var i = 0; i < told.Split(", ").Length; i++)
            heard.Add((await client.HearAsync()).ToString());
        Assert.True(told == string.Join(", ", heard), $"{what}: {string.Join(", ", heard)}");
        await client.ExpectGoneAsync();
        var refusal = Assert.Single(_hub.Refusals);
        Assert.Equal(("anonymous", "amqp connection"), (refusal.Principal, refusal.Action));
        await AliveAsync(bystander);
        Assert.Equal((0, 0L), _hub.Limits.Current);
    }

    [Fact]
    public async Task Sessions_BeyondTheBoundOfAStranger_AreEnded_AndItMayStillComeIn()
    {
        var client = _hub.Connect();
        await client.SendAsync(Frames.AmqpHeader, Frames.Open());
        await client.ExpectAsync("header", "open");
        for (ushort channel = 0; channel < 1024; channel++)
            await client.SendAsync(Frames.Begin(channel));
        for (ushort channel = 0; channel < 1024; channel++)
            await client.ExpectAsync("begin");

        await client.SendAsync(Frames.Begin(1024));

        await client.ExpectAsync("begin", "end amqp:resource-limit-exceeded");
        await client.AttachCbsAsync();
        await _hub.AddDeviceAsync(client, "d1", handle: 2);
        await client.SendAsync(Frames.End(1024), Frames.Begin(1024));
        await client.ExpectAsync("begin");
    }

    [Fact]
    public async Task Links_BeyondTheBoundOfAStranger_AreRefused_AndItMayStillComeIn()
    {
        var client = await _hub.OpenAsync();
        for (uint handle = 2; handle < 16; handle++)
        {
            await client.SendAsync(Frames.AttachSender(handle, $"l{handle}", "$cbs"));
            await client.ExpectAsync("attach", "flow");
        }

        await client.SendAsync(Frames.AttachSender(16, "one more", "$cbs"));

        await client.ExpectAsync("attach", "detach amqp:resource-limit-exceeded");
        await client.SendAsync(Frames.Detach(16));
        await _hub.AddDeviceAsync(client, "d1", handle: 17);
    }

    [Theory]
    [InlineData("nothing", "")]
    [InlineData("half a header", "")]
    [InlineData("SASL", "sasl-header, sasl-mechanisms")]
    [InlineData("a header", "header, open, close amqp:connection:forced")]
    [InlineData("half an open", "header, open, close amqp:connection:forced")]
    [InlineData("an open", "header, open, close amqp:connection:forced")]
    [InlineData("links of $cbs", "header, open, begin, attach, flow, close amqp:connection:forced")]
    public async Task Stranger_After10Seconds_IsClosed_AndAuditedOnce_AndNobodyElseIs(string what, string told)
    {
        var bystander = await _hub.DeviceAsync();
        var client = _hub.Connect();
        await client.SendAsync(what switch
        {
            "half a header" => "AMQ"u8.ToArray(),
            "SASL" => Frames.SaslHeader,
            "a header" => Frames.AmqpHeader,
            "half an open" => [.. Frames.AmqpHeader, .. Frames.Open()[..10]],
            "an open" => [.. Frames.AmqpHeader, .. Frames.Open()],
            "links of $cbs" => [.. Frames.AmqpHeader, .. Frames.Open(), .. Frames.Begin(), .. Frames.AttachSender(0, "a", "$cbs")],
            _ => [],
        });
        var heard = new List<string>();
        var expected = told.Split(", ", StringSplitOptions.RemoveEmptyEntries);
        var before = expected.TakeWhile(name => !name.StartsWith("close", StringComparison.Ordinal)).Count() - (what is "a header" or "half an open" ? 1 : 0);
        for (var i = 0; i < before; i++)
            heard.Add((await client.HearAsync()).ToString());

        _hub.Time.Advance(TimeSpan.FromSeconds(10));

        while (heard.Count < expected.Length)
            heard.Add((await client.HearAsync()).ToString());
        Assert.Equal(expected, heard);
        _hub.Time.Advance(TimeSpan.FromSeconds(10)); // It does not answer the close.
        await client.ExpectGoneAsync();
        Assert.Contains("no accepted credential within 10 s", Assert.Single(_hub.Refusals).Reason, StringComparison.Ordinal);
        await AliveAsync(bystander);
    }

    private static async Task<byte> AuthenticateAsync(AmqpTestClient client, string mechanism, string? response = null)
    {
        await client.SendAsync(Frames.SaslHeader, Frames.SaslInit(mechanism, response is null ? null : Encoding.UTF8.GetBytes(response)));
        var outcome = (await client.ExpectAsync("sasl-header", "sasl-mechanisms", "sasl-outcome"))[2];
        return (byte)outcome.Fields[0]!;
    }

    private static async Task AliveAsync(AmqpTestClient device)
    {
        await device.SendAsync(device.Transfer(2, AmqpMessages.Text("alive")));
        await device.ExpectAsync("disposition");
    }
}
