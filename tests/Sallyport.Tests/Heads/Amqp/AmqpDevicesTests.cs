using Sallyport.Hub.Diagnosis;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;
using Sallyport.Tests.Hub.Access;
using Sallyport.Tests.Hub.Access.Certificates;
using Sallyport.Tests.Protocol.Amqp;

namespace Sallyport.Tests.Heads.Amqp;

/// <summary>Devices on a connection, one or many: who is let in, and what ends whom.</summary>
public sealed class AmqpDevicesTests : IAsyncDisposable
{
    private static readonly Identity D1 = Identity.Of("d1");
    private static readonly Identity D2 = Identity.Of("d2");

    private AmqpTestHub _hub = null!;

    public async ValueTask DisposeAsync() => await _hub.DisposeAsync();

    [Fact]
    public async Task Device_WhoseTokenWasPut_IsConnectedAndDiagnosed()
    {
        _hub = await AmqpTestHub.StartAsync();
        await _hub.DeviceAsync();

        Assert.True(_hub.Access.Connected.IsConnected(D1));
        var came = _hub.Newest("d1");
        Assert.Equal((AttemptOutcome.Admitted, "amqp"), (came.Outcome, came.Peer.Protocol));
        Assert.NotEmpty(came.Fingerprint);
        Assert.Empty(_hub.Refusals);
    }

    [Fact]
    public async Task Module_WithItsToken_SendsAsItself()
    {
        _hub = await AmqpTestHub.StartAsync();
        var client = await _hub.OpenAsync();
        Assert.Equal(200, await client.PutAsync("hub.test/devices/d1/modules/m1", _hub.Access.Token(Identity.Of("d1", "m1"))));
        await client.SendAsync(Frames.AttachSender(2, "up", "devices/d1/modules/m1/messages/events"));
        await client.ExpectAsync("attach", "flow");
        await client.SendAsync(client.Transfer(2, AmqpMessages.Text("x")));
        await client.ExpectAsync("disposition");

        Assert.Equal("m1", Assert.Single(await _hub.StoredAsync(1)).Annotations["iothub-connection-module-id"]);
    }

    [Theory]
    [InlineData("devices/d2/messages/events", "d2")] // another device
    [InlineData("devices/d1/modules/m1/messages/events", "d1/m1")] // the device's key opens no module
    [InlineData("amqps://hub.test/devices/d2/messages/events", "d2")]
    [InlineData("/DEVICES/d2/messages/events", "d2")]
    public async Task Link_ToAnothersAddress_IsRefused_AuditedAndDiagnosed_AndTheOwnLives(string address, string whose)
    {
        _hub = await AmqpTestHub.StartAsync();
        var client = await _hub.DeviceAsync();

        await client.SendAsync(Frames.AttachSender(3, "other", address));

        await client.ExpectAsync("attach", "detach amqp:unauthorized-access");
        var refusal = Assert.Single(_hub.Refusals);
        Assert.Equal(("anonymous", "authentication", whose), (refusal.Principal, refusal.Action, refusal.Target));
        Assert.Equal("401003 no token for this device was put on this connection", refusal.Reason);
        Assert.Equal("no token for this device was put on this connection", _hub.Newest(whose).Reason);
        await client.SendAsync(client.Transfer(2, AmqpMessages.Text("own")));
        await client.ExpectAsync("disposition");
    }

    [Theory]
    [InlineData("devices/d1/messages/deviceBound", false, "amqp:not-implemented")] // to send
    [InlineData("devices/d1/messages/events", true, "amqp:not-implemented")] // to receive
    [InlineData("devices/d1/somewhere", true, "amqp:not-found")]
    [InlineData("devices/d1", false, "amqp:not-found")]
    [InlineData("devices//messages/events", false, "amqp:not-found")]
    [InlineData("a/b/c/d/e/f/g/h/i/j/k/l", false, "amqp:not-found")]
    [InlineData("", false, "amqp:not-found")]
    public async Task Link_ToWhatIsNotThere_IsRefused_AndTheOwnLives(string address, bool receives, string condition)
    {
        _hub = await AmqpTestHub.StartAsync();
        var client = await _hub.DeviceAsync();

        await client.SendAsync(receives ? Frames.AttachReceiver(3, "l", address) : Frames.AttachSender(3, "l", address));

        await client.ExpectAsync("attach", $"detach {condition}");
        await client.SendAsync(client.Transfer(2, AmqpMessages.Text("own")));
        await client.ExpectAsync("disposition");
    }

