using System.Globalization;
using System.Text;
using Sallyport.Heads.Amqp;
using Sallyport.Hub.Access;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Hub.Diagnosis;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Identities;
using Sallyport.Tests.Hub.Access;
using Sallyport.Tests.Hub.Access.Certificates;
using Sallyport.Tests.Protocol.Amqp;

namespace Sallyport.Tests.Heads.Amqp;

/// <summary>Readers of the Event Hubs-compatible endpoint.</summary>
public sealed class AmqpReadersTests : IAsyncLifetime
{
    private AmqpTestHub _hub = null!;
    private int _partition;

    public async ValueTask InitializeAsync()
    {
        _hub = await AmqpTestHub.StartAsync(new AmqpHeadOptions { MaxReaders = 3 });
        _partition = _hub.PartitionOfDevice("d1");
    }

    public async ValueTask DisposeAsync() => await _hub.DisposeAsync();

    [Theory]
    [InlineData(null, "0,1,2,3,4")]
    [InlineData("amqp.annotation.x-opt-offset > '-1'", "0,1,2,3,4")]
    [InlineData("amqp.annotation.x-opt-offset > '00000000000000000001'", "2,3,4")]
    [InlineData("amqp.annotation.x-opt-offset >= '1'", "1,2,3,4")]
    [InlineData("amqp.annotation.x-opt-sequence-number > '3'", "4")]
    [InlineData("amqp.annotation.x-opt-sequence-number >= '3'", "3,4")]
    [InlineData("amqp.annotation.x-opt-enqueued-time > '0'", "0,1,2,3,4")]
    [InlineData("amqp.annotation.x-opt-offset > '@latest'", "new")]
    [InlineData("amqp.annotation.x-opt-sequence-number > '4'", "new")]
    public async Task Reader_WithASelector_BeginsThere_AndGoesOn(string? selector, string expected)
    {
        var device = await SentAsync(5);
        var reader = await _hub.ServiceAsync();
        await reader.SendAsync(AmqpMessages.Reader(2, _partition, selector), Frames.Credit(2, 0, 100));
        await reader.ExpectAsync("attach");
        await device.SendAsync(device.Transfer(2, AmqpMessages.Text("new")));

        var bodies = new List<string>();
        while (bodies.LastOrDefault() != "new")
            bodies.Add(BodyOf(await reader.HearAsync()));

        Assert.Equal(expected == "new" ? ["new"] : [.. expected.Split(','), "new"], bodies);
    }

    [Fact]
    public async Task Credit_IsKept_AlsoWhenItIsRepeatedOrReduced()
    {
        await SentAsync(20);
        var reader = await _hub.ServiceAsync();
        await reader.SendAsync(AmqpMessages.Reader(2, _partition), Frames.Credit(2, 0, 3));
        await reader.ExpectAsync("attach", "transfer", "transfer", "transfer");

        await reader.SendAsync(Frames.Credit(2, 0, 3), Frames.Credit(2, 2, 3), Frames.Credit(2, 2, 3)); // It has seen two, and takes five in all.
        await reader.ExpectAsync("transfer", "transfer");
        await reader.SendAsync(Frames.Credit(2, 5, 0), Frames.Credit(2, 5, 1));
        var last = Assert.Single(await reader.ExpectAsync("transfer"));

        Assert.Equal("5", BodyOf(last));
        Assert.Equal(400, await reader.PutAsync("hub.test", "")); // Nothing more came before this answer.
    }

    [Fact]
    public async Task Drain_WhereThereIsNothing_GivesTheCreditBack()
    {
        await SentAsync(2);
        var reader = await _hub.ServiceAsync();
        await reader.SendAsync(AmqpMessages.Reader(2, _partition), Frames.Credit(2, 0, 10));
        await reader.ExpectAsync("attach", "transfer", "transfer");

        await reader.SendAsync(Frames.Credit(2, 2, 8, drain: true));

        var flow = Assert.Single(await reader.ExpectAsync("flow"));
        Assert.Equal([2u, 10u, 0u], flow.Fields[4..7]); // handle, delivery-count, link-credit
        Assert.Equal(true, flow.Fields[8]);
    }

