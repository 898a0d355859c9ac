using System.Net;
using System.Text;
using Sallyport.Hub.Access;
using Sallyport.Hub.Commands;
using Sallyport.Hub.Devices;
using Sallyport.Protocol.Amqp.Messages;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Messages;
using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Hub.Commands;

public sealed class CommandQueuesTests : IAsyncLifetime
{
    private static readonly TimeSpan Minute = TimeSpan.FromMinutes(1);

    private CommandsFixture _hub = null!;

    public async ValueTask InitializeAsync() => _hub = await CommandsFixture.OpenAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Commands_AreGivenInTheirOrder_AndGoneWhenCompleted()
    {
        foreach (var body in new[] { "a", "b", "c" })
            await _hub.SendAsync(body);

        var (first, second) = (_hub.Receive()!, _hub.Receive()!);
        Assert.Equal(("a", "b", false), (first.Command.MessageId, second.Command.MessageId, first.IsRedelivered));
        Assert.Equal([true, true, false], _hub.Queues.List(CommandsFixture.D1, 10).Select(one => one.IsLocked));
        Assert.True(await _hub.Queues.CompleteAsync(CommandsFixture.D1, second.Token));
        Assert.True(await _hub.Queues.CompleteAsync(CommandsFixture.D1, first.Token));
        Assert.False(await _hub.Queues.CompleteAsync(CommandsFixture.D1, first.Token));
        Assert.Equal("c", _hub.ReceiveId());
        Assert.Null(_hub.Receive());
    }

    [Fact]
    public async Task Lock_ThatEnds_CountsNothing_AndTheOldTokenSettlesNothing()
    {
        await _hub.SendAsync("a");
        var first = _hub.Receive()!;
        _hub.Time.Advance(TimeSpan.FromSeconds(59));
        Assert.Null(_hub.Receive());
        _hub.Time.Advance(TimeSpan.FromSeconds(1));

        var again = _hub.Receive()!;
        Assert.Equal((0, true), (again.Command.DeliveryCount, again.IsRedelivered));
        Assert.False(await _hub.Queues.CompleteAsync(CommandsFixture.D1, first.Token));
        Assert.True(await _hub.Queues.CompleteAsync(CommandsFixture.D1, again.Token));
    }

    [Fact]
    public async Task Abandoned_KeepsItsPlace_AndTheTenthTimeIsGivenUp()
    {
        await _hub.SendAsync("a", "negative");
        await _hub.SendAsync("b");
        for (var i = 0; i < 10; i++)
        {
            var locked = _hub.Receive()!;
            Assert.Equal(("a", i), (locked.Command.MessageId, locked.Command.DeliveryCount));
            Assert.True(await _hub.Queues.AbandonAsync(CommandsFixture.D1, locked.Token));
        }

        Assert.Equal("b", _hub.ReceiveId());
        Assert.Equal(["a DeliveryCountExceeded"], _hub.Dead());
        await _hub.LookAfterAsync(TimeSpan.FromSeconds(15));
        Assert.Equal(["a DeliveryCountExceeded"], _hub.Told());
    }

    [Fact]
    public async Task Rejected_IsGivenUp_AndMayBeSentAgain()
    {
        await _hub.SendAsync("a", "full");
        Assert.True(await _hub.Queues.RejectAsync(CommandsFixture.D1, _hub.Receive()!.Token));
        Assert.Null(_hub.Receive());
        var dead = Assert.Single(_hub.Queues.ListDead("d1", 0, 10));

        _hub.Time.Advance(TimeSpan.FromHours(2));
        await _hub.Queues.ReplayAsync(CommandsFixture.Owner, _hub.Audit, "d1", dead.Sequence, CancellationToken.None);
        await _hub.Queues.LookAfterAsync();
        var again = _hub.Receive()!;
        Assert.Equal(("a", 0, _hub.Time.GetUtcNow()), (again.Command.MessageId, again.Command.DeliveryCount, again.Command.EnqueuedTime));
        Assert.Empty(_hub.Dead());
        Assert.Contains(_hub.Audit.Entries, entry => entry.Action == "command replay");
        await CommandsFixture.RefusedAsync(HubErrors.NotFound, async () => await _hub.Queues.ReplayAsync(CommandsFixture.Owner, _hub.Audit, "d1", dead.Sequence, CancellationToken.None));
    }