    [Fact]
    public async Task Pool_OneLinkDetached_EndsThatDeviceAlone()
    {
        _hub = await AmqpTestHub.StartAsync();
        var client = await PoolAsync(40);

        await client.SendAsync(Frames.Detach(2 + 17));
        await client.ExpectAsync("detach");

        await AliveAsync(client, 2 + 16, 2 + 18, 2 + 39);
        Assert.Equal(39, _hub.Access.Connected.Count);
        Assert.False(_hub.Access.Connected.IsConnected(Identity.Of("p17")));
        Assert.Equal((AttemptOutcome.Closed, 0), (_hub.Newest("p17").Outcome, _hub.Newest("p17").Code));
    }

    [Fact]
    public async Task Pool_OneSessionEnded_EndsItsDevicesAlone()
    {
        _hub = await AmqpTestHub.StartAsync();
        var client = await _hub.DeviceAsync();
        await client.SendAsync(Frames.Begin(channel: 7));
        await client.ExpectAsync("begin");
        await _hub.AddDeviceAsync(client, "d2", handle: 0, channel: 7);

        await client.SendAsync(Frames.End(7));
        await client.ExpectAsync("end");

        await AliveAsync(client, 2);
        Assert.Equal((true, false), (_hub.Access.Connected.IsConnected(D1), _hub.Access.Connected.IsConnected(D2)));
    }

    [Fact]
    public async Task Pool_OneDeviceDisabled_IsDetachedAlone_AndStaysOut()
    {
        _hub = await AmqpTestHub.StartAsync();
        var client = await PoolAsync(10);
        await _hub.Access.PutAsync(AccessFixture.Record(Identity.Of("p3")) with { Enabled = false });

        _hub.Access.Connected.Close(Identity.Of("p3"), HubErrors.DeviceNotFound, "the device was disabled");

        var detach = Assert.Single(await client.ExpectAsync("detach amqp:not-found"));
        Assert.Equal(5u, detach.Fields[0]);
        Assert.Equal((AttemptOutcome.Closed, 404001, "the device was disabled"), (_hub.Newest("p3").Outcome, _hub.Newest("p3").Code, _hub.Newest("p3").Reason));
        await client.SendAsync(Frames.Detach(5), Frames.AttachSender(5, "again", "devices/p3/messages/events"));
        await client.ExpectAsync("attach", "detach amqp:not-found");
        await AliveAsync(client, 2, 11);
    }

    [Fact]
    public async Task Transfers_InFlightAfterTheHubDetached_AreDropped_AndTheConnectionLives()
    {
        _hub = await AmqpTestHub.StartAsync();
        var client = await PoolAsync(2);
        _hub.Access.Connected.Close(Identity.Of("p0"), HubErrors.DeviceNotFound, "the device was disabled");

        await client.SendAsync([.. Enumerable.Range(0, 100).Select(i => client.Transfer(2, AmqpMessages.Text($"{i}")))]);
        await client.SendAsync(Frames.Detach(2));

        await client.ExpectAsync("detach amqp:not-found");
        await AliveAsync(client, 3);
        Assert.Equal(1, Enumerable.Range(0, _hub.Log.PartitionCount).Sum(_hub.StoredIn));
    }

    [Fact]
    public async Task TakeOver_ByAnotherConnection_EndsTheOlder_WhoseSiblingsLive()
    {
        _hub = await AmqpTestHub.StartAsync();
        var older = await _hub.DeviceAsync();
        await _hub.AddDeviceAsync(older, "d2", handle: 3);

        var newer = await _hub.DeviceAsync();

        await older.ExpectAsync("detach amqp:link:stolen");
        await AliveAsync(older, 3);
        await AliveAsync(newer, 2);
        Assert.Contains(_hub.Access.Attempts.Of("d1"), attempt => attempt.Outcome == AttemptOutcome.TakenOver);
        Assert.DoesNotContain(_hub.Access.Attempts.Of("d1"), attempt => attempt.Outcome == AttemptOutcome.Closed);
        Assert.True(_hub.Access.Connected.IsConnected(D1));
    }