    [Fact]
    public async Task Drain_WithEventsLeft_SendsThemFirst()
    {
        await SentAsync(5);
        var reader = await _hub.ServiceAsync();
        await reader.SendAsync(AmqpMessages.Reader(2, _partition), Frames.Credit(2, 0, 10, drain: true));

        await reader.ExpectAsync("attach", "transfer", "transfer", "transfer", "transfer", "transfer", "flow");
    }

    [Fact]
    public async Task Detach_WhileTheLogIsBeingRead_EndsThatReaderAlone()
    {
        await SentAsync(1);
        var client = await _hub.ServiceAsync();
        await client.SendAsync(AmqpMessages.Reader(2, _partition));
        await client.ExpectAsync("attach");
        _hub.Log.ShutReads();
        await client.SendAsync(AmqpMessages.Reader(3, _partition), Frames.Credit(3, 0, 10));
        await client.ExpectAsync("attach");
        await _hub.Log.KnockedAsync();

        await client.SendAsync(Frames.Detach(3));
        await client.ExpectAsync("detach");

        _hub.Log.Open();
        await client.SendAsync(Frames.Credit(2, 0, 10));
        await client.ExpectAsync("transfer");
    }

    [Fact]
    public async Task Window_OfTheSession_IsRespected()
    {
        await SentAsync(10);
        var reader = _hub.Connect();
        await reader.OpenAsync(incomingWindow: 3);
        await reader.SendAsync(Frames.AttachSender(0, "o", "$cbs"), Frames.AttachReceiver(1, "i", "$cbs"), Frames.Amqp(0, 0x13, 0u, 3u, 0u, 100u, 1u, 0u, 10u));
        await reader.ExpectAsync("attach", "flow", "attach");
        await _hub.PutPolicyAsync(reader); // One frame of three.
        await reader.SendAsync(AmqpMessages.Reader(2, _partition), Frames.Amqp(0, 0x13, 0u, 3u, 0u, 100u, 2u, 0u, 100u));
        await reader.ExpectAsync("attach", "transfer", "transfer");

        await reader.SendAsync(Frames.Window(3, 2));
        await reader.ExpectAsync("transfer", "transfer");
        await reader.SendAsync(Frames.Window(5, 100));
        await reader.ExpectAsync("transfer", "transfer", "transfer", "transfer", "transfer", "transfer");
    }

    [Fact]
    public async Task Events_LargerThanAFrame_AreCut()
    {
        var device = await _hub.DeviceAsync();
        var body = new string('x', 60_000);
        await device.SendAsync(device.Transfer(2, AmqpMessages.Text(body)));
        await device.ExpectAsync("disposition");
        var reader = _hub.Connect();
        await reader.SendAsync(Frames.AmqpHeader, Frames.Amqp(0, 0x10, "peer", "hub.test", 4096u), Frames.Begin());
        await reader.ExpectAsync("header", "open", "begin");
        await reader.AttachCbsAsync();
        await _hub.PutPolicyAsync(reader);
        await reader.SendAsync(AmqpMessages.Reader(2, _partition), Frames.Credit(2, 0, 1));
        await reader.ExpectAsync("attach");

        byte[] whole = [];
        Heard frame;
        do
        {
            frame = await reader.HearAsync();
            Assert.InRange(frame.Size, 1, 4096);
            whole = [.. whole, .. frame.Payload];
        }
        while (frame.Fields[5] is true);
        Assert.True(StoredMessage.TryRead(whole, out var message));
        Assert.Equal(body, Encoding.UTF8.GetString(message.Body));
    }

    [Theory]
    [InlineData(null, true)]
    [InlineData((byte)1, true)]
    [InlineData((byte)2, true)]
    [InlineData((byte)0, false)]
    public async Task Events_AreSettled_UnlessTheReaderInsistsOnSettling(byte? mode, bool settled)
    {
        await SentAsync(1);
        var reader = await _hub.ServiceAsync();
        await reader.SendAsync(AmqpMessages.Reader(2, _partition, settleMode: mode), Frames.Credit(2, 0, 10));

        var frames = await reader.ExpectAsync("attach", "transfer");
        Assert.Equal(settled, frames[1].Fields[4]);
    }