    [Fact]
    public async Task SentAgain_HasNoWordOfItsOldEnd()
    {
        await _hub.SendAsync("a", expiry: _hub.Time.GetUtcNow() + Minute);
        await _hub.LookAfterAsync(2 * Minute);
        var dead = Assert.Single(_hub.Queues.ListDead("d1", 0, 10));

        await _hub.Queues.ReplayAsync(CommandsFixture.Owner, _hub.Audit, "d1", dead.Sequence, CancellationToken.None);

        var again = _hub.Receive()!.Command;
        var properties = new MessageProperties();
        Assert.Null(DeviceMessage.Read(again.Message, properties, out var body));
        Assert.False(properties.Has(SystemProperty.AbsoluteExpiryTime));
        Assert.Equal(("a", "a"), (again.MessageId, Encoding.UTF8.GetString(body)));
        Assert.Equal(_hub.Time.GetUtcNow() + _hub.Options.DefaultTimeToLive, again.Expires);
    }

    [Fact]
    public async Task Expired_IsNotGiven_AndGivenUp()
    {
        await _hub.SendAsync("default", "full");
        await _hub.SendAsync("own", "negative", expiry: _hub.Time.GetUtcNow() + Minute);
        await _hub.SendAsync("late", "positive", expiry: _hub.Time.GetUtcNow() - Minute);
        await _hub.LookAfterAsync(TimeSpan.Zero);
        Assert.Equal(["late Expired"], _hub.Dead());

        _hub.Time.Advance(Minute);
        Assert.Equal("default", _hub.ReceiveId());
        Assert.Null(_hub.ReceiveId());
        await _hub.LookAfterAsync(TimeSpan.FromHours(1));
        Assert.Equal(["late Expired", "own Expired", "default Expired"], _hub.Dead());
        Assert.Equal(0, _hub.Metadata.Read(tx => _hub.Metadata.Commands.Count(tx, "d1", null)));
        await _hub.LookAfterAsync(TimeSpan.FromSeconds(15));
        Assert.Equal(["own Expired", "default Expired"], _hub.Told());
    }

    [Fact]
    public async Task Expired_WhileLocked_MayStillBeCompleted()
    {
        await _hub.SendAsync("a", expiry: _hub.Time.GetUtcNow() + TimeSpan.FromSeconds(5));
        var locked = _hub.Receive()!;
        await _hub.LookAfterAsync(TimeSpan.FromSeconds(30));

        Assert.True(await _hub.Queues.CompleteAsync(CommandsFixture.D1, locked.Token));
        Assert.Empty(_hub.Dead());
    }

    [Fact]
    public async Task Queue_IsFullAtItsDepth_OfEachIdentity()
    {
        for (var i = 0; i < 50; i++)
            await _hub.SendAsync($"{i}");

        var errors = await _hub.Queues.EnqueueAsync(
            [CommandsFixture.Draft("more"), CommandsFixture.Draft("m", to: CommandsFixture.Module), CommandsFixture.Draft("n", to: Identity.Of("nobody")), CommandsFixture.Draft("n", to: Identity.Of("d1", "no"))],
            CancellationToken.None);
        Assert.Equal([HubErrors.DeviceMaximumQueueDepthExceeded, null, HubErrors.DeviceNotFound, HubErrors.ModuleNotFound], errors);
        await CommandsFixture.RefusedAsync(HubErrors.DeviceMaximumQueueDepthExceeded, () => _hub.SendAsync("more"));
        await _hub.Queues.CompleteAsync(CommandsFixture.D1, _hub.Receive()!.Token);
        await _hub.SendAsync("more");
    }