    [Fact]
    public async Task TakeOver_OfAConnectionsOnlyDevice_ClosesTheConnection()
    {
        _hub = await AmqpTestHub.StartAsync();
        var older = await _hub.DeviceAsync();

        var newer = await _hub.DeviceAsync();

        await older.ExpectAsync("detach amqp:link:stolen", "close amqp:link:stolen");
        await older.SendAsync(Frames.Close());
        await older.ExpectGoneAsync();
        await AliveAsync(newer, 2);
    }

    [Fact]
    public async Task TwoLinksOfADevice_OnOneConnection_AreOneDevice()
    {
        _hub = await AmqpTestHub.StartAsync();
        var client = await _hub.DeviceAsync();
        await client.SendAsync(Frames.AttachSender(3, "second", "devices/d1/messages/events"));
        await client.ExpectAsync("attach", "flow");

        await client.SendAsync(Frames.Detach(2));
        await client.ExpectAsync("detach");

        Assert.True(_hub.Access.Connected.IsConnected(D1));
        await AliveAsync(client, 3);
        Assert.DoesNotContain(_hub.Access.Attempts.Of("d1"), attempt => attempt.Outcome == AttemptOutcome.TakenOver);
    }

    [Fact]
    public async Task Device_ThatConnectsTooOften_IsHeldBack_AndTheOlderGoesOnMeanwhile()
    {
        _hub = await AmqpTestHub.StartAsync(quotas: new QuotaOptions { DeviceConnectionsPerSecond = 1, Burst = TimeSpan.FromSeconds(1) });
        var older = await _hub.DeviceAsync();
        var newer = await _hub.OpenAsync();
        await _hub.PutAsync(newer, "d1");

        await newer.SendAsync(Frames.AttachSender(2, "up", "devices/d1/messages/events"));
        await _hub.Time.WaitBeganAsync(TimeSpan.FromMilliseconds(900), TimeSpan.FromMilliseconds(1000));
        await AliveAsync(older, 2);
        _hub.Time.Advance(TimeSpan.FromSeconds(1));

        await newer.ExpectAsync("attach", "flow");
        await older.ExpectAsync("detach amqp:link:stolen", "close amqp:link:stolen");
    }