    // As azure-eventhub for Python does: it wants to settle, and never does.
    [Fact]
    public async Task Reader_ThatWantsToSettleAndNeverDoes_GetsEveryEvent_FiveAtATime()
    {
        const int Batches = 6, Each = 500;
        var device = await _hub.DeviceAsync();
        for (var batch = 0; batch < Batches; batch++)
        {
            byte[][] messages = [.. Enumerable.Range(batch * Each, Each).Select(n => AmqpMessages.Text($"{n}"))];
            await device.SendAsync(device.Transfer(2, AmqpMessages.Batch(messages), AmqpDelivery.BatchFormat));
            await device.ExpectAsync("disposition");
        }

        var reader = await _hub.ServiceAsync();
        await reader.SendAsync(AmqpMessages.Reader(2, _partition, epoch: 7, settleMode: 0));
        await reader.ExpectAsync("attach");

        for (var n = 0; n < Batches * Each; n++)
        {
            if (n % 5 == 0)
                await reader.SendAsync(Frames.Credit(2, (uint)n, 5));
            Assert.Equal($"{n}", BodyOf(await reader.HearAsync()));
        }
    }

    [Fact]
    public async Task RuntimeMetric_TellsWhereTheNewestEventIs()
    {
        await SentAsync(3);
        var reader = await _hub.ServiceAsync();
        await reader.SendAsync(AmqpMessages.Reader(2, _partition, metric: true), Frames.Credit(2, 0, 1));

        var transfer = (await reader.ExpectAsync("attach", "transfer"))[1];

        var payload = transfer.Payload.AsSpan();
        Assert.Equal("\0\x53\x71"u8, payload[..3]); // delivery-annotations
        var annotations = new AmqpReader(payload[3..]);
        Assert.True(annotations.TryRead(out var map));
        Assert.True(new AmqpMap(map.Content).TryFind("last_enqueued_sequence_number"u8, out var newest));
        Assert.Equal(2, newest.Signed);
        Assert.True(StoredMessage.TryRead(payload, out _));
    }

    [Theory]
    [InlineData("nobody", 0, null, "amqp:not-found")]
    [InlineData("$Default", 99, null, "amqp:not-found")]
    [InlineData("$Default", -1, null, "amqp:not-found")]
    [InlineData("$Default", 0, "amqp.annotation.x-opt-color > '1'", "amqp:invalid-field")]
    [InlineData("$Default", 0, "amqp.annotation.x-opt-offset > 'x'", "amqp:invalid-field")]
    [InlineData("$Default", 0, "drop table", "amqp:invalid-field")]
    [InlineData("$Default", 0, "amqp.annotation.x-opt-sequence-number > '77'", "com.microsoft:argument-out-of-range")]
    public async Task Reader_ThatCannotBeServed_IsRefused_AndItsSiblingReads(string group, int partition, string? selector, string condition)
    {
        await SentAsync(1);
        var client = await _hub.ServiceAsync();

        await client.SendAsync(AmqpMessages.Reader(2, partition, selector, group: group));
        await client.ExpectAsync("attach", $"detach {condition}");

        await client.SendAsync(AmqpMessages.Reader(3, _partition), Frames.Credit(3, 0, 1));
        await client.ExpectAsync("attach", "transfer");
    }

    [Fact]
    public async Task Reader_OfAnotherEventHub_IsRefused()
    {
        var client = await _hub.ServiceAsync();
        await client.SendAsync(AmqpMessages.Reader(2, 0, hub: "other"));
        await client.ExpectAsync("attach", "detach amqp:not-found");
    }

    [Fact]
    public async Task Reader_AtTheHubsOwnAddress_IsRedirected()
    {
        var client = await _hub.ServiceAsync();
        await client.SendAsync(Frames.AttachReceiver(2, "r", "messages/events/ConsumerGroups/$Default/Partitions/0"));

        var error = (await client.ExpectAsync("attach", "detach amqp:link:redirect"))[1].Error!.Value;
        Assert.Contains("amqps://hub.test:5671/events/", ((object?[])error.Fields[2]!).OfType<string>());
    }