    [Fact]
    public async Task Quarantine_GivesNothing_UntilItEnds()
    {
        var link = new OfferedLink(CommandsFixture.D1);
        _hub.Connected.Attach(link);
        await _hub.SendAsync("a");
        Assert.Equal(1, link.Offers);
        _hub.Line.Hold(new QuarantineRecord("d1", _hub.Time.GetUtcNow(), "", ""));
        Assert.Null(_hub.Receive(link));

        _hub.Line.Release("d1");
        await _hub.LookAfterAsync(TimeSpan.FromSeconds(1));
        Assert.Equal(2, link.Offers);
        Assert.Equal("a", _hub.ReceiveId(link));
    }

    [Fact]
    public async Task Holder_ThatGoes_GivesBackWhatItHas()
    {
        var link = new OfferedLink(CommandsFixture.D1);
        var gone = new object();
        await _hub.SendAsync("a");
        await _hub.SendAsync("b");
        var mqtt = Assert.Single(_hub.Queues.Receive(CommandsFixture.D1, "g1", gone, 1, isTimed: false));
        await _hub.LookAfterAsync(TimeSpan.FromMinutes(2));
        Assert.Equal("b", _hub.ReceiveId());
        _hub.Connected.Attach(link);
        _hub.Queues.Release(CommandsFixture.D1, gone);

        Assert.Equal(1, link.Offers);
        Assert.False(await _hub.Queues.CompleteAsync(CommandsFixture.D1, mqtt.Token));
        var again = _hub.Receive(link)!;
        Assert.Equal(("a", true, 0), (again.Command.MessageId, again.IsRedelivered, again.Command.DeliveryCount));
    }

    [Fact]
    public async Task Namesake_OfADeletedDevice_GetsNothing()
    {
        await _hub.SendAsync("a");
        var locked = _hub.Receive()!;
        await _hub.PutAsync(CommandsFixture.D1, "g2");

        Assert.Empty(_hub.Queues.Receive(CommandsFixture.D1, "g2", null, 10));
        await _hub.SendAsync("b");
        Assert.False(await _hub.Queues.CompleteAsync(CommandsFixture.D1, locked.Token));
        Assert.Equal("b", Assert.Single(_hub.Queues.Receive(CommandsFixture.D1, "g2", null, 10)).Command.MessageId);
        Assert.Empty(_hub.Queues.Receive(CommandsFixture.D1, "g1", null, 10));
    }

    [Fact]
    public async Task OldLink_ThatGivesOneBack_HasTheNewerLinkOfferedIt()
    {
        var (older, newer) = (new OfferedLink(CommandsFixture.D1), new OfferedLink(CommandsFixture.D1));
        _hub.Connected.Attach(older);
        await _hub.SendAsync("a");
        var taken = Assert.Single(_hub.Queues.Receive(CommandsFixture.D1, "g1", older, 1, isTimed: false));
        _hub.Queues.Return(CommandsFixture.D1, taken, older);
        Assert.Equal(1, older.Offers); // It knows that it waits.

        taken = Assert.Single(_hub.Queues.Receive(CommandsFixture.D1, "g1", this, 1, isTimed: false));
        Assert.False(taken.IsRedelivered);
        _hub.Connected.Attach(newer);
        Assert.Null(_hub.Receive(newer));
        _hub.Queues.Return(CommandsFixture.D1, taken, older);
        Assert.Equal(1, newer.Offers);
        Assert.Equal("a", _hub.ReceiveId(newer));
    }

    [Fact]
    public async Task ClockStep_ChangesNoLock()
    {
        await _hub.SendAsync("a");
        var locked = _hub.Receive()!;
        _hub.Time.ClockStep = TimeSpan.FromHours(-1);
        Assert.Null(_hub.Receive());
        _hub.Time.ClockStep = TimeSpan.FromMinutes(50);
        Assert.Null(_hub.Receive());
        Assert.True(await _hub.Queues.CompleteAsync(CommandsFixture.D1, locked.Token));
    }