    [Fact]
    public async Task Token_ThatExpires_EndsItsDevice_AndItIsOnRecordWhy()
    {
        _hub = await AmqpTestHub.StartAsync();
        var client = await _hub.DeviceAsync(tokenLife: TimeSpan.FromMinutes(1));
        await _hub.AddDeviceAsync(client, "d2", handle: 3, TimeSpan.FromHours(1));

        _hub.Time.Advance(TimeSpan.FromMinutes(6) - TimeSpan.FromSeconds(1)); // Clocks may differ by five minutes.
        await AliveAsync(client, 2);
        _hub.Time.Advance(TimeSpan.FromSeconds(2));

        await client.ExpectAsync("detach amqp:unauthorized-access");
        var end = _hub.Newest("d1");
        Assert.Equal((AttemptOutcome.Closed, 401003, "the token expired"), (end.Outcome, end.Code, end.Reason));
        await AliveAsync(client, 3);
        await client.SendAsync(Frames.AttachSender(4, "again", "devices/d1/messages/events"));
        await client.ExpectAsync("attach", "detach amqp:unauthorized-access");
        Assert.Contains("expired at", _hub.Newest("d1").Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Token_OfTheOnlyDeviceThatExpires_ClosesTheConnection()
    {
        _hub = await AmqpTestHub.StartAsync();
        var client = await _hub.DeviceAsync(tokenLife: TimeSpan.FromMinutes(1));

        _hub.Time.Advance(TimeSpan.FromMinutes(6) + TimeSpan.FromSeconds(1));

        await client.ExpectAsync("detach amqp:unauthorized-access", "close amqp:unauthorized-access");
    }

    [Fact]
    public async Task Token_PutAgain_ExtendsItsDevice_AsLongAsTheNewerOneLasts()
    {
        _hub = await AmqpTestHub.StartAsync();
        var client = await _hub.DeviceAsync(tokenLife: TimeSpan.FromMinutes(1));
        _hub.Time.Advance(TimeSpan.FromMinutes(3));
        await _hub.PutAsync(client, "d1", TimeSpan.FromMinutes(5)); // Accepted until the 13th minute.

        _hub.Time.Advance(TimeSpan.FromMinutes(7));
        await AliveAsync(client, 2);
        _hub.Time.Advance(TimeSpan.FromMinutes(3) + TimeSpan.FromSeconds(1));

        await client.ExpectAsync("detach amqp:unauthorized-access", "close amqp:unauthorized-access");
    }

    [Fact]
    public async Task Token_OfAPolicyPutAgain_ExtendsTheDevicesItLetIn()
    {
        _hub = await AmqpTestHub.StartAsync();
        var client = await _hub.OpenAsync();
        await _hub.PutPolicyAsync(client, "device", TimeSpan.FromMinutes(1));
        await client.SendAsync(Frames.AttachSender(2, "a", "devices/d1/messages/events"), Frames.AttachSender(3, "b", "devices/d2/messages/events"));
        await client.ExpectAsync("attach", "flow", "attach", "flow");
        _hub.Time.Advance(TimeSpan.FromMinutes(3));
        await _hub.PutPolicyAsync(client, "device", TimeSpan.FromMinutes(5));

        _hub.Time.Advance(TimeSpan.FromMinutes(7));
        await AliveAsync(client, 2, 3);
        _hub.Time.Advance(TimeSpan.FromMinutes(3) + TimeSpan.FromSeconds(1));

        await client.ExpectAsync("detach amqp:unauthorized-access", "detach amqp:unauthorized-access", "close amqp:unauthorized-access");
    }

    [Fact]
    public async Task Certificate_WithoutCbs_LetsItsDeviceIn_AndEndsItWhenItExpires()
    {
        _hub = await AmqpTestHub.StartAsync();
        var root = TestAuthority.Root("plant", _hub.Time.GetUtcNow());
        await _hub.Access.Authorities.PutAsync(AmqpTestHub.Owner, "plant", root.Pem, isVerified: true, idPrefix: null, deviceTags: null, condition: null, CancellationToken.None);
        await _hub.Access.PutAsync(AccessFixture.Record(D1) with { Authentication = IdentityAuthentication.CertificateAuthority });
        using var leaf = root.Leaf("d1", notAfter: _hub.Time.GetUtcNow().AddMinutes(3));
        var client = _hub.Connect(certificate: root.Show(leaf));
        await client.OpenAsync();
        await client.SendAsync(Frames.AttachSender(2, "up", "devices/d1/messages/events"));
        await client.ExpectAsync("attach", "flow");
        await AliveAsync(client, 2);
        Assert.Contains("CN=d1", _hub.Newest("d1").Certificates, StringComparison.Ordinal);
        await client.SendAsync(Frames.AttachSender(3, "other", "devices/d2/messages/events"));
        await client.ExpectAsync("attach", "detach amqp:unauthorized-access");

        _hub.Time.Advance(TimeSpan.FromMinutes(3) + TimeSpan.FromSeconds(1));

        await client.ExpectAsync("detach amqp:unauthorized-access", "close amqp:unauthorized-access");
        Assert.Equal("the certificate it was let in by, or an issuer of it, expired", _hub.Newest("d1").Reason);
    }

    [Fact]
    public async Task Policy_Withdrawn_EndsTheDevicesItLetIn_AndNobodyElse()
    {
        _hub = await AmqpTestHub.StartAsync();
        var client = await _hub.OpenAsync();
        await _hub.PutPolicyAsync(client, "device");
        await client.SendAsync(Frames.AttachSender(2, "a", "devices/d1/messages/events"));
        await client.ExpectAsync("attach", "flow");
        await _hub.AddDeviceAsync(client, "d2", handle: 3);

        await _hub.Access.Policies.DeleteAsync(AmqpTestHub.Owner, "device", EntityTagCondition.Any, CancellationToken.None);

        await client.ExpectAsync("detach amqp:unauthorized-access");
        Assert.Equal("the policy whose token it showed was deleted or got a new key", _hub.Newest("d1").Reason);
        await AliveAsync(client, 3);
    }

    [Fact]
    public async Task Token_Revoked_EndsItsDevice_AndStaysOut()
    {
        _hub = await AmqpTestHub.StartAsync();
        var token = _hub.Access.Token(D1);
        var client = await _hub.OpenAsync();
        Assert.Equal(200, await client.PutAsync("hub.test/devices/d1", token));
        await client.SendAsync(Frames.AttachSender(2, "up", "devices/d1/messages/events"));
        await client.ExpectAsync("attach", "flow");

        await _hub.Access.Revocation.RevokeAsync(AmqpTestHub.Owner, token, CancellationToken.None);

        await client.ExpectAsync("detach amqp:unauthorized-access", "close amqp:unauthorized-access");
        Assert.Equal("the token was revoked (token revoke)", _hub.Newest("d1").Reason);
        var again = await _hub.OpenAsync();
        Assert.Equal(401, await again.PutAsync("hub.test/devices/d1", token));
    }

    [Theory]
    [InlineData("hub.test/devices/d2", "hub.test/devices/d2", 401)] // signed with another's key
    [InlineData("elsewhere.test/devices/d1", "elsewhere.test/devices/d1", 401)]
    [InlineData("nothing", "", 401)]
    public async Task PutToken_ThatIsNotGood_IsAnswered_AuditedAndDiagnosed_WithoutSayingWhy(string audience, string resource, int status)
    {
        _hub = await AmqpTestHub.StartAsync();
        var client = await _hub.OpenAsync();

        Assert.Equal(status, await client.PutAsync(audience, resource.Length == 0 ? "no token" : _hub.Access.Token(D1, resource)));

        var refusal = Assert.Single(_hub.Refusals);
        Assert.StartsWith("401", refusal.Reason, StringComparison.Ordinal);
        Assert.DoesNotContain("sig=", refusal.ToString(), StringComparison.Ordinal);
        await _hub.AddDeviceAsync(client, "d1", handle: 2); // It may try again.
    }

    [Fact]
    public async Task Puts_AThousandInARow_AreAllAnswered()
    {
        _hub = await AmqpTestHub.StartAsync();
        var client = await _hub.DeviceAsync();
        var token = _hub.Access.Token(D1);

        for (var put = 0; put < 1000; put++)
            Assert.Equal(200, await client.PutAsync("hub.test/devices/d1", token));

        await AliveAsync(client, 2);
    }

    [Fact]
    public async Task Peer_ThatVanishes_LeavesNothingBehind()
    {
        _hub = await AmqpTestHub.StartAsync();
        var client = await PoolAsync(10);
        await client.SendAsync(client.Transfer(2, AmqpMessages.Text("last")));

        client.Abort();
        await client.ExpectGoneAsync();

        Assert.Equal(0, _hub.Access.Connected.Count);
        Assert.Equal(0, _hub.Head.OpenConnections);
        Assert.Equal((0, 0L), _hub.Limits.Current);
        Assert.Equal("the device or the network ended it", _hub.Newest("p3").Reason);
    }

    // Devices p0, p1, … on handles 2, 3, ….
    private async Task<AmqpTestClient> PoolAsync(int devices)
    {
        var client = await _hub.OpenAsync();
        for (var i = 0; i < devices; i++)
        {
            await _hub.Access.PutAsync(AccessFixture.Record(Identity.Of($"p{i}")));
            await _hub.AddDeviceAsync(client, $"p{i}", (uint)(2 + i));
        }

        return client;
    }

    private static async Task AliveAsync(AmqpTestClient client, params uint[] handles)
    {
        foreach (var handle in handles)
        {
            await client.SendAsync(client.Transfer(handle, AmqpMessages.Text("alive")));
            await client.ExpectAsync("disposition");
        }
    }
}