    [Fact]
    public async Task Sender_ToAPartition_IsRefused()
    {
        var client = await _hub.ServiceAsync();
        await client.SendAsync(Frames.AttachSender(2, "w", "events/ConsumerGroups/$Default/Partitions/0"));
        await client.ExpectAsync("attach", "detach amqp:not-found");
    }

    [Fact]
    public async Task Reader_WithoutToken_IsRefused_AuditedAndDiagnosed()
    {
        var client = await _hub.OpenAsync();
        await client.SendAsync(AmqpMessages.Reader(2, 0));
        await client.ExpectAsync("attach", "detach amqp:unauthorized-access");

        Assert.Equal("401003 no token of a policy for this resource was put on this connection", Assert.Single(_hub.Refusals).Reason);
    }

    [Fact]
    public async Task Reader_WithAPolicyThatMayNotRead_IsRefused_AuditedAndDiagnosed()
    {
        var client = await _hub.OpenAsync();
        await _hub.PutPolicyAsync(client, "registryRead");
        await client.SendAsync(AmqpMessages.Reader(2, 0));
        await client.ExpectAsync("attach", "detach amqp:unauthorized-access");

        Assert.StartsWith("401002 the policy registryRead does not hold", Assert.Single(_hub.Refusals).Reason, StringComparison.Ordinal);
        Assert.StartsWith("the policy registryRead does not hold", _hub.Newest(KnownSubjects.OfPolicy("registryRead")).Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Reader_WhoseAddressWasMadeForTheLog_IsNotInTheLogAsItIs()
    {
        var client = await _hub.OpenAsync();
        await client.SendAsync(AmqpMessages.Reader(2, 0, group: "a\nInformation: all is well"));
        await client.ExpectAsync("attach", "detach amqp:unauthorized-access");

        Assert.Contains(_hub.Lines.All, line => line.StartsWith("Information 3101", StringComparison.Ordinal));
        Assert.DoesNotContain(_hub.Lines.All, line => line.Contains('\n', StringComparison.Ordinal));
    }

    [Fact]
    public async Task Reader_WithADevicesToken_IsRefused()
    {
        var client = await _hub.DeviceAsync();
        await client.SendAsync(AmqpMessages.Reader(3, 0));
        await client.ExpectAsync("attach", "detach amqp:unauthorized-access");
    }

    [Fact]
    public async Task Epoch_Higher_TakesThePartition_AndALowerOneOrNoneIsRefused()
    {
        var first = await _hub.ServiceAsync();
        await first.SendAsync(AmqpMessages.Reader(2, 0), AmqpMessages.Reader(3, 1));
        await first.ExpectAsync("attach", "attach");

        var second = await _hub.ServiceAsync();
        await second.SendAsync(AmqpMessages.Reader(2, 0, epoch: 5));
        await second.ExpectAsync("attach");
        Assert.Equal(2u, Assert.Single(await first.ExpectAsync("detach amqp:link:stolen")).Fields[0]);

        await first.SendAsync(Frames.Detach(2), AmqpMessages.Reader(4, 0), AmqpMessages.Reader(5, 0, epoch: 4));
        await first.ExpectAsync("attach", "detach amqp:link:stolen", "attach", "detach amqp:link:stolen");

        var third = await _hub.ServiceAsync();
        await third.SendAsync(AmqpMessages.Reader(2, 0, epoch: 5));
        await third.ExpectAsync("attach");
        await second.ExpectAsync("detach amqp:link:stolen");
        await third.SendAsync(Frames.Detach(2));
        await third.ExpectAsync("detach");
        await second.SendAsync(Frames.Detach(2), AmqpMessages.Reader(2, 0));
        await second.ExpectAsync("attach");
    }

    [Fact]
    public async Task Readers_BeyondTheBound_AreRefused_UntilOneGoes()
    {
        var client = await _hub.ServiceAsync();
        await client.SendAsync(AmqpMessages.Reader(2, 0), AmqpMessages.Reader(3, 0), AmqpMessages.Reader(4, 0), AmqpMessages.Reader(5, 0));
        await client.ExpectAsync("attach", "attach", "attach", "attach", "detach amqp:resource-limit-exceeded");

        await client.SendAsync(Frames.Detach(5), Frames.Detach(2), AmqpMessages.Reader(5, 0));
        await client.ExpectAsync("detach", "attach");
    }

    [Fact]
    public async Task ConsumerGroup_Deleted_EndsItsReadersAlone()
    {
        await _hub.Groups.CreateAsync(AmqpTestHub.Owner, "night", CancellationToken.None);
        await SentAsync(1);
        var client = await _hub.ServiceAsync();
        await client.SendAsync(AmqpMessages.Reader(2, _partition, group: "NIGHT"), AmqpMessages.Reader(3, _partition));
        await client.ExpectAsync("attach", "attach");

        await _hub.Groups.DeleteAsync(AmqpTestHub.Owner, "night", CancellationToken.None);

        Assert.Equal(2u, Assert.Single(await client.ExpectAsync("detach amqp:not-found")).Fields[0]);
        await client.SendAsync(Frames.Credit(3, 0, 1));
        await client.ExpectAsync("transfer");
        await client.SendAsync(Frames.Detach(2), AmqpMessages.Reader(2, _partition, group: "night"));
        await client.ExpectAsync("attach", "detach amqp:not-found");
    }

    [Fact]
    public async Task Token_ThatExpires_EndsItsLinks_AndTheConnectionThatHoldsNothingElse()
    {
        var client = await _hub.ServiceAsync(life: TimeSpan.FromMinutes(1));
        await client.SendAsync(AmqpMessages.Reader(2, 0), Frames.AttachSender(3, "m", "$management"));
        await client.ExpectAsync("attach", "attach", "flow");

        _hub.Time.Advance(TimeSpan.FromMinutes(6) + TimeSpan.FromSeconds(1));

        await client.ExpectAsync("detach amqp:unauthorized-access", "detach amqp:unauthorized-access", "close amqp:unauthorized-access");
    }

    [Fact]
    public async Task Token_PutAgain_ExtendsItsLinks()
    {
        await SentAsync(2);
        var client = await _hub.ServiceAsync(life: TimeSpan.FromMinutes(1));
        await client.SendAsync(AmqpMessages.Reader(2, _partition), Frames.Credit(2, 0, 1));
        await client.ExpectAsync("attach", "transfer");
        _hub.Time.Advance(TimeSpan.FromMinutes(3));
        await _hub.PutPolicyAsync(client, life: TimeSpan.FromMinutes(5));

        _hub.Time.Advance(TimeSpan.FromMinutes(7));
        await client.SendAsync(Frames.Credit(2, 1, 1));
        await client.ExpectAsync("transfer");
        _hub.Time.Advance(TimeSpan.FromMinutes(3) + TimeSpan.FromSeconds(1));

        await client.ExpectAsync("detach amqp:unauthorized-access", "close amqp:unauthorized-access");
    }

    [Fact]
    public async Task Policy_Withdrawn_EndsItsLinks()
    {
        var client = await _hub.ServiceAsync();
        await client.SendAsync(AmqpMessages.Reader(2, 0));
        await client.ExpectAsync("attach");

        await _hub.Access.Policies.DeleteAsync(AmqpTestHub.Owner, "service", EntityTagCondition.Any, CancellationToken.None);

        await client.ExpectAsync("detach amqp:unauthorized-access", "close amqp:unauthorized-access");
    }

    [Fact]
    public async Task Token_Revoked_EndsItsLinks_AndOpensNoOthers()
    {
        var client = await _hub.OpenAsync();
        var token = _hub.Access.PolicyToken("service");
        Assert.Equal(200, await client.PutAsync("hub.test", token));
        await _hub.AddDeviceAsync(client, "d1", handle: 3);
        await client.SendAsync(AmqpMessages.Reader(2, 0));
        await client.ExpectAsync("attach");

        await _hub.Access.Revocation.RevokeAsync(AmqpTestHub.Owner, token, CancellationToken.None);

        await client.ExpectAsync("detach amqp:unauthorized-access");
        await client.SendAsync(Frames.Detach(2), AmqpMessages.Reader(2, 0));
        await client.ExpectAsync("attach", "detach amqp:unauthorized-access");
    }

    [Fact]
    public async Task Reader_LimitedByTag_ReadsWhoHasItNow()
    {
        var other = Enumerable.Range(0, 1000).Select(i => $"e{i}").First(id => _hub.PartitionOfDevice(id) == _partition);
        await _hub.Access.PutAsync(AccessFixture.Record(Identity.Of(other)));
        await _hub.Access.TagAsync("d1", """{"site":"berlin"}""");
        await _hub.Access.TagAsync(other, """{"site":"berlin"}""");
        await _hub.Access.Policies.CreateAsync(AmqpTestHub.Owner, "berlin", Rights.TelemetryRead, ScopeTests.Of(_hub.Access.Tags, "site=berlin"), null, null, CancellationToken.None);
        var device = await SentAsync(1);
        await _hub.AddDeviceAsync(device, other, handle: 3);
        var reader = await _hub.ServiceAsync("berlin");
        await reader.SendAsync(AmqpMessages.Reader(2, _partition), Frames.Credit(2, 0, 100));
        Assert.Equal("0", BodyOf((await reader.ExpectAsync("attach", "transfer"))[1]));

        await _hub.Access.TagAsync("d1", """{"site":"hamburg"}""");
        await device.SendAsync(device.Transfer(2, AmqpMessages.Text("not theirs")));
        await device.ExpectAsync("disposition");
        await device.SendAsync(device.Transfer(3, AmqpMessages.Text("theirs")));

        Assert.Equal("theirs", BodyOf(await reader.HearAsync()));
    }

    [Fact]
    public async Task Operator_ByCertificate_ReadsWithoutCbs_UntilItIsDisabled()
    {
        using var certificate = TestAuthority.Root("people", _hub.Time.GetUtcNow()).Leaf("alice");
        await _hub.Access.Policies.CreateOperatorAsync(
            AmqpTestHub.Owner, "alice", Rights.TelemetryRead, Scope.Everything, TimeSpan.FromHours(1),
            OperatorCertificate.Read(certificate.RawData, _hub.Access.Authorities, _hub.Time.GetUtcNow()), CancellationToken.None);
        var device = await SentAsync(1);
        var reader = _hub.Connect(certificate: new PresentedCertificate(certificate, []));
        await reader.OpenAsync();
        await reader.SendAsync(AmqpMessages.Reader(2, _partition), Frames.Credit(2, 0, 100));
        await reader.ExpectAsync("attach", "transfer");
        await reader.SendAsync(Frames.AttachSender(3, "commands", "messages/devicebound"));
        await reader.ExpectAsync("attach", "detach amqp:unauthorized-access"); // It does not hold command-send.

        _hub.Time.Advance(TimeSpan.FromSeconds(30)); // A stranger would have had to go.
        await device.SendAsync(device.Transfer(2, AmqpMessages.Text("later")));
        Assert.Equal("later", BodyOf(await reader.HearAsync()));
        Assert.Contains(_hub.Access.Audit.Entries, entry => entry is { Principal: "operator:alice", Action: "event read" });
        await _hub.Access.Policies.EnableOperatorAsync(AmqpTestHub.Owner, "alice", enabled: false, CancellationToken.None);

        await reader.ExpectAsync("detach amqp:unauthorized-access", "close amqp:unauthorized-access");
    }

    [Fact]
    public async Task Operator_ByCertificate_ThatEnds_LosesItsLinks()
    {
        using var certificate = TestAuthority.Root("people", _hub.Time.GetUtcNow()).Leaf("alice", notAfter: _hub.Time.GetUtcNow().AddMinutes(3));
        await _hub.Access.Policies.CreateOperatorAsync(
            AmqpTestHub.Owner, "alice", Rights.TelemetryRead, Scope.Everything, TimeSpan.FromHours(1), OperatorCertificate.Of(certificate.GetCertHashString(System.Security.Cryptography.HashAlgorithmName.SHA256)), CancellationToken.None);
        var reader = _hub.Connect(certificate: new PresentedCertificate(certificate, []));
        await reader.OpenAsync();
        await reader.SendAsync(AmqpMessages.Reader(2, _partition));
        await reader.ExpectAsync("attach");

        _hub.Time.Advance(TimeSpan.FromMinutes(3) + TimeSpan.FromSeconds(1));

        await reader.ExpectAsync("detach amqp:unauthorized-access", "close amqp:unauthorized-access");
    }

    [Fact]
    public async Task Certificate_OfNoOperator_OpensNoServiceLink_AndATokenBesideAnOperatorsDecides()
    {
        using var certificate = TestAuthority.Root("people", _hub.Time.GetUtcNow()).Leaf("alice");
        using var stranger = TestAuthority.Root("people", _hub.Time.GetUtcNow()).Leaf("bob");
        await _hub.Access.Policies.CreateOperatorAsync(
            AmqpTestHub.Owner, "alice", Rights.TelemetryRead, Scope.Everything, TimeSpan.FromHours(1), OperatorCertificate.Of(certificate.GetCertHashString(System.Security.Cryptography.HashAlgorithmName.SHA256)), CancellationToken.None);

        var refused = _hub.Connect(certificate: new PresentedCertificate(stranger, []));
        await refused.OpenAsync();
        await refused.SendAsync(AmqpMessages.Reader(2, _partition));
        await refused.ExpectAsync("attach", "detach amqp:unauthorized-access");
        Assert.Contains(_hub.Refusals, entry => entry.Reason.EndsWith("there is no token, and the certificate shown is no operator's", StringComparison.Ordinal));

        var both = await _hub.OpenAsync(certificate: new PresentedCertificate(certificate, []));
        await _hub.PutPolicyAsync(both, "device");
        await both.SendAsync(AmqpMessages.Reader(2, _partition));
        await both.ExpectAsync("attach", "detach amqp:unauthorized-access");
    }

    [Fact]
    public async Task Management_DescribesWhatReadersSee()
    {
        await SentAsync(7);
        var client = await _hub.ServiceAsync();
        await client.SendAsync(Frames.AttachSender(2, "ask", "$management"), Frames.AttachReceiver(3, "answers", "$management"), Frames.Credit(3, 0, 100));
        await client.ExpectAsync("attach", "flow", "attach");

        await client.SendAsync(client.Transfer(2, AmqpMessages.Read("com.microsoft:partition", _partition.ToString(CultureInfo.InvariantCulture))));
        var answer = (await client.ExpectAsync("disposition", "transfer"))[1];
        Assert.Equal(200, AmqpWire.StatusOf(answer));
        Assert.True(StoredMessage.TryRead(answer.Payload, out var message));
        Assert.True(new AmqpMap(message.BodyValue.Content).TryFind("last_enqueued_sequence_number"u8, out var newest));
        Assert.Equal(6, newest.Signed);

        foreach (var (type, partition, status) in new[] { ("com.microsoft:eventhub", null, 200), ("com.microsoft:partition", "99", 404), ("com.microsoft:partition", "x", 404), ("nothing", null, 400) })
        {
            await client.SendAsync(client.Transfer(2, AmqpMessages.Read(type, partition)));
            Assert.Equal(status, AmqpWire.StatusOf((await client.ExpectAsync("disposition", "transfer"))[1]));
        }

        await client.SendAsync(client.Transfer(2, [1, 2, 3]));
        await client.ExpectAsync("disposition amqp:decode-error");
    }

    [Fact]
    public async Task Reading_IsInTheAuditTrail()
    {
        var client = await _hub.ServiceAsync();
        await client.SendAsync(AmqpMessages.Reader(2, 0));
        await client.ExpectAsync("attach");

        Assert.Contains(_hub.Access.Audit.Entries, entry => entry is { Principal: "policy:service", Action: "event read", Target: "$Default/0", Result: "done" });
    }

    // A device that has sent messages "0", "1", ….
    private async Task<AmqpTestClient> SentAsync(int messages)
    {
        var device = await _hub.DeviceAsync();
        for (var i = 0; i < messages; i++)
        {
            await device.SendAsync(device.Transfer(2, AmqpMessages.Text($"{i}")));
            await device.ExpectAsync("disposition");
        }

        return device;
    }

    private static string BodyOf(Heard transfer)
    {
        Assert.Equal("transfer", transfer.Name);
        Assert.True(StoredMessage.TryRead(transfer.Payload, out var message));
        return Encoding.UTF8.GetString(message.Body);
    }
}