    [Fact]
    public async Task Upkeep_ForgetsWhatWentWithItsIdentity()
    {
        await _hub.SendAsync("a");
        _hub.Receive();
        await _hub.Metadata.WriteAsync(tx => _hub.Metadata.Identities.Delete(tx, "d1", null));
        Assert.Equal(1, _hub.Queues.Remembered);
        for (var second = 0; second < 120; second++)
            await _hub.LookAfterAsync(TimeSpan.FromSeconds(1));
        Assert.Equal(0, _hub.Queues.Remembered);
    }

    [Fact]
    public async Task Restart_DeliversAgainWhatWasNotSettled_AndNothingThatWas()
    {
        await _hub.SendAsync("a", "positive");
        await _hub.SendAsync("b");
        await _hub.SendAsync("c");
        var locked = _hub.Queues.Receive(CommandsFixture.D1, "g1", null, 2);
        await _hub.Queues.CompleteAsync(CommandsFixture.D1, locked[0].Token);
        await _hub.RestartAsync();

        Assert.False(await _hub.Queues.CompleteAsync(CommandsFixture.D1, locked[1].Token));
        Assert.Equal(["b", "c"], _hub.Queues.Receive(CommandsFixture.D1, "g1", null, 10).Select(one => one.Command.MessageId));
        await _hub.LookAfterAsync(TimeSpan.FromSeconds(15));
        Assert.Equal(["a Success"], _hub.Told());
    }

    [Fact]
    public async Task Purge_TakesLockedOnesToo_AndIsRecorded()
    {
        await _hub.SendAsync("a", "full");
        await _hub.SendAsync("b", "positive");
        var locked = _hub.Receive()!;

        Assert.Equal(2, await _hub.Queues.PurgeAsync(CommandsFixture.Owner, _hub.Audit, CommandsFixture.D1, CancellationToken.None));
        Assert.False(await _hub.Queues.CompleteAsync(CommandsFixture.D1, locked.Token));
        Assert.Null(_hub.Receive());
        await _hub.LookAfterAsync(TimeSpan.FromSeconds(15));
        Assert.Equal(["a Purged"], _hub.Told());
        Assert.Contains(_hub.Audit.Entries, entry => entry is { Action: "command purge", Target: "d1" });
    }

    [Theory]
    [InlineData("Full")]
    [InlineData("always")]
    public void Draft_AckThatIsNone_IsRefused(string ack) =>
        Assert.Same(HubErrors.ArgumentInvalid, Assert.Throws<HubException>(() => CommandsFixture.Draft("a", ack)).Error);

    [Fact]
    public void Draft_LargerThan64KiB_IsRefused()
    {
        Assert.Same(HubErrors.MessageTooLarge, Assert.Throws<HubException>(() => CommandsFixture.Draft(new string('x', 65_536), messageId: "m")).Error);
        Assert.True(CommandsFixture.Draft(new string('x', 65_000), messageId: "m").Message.Length <= CommandOptions.MaxMessageBytes);

        // Many small properties, whose encoding is what takes the room.
        var properties = new MessageProperties();
        for (var i = 0; i < 1000; i++)
            properties.TryAdd(Encoding.UTF8.GetBytes($"{i}"), default);
        Assert.Same(HubErrors.MessageTooLarge, Assert.Throws<HubException>(() => CommandDraft.Create(CommandsFixture.D1, properties, new byte[60_000])).Error);
    }

    private sealed class OfferedLink(Identity identity) : IDeviceLink
    {
        public int Offers { get; private set; }

        public Identity Identity { get; } = identity;

        public Peer Peer { get; } = new(new IPEndPoint(IPAddress.Loopback, 9), "mqtt");

        public Principal Principal { get; } = new(PrincipalKind.Device, identity.ToString(), Rights.DeviceConnect, DateTimeOffset.MaxValue, "{}", "");

        public void OfferCommands() => Offers++;

        public void Close(HubError error, string reason)
        {
        }
    }
}
