using System.Buffers;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;

namespace Sallyport.Tests.Protocol.Amqp.Endpoints;

/// <summary>Frames that are good, from a peer that means no good: floods, endless messages, promises not kept.</summary>
public sealed class HostilePeerTests
{
    [Fact]
    public void Message_WithoutEnd_DetachesAtItsBound()
    {
        var server = Driven.Server(grant: 10, frames: [Frames.Begin(), Frames.AttachSender()]);
        byte[] frame = Frames.Transfer(0, 0, new byte[60_000], more: true);
        var before = GC.GetAllocatedBytesForCurrentThread();

        for (var i = 0; i < 4; i++)
            server.Hear(frame, int.MaxValue);
        Assert.Empty(server.Said());
        for (var i = 0; i < 1000; i++)
            server.Hear(frame, int.MaxValue);

        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 4 * 1024 * 1024); // Of 60 MB that came.
        Assert.Equal("detach amqp:link:message-size-exceeded", server.Listen()[0].ToString());
        Assert.Single(server.Steps, AmqpStep.Detached);
        Assert.Empty(server.Arrivals);
    }

    [Fact]
    public void Message_OfFramesWithoutContent_GrowsNothing()
    {
        var server = Driven.Server(grant: 10, frames: [Frames.Begin(), Frames.AttachSender()]);
        byte[] frame = Frames.Transfer(0, 0, [], more: true);
        server.Hear(frame);
        var before = GC.GetAllocatedBytesForCurrentThread();

        for (var i = 0; i < 10_000; i++)
            server.Connection.Next(ref Sequence(frame), out _);

        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 4 * 1024 * 1024);
        server.Hear(Frames.Transfer(0, 0, [1]));
        Assert.Equal([1], Assert.Single(server.Arrivals).Message);
    }

    [Fact]
    public void Messages_NotWhole_OfAllLinks_AreBoundedTogether()
    {
        var server = Driven.Server(new AmqpOptions { MaxPartialBytes = 1024 * 1024 }, grant: 10, frames: Frames.Begin());
        byte[] part = new byte[60_000];
        for (uint handle = 0; handle < 200; handle++)
            server.Hear(Frames.AttachSender(handle, $"up{handle}"));
        server.Said();

        for (uint handle = 0; handle < 200; handle++)
            server.Hear(Frames.Transfer(handle, handle, part, more: true));
        var detached = server.Listen().Count(f => f.Condition == AmqpConditions.ResourceLimitExceeded);
        Assert.InRange(detached, 180, 190);

        // Those that were first are whole one day, and there is room again.
        for (uint handle = 0; handle < 200; handle++)
            server.Hear(Frames.Transfer(handle, handle, [1]));
        Assert.Equal(200 - detached, server.Arrivals.Count);
        server.Hear(Frames.Transfer(0, 500, part, more: true), Frames.Transfer(0, 500, part));
        Assert.Equal(201 - detached, server.Arrivals.Count);
        Assert.Null(server.Broken);
    }

    [Theory]
    [InlineData("aborted")]
    [InlineData("detached")]
    [InlineData("ended")]
    [InlineData("detached by us")]
    public void Parts_OfAMessageThatNeverCame_AreGivenBack(string how)
    {
        var server = Driven.Server(new AmqpOptions { MaxPartialBytes = 128 * 1024 }, grant: 10, frames: [Frames.Begin(0), Frames.Begin(1)]);
        for (uint round = 0; round < 20; round++)
        {
            server.Hear(Frames.AttachSender(channel: 1), Frames.Transfer(0, round, new byte[60_000], more: true, channel: 1));
            if (how == "detached by us")
                server.Connection.Sessions.Single(s => s.LocalChannel == 1).Links[0].Detach(null);
            if (how == "aborted")
                server.Hear(Frames.Transfer(0, round, [], aborted: true, channel: 1));
            server.Hear(how == "ended" ? Frames.Concat(Frames.End(1), Frames.Begin(1)) : Frames.Detach(0, channel: 1));
        }

        server.Hear(Frames.AttachSender(), Frames.Transfer(0, 0, new byte[60_000], more: true), Frames.Transfer(0, 0, new byte[60_000]));
        Assert.Equal(120_000, Assert.Single(server.Arrivals).Message.Length);
        Assert.DoesNotContain(server.Listen(), f => f.Condition == AmqpConditions.ResourceLimitExceeded);
    }

    [Fact]
    public void Credit_OfAMillion_ThatIsNotRead_StopsAtTheSessionsWindow()
    {
        var server = Driven.Server(frames: [Frames.Begin(incomingWindow: 2048), Frames.AttachReceiver(), Frames.Amqp(0, 0x13, 0u, 2048u, 0u, 0u, 0u, 0u, 1_000_000u)]);
        var sent = 0;

        while (server.Sender.TrySend([], [1], [1], 0, settled: true, null) == AmqpSendResult.Sent)
            sent++;

        Assert.Equal(2048, sent);
        Assert.Equal(AmqpSendResult.Blocked, server.Sender.TrySend([], [1], [1], 0, settled: true, null));
    }

    [Fact]
    public void Deliveries_ThatAreNeverSettled_StopAtTheirBound()
    {
        var server = Driven.Server(frames: [Frames.Begin(incomingWindow: uint.MaxValue), Frames.AttachReceiver(), Frames.Credit(0, 0, 1_000_000)]);
        var sent = 0;

        while (server.Sender.TrySend([], [1], [1], 0, settled: false, "m") == AmqpSendResult.Sent)
            sent++;

        Assert.Equal(2048, sent);
    }

    [Theory]
    [InlineData(null, 5000)]
    [InlineData((byte)0, 5000)]
    [InlineData((byte)1, 2048)] // It waits for our settled disposition, so it has to be known what was sent.
    public void Deliveries_ThatAreNeverSettled_AndWhoseOutcomeNobodyWaitsFor_AreForgotten_UnlessThePeerSettlesSecond(byte? receiverSettleMode, int expected)
    {
        var attach = Frames.Amqp(0, 0x12, "down", 0u, true, (byte)0, receiverSettleMode, new Described(0x28, "from"), new Described(0x29, "to"));
        var server = Driven.Server(frames: [Frames.Begin(incomingWindow: uint.MaxValue), attach, Frames.Credit(0, 0, 5000)]);
        var sent = 0;

        while (server.Sender.TrySend([], [1], [1], 0, settled: false, null) == AmqpSendResult.Sent)
            sent++;

        Assert.Equal(expected, sent);
        server.Hear(Frames.Disposition(0, 4999, state: Frames.Accepted));
        Assert.Equal(expected == 5000 ? 0 : expected, server.Outcomes.Count);
    }

    [Fact]
    public void Sessions_BegunAndNeverEnded_CloseTheConnection()
    {
        var server = Driven.Server();
        server.Connection.MaxSessions = 1;
        var flood = Frames.Concat([.. Enumerable.Range(0, 4096).Select(i => Frames.Begin((ushort)i))]);
        var before = GC.GetAllocatedBytesForCurrentThread();

        server.Hear(flood, int.MaxValue);

        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1024 * 1024);
        Assert.Equal("close amqp:resource-limit-exceeded", server.Listen()[^1].ToString());
        Assert.InRange(server.Connection.Sessions.Count, 1, 300);
    }

    [Fact]
    public void Links_RefusedAndNeverDetached_CloseTheConnection()
    {
        var server = Driven.Server(new AmqpOptions { HandleMax = 4095, MaxLinks = 2 }, frames: Frames.Begin());
        server.Refusal = _ => new AmqpError(AmqpConditions.NotFound, "no such node");
        var flood = Frames.Concat([.. Enumerable.Range(0, 1000).Select(i => Frames.AttachSender((uint)i, $"n{i}"))]);
        var before = GC.GetAllocatedBytesForCurrentThread();

        server.Hear(flood, int.MaxValue);

        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 2 * 1024 * 1024);
        Assert.Equal("close amqp:resource-limit-exceeded", server.Listen()[^1].ToString());
        Assert.InRange(server.Connection.LinkCount, 1, 300);
    }

    [Fact]
    public void Link_Refused_KeepsNothingOfItsAttach()
    {
        var server = Driven.Server(frames: Frames.Begin());
        server.Refusal = _ => new AmqpError(AmqpConditions.NotFound, "no such node");

        server.Hear(Frames.AttachSender(0, "n", new string('a', 2000)));

        var attach = server.Session.Links[0].Attach;
        Assert.Equal("n", attach.Name);
        Assert.Null(attach.Source);
        Assert.Null(attach.Target);
    }

    [Fact]
    public void Attach_OfMoreThan16KiB_Closes()
    {
        var server = Driven.Server(frames: Frames.Begin());
        byte[] attach = Frames.Amqp(0, 0x12, "n", 0u, true, null, null, new Described(0x28, "from"), null, new Encoded(Frames.Value(new byte[17_000])));
        var before = GC.GetAllocatedBytesForCurrentThread();

        server.Hear(attach);

        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 64 * 1024);
        Assert.Equal("close amqp:resource-limit-exceeded", server.Told());
    }

    [Fact]
    public void SessionsAndLinks_ThatComeAndGo_LeaveNothing()
    {
        var server = Driven.Server(grant: 10);
        byte[] round = Frames.Concat(
            Frames.Begin(), Frames.AttachSender(0, "a"), Frames.AttachReceiver(1, "b"), Frames.Transfer(0, 0, [1], more: true), Frames.Detach(0), Frames.End());
        for (var i = 0; i < 2000; i++)
        {
            server.Hear(round, int.MaxValue);
            server.Said();
        }

        Assert.Null(server.Broken);
        Assert.Empty(server.Connection.Sessions);
        Assert.Equal(0, server.Connection.LinkCount);
    }

    [Fact]
    public void Echoes_AreAnsweredOneByOne_AndHeartbeatsNotAtAll()
    {
        var server = Driven.Server(frames: [Frames.Begin(), Frames.AttachReceiver()]);
        byte[] echo = Frames.Credit(0, 0, 0, echo: true);

        for (var i = 0; i < 100; i++)
            server.Hear(echo, Frames.Heartbeat);

        var said = server.Said();
        Assert.Equal(100, Heard.All(said).Count);
        Assert.InRange(said.Length, 1, 100 * echo.Length * 2);
    }

    [Fact]
    public void Frame_NotWhole_IsHeldByNobody()
    {
        var connection = new AmqpConnection(new AmqpOptions(), isServer: true, new ArrayBufferWriter<byte>(256));
        var header = new ReadOnlySequence<byte>(Frames.AmqpHeader);
        connection.Next(ref header, out _);
        var part = new ReadOnlySequence<byte>([0, 1, 0, 0, 2, 0, 0, 0, .. new byte[60_000]]);
        var before = GC.GetAllocatedBytesForCurrentThread();

        var waits = true;
        for (var i = 0; i < 1000; i++)
            waits &= connection.Next(ref part, out _) == AmqpStep.NeedMore;

        Assert.True(waits);
        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 1024);
    }

    [Fact]
    public void Connection_ThatWaits_IsSmall()
    {
        byte[] frames = Frames.Concat(Frames.AmqpHeader, Frames.Open(), Frames.Begin(), Frames.AttachSender(0, "a"), Frames.AttachReceiver(1, "b"));
        new Driven(isServer: true).Hear(frames, int.MaxValue);
        var options = new AmqpOptions();
        var output = new ArrayBufferWriter<byte>(4096);
        var before = GC.GetAllocatedBytesForCurrentThread();
        var connection = new AmqpConnection(options, isServer: true, output);
        var input = new ReadOnlySequence<byte>(frames);
        for (AmqpStep step; (step = connection.Next(ref input, out _)) != AmqpStep.NeedMore;)
        {
            if (step == AmqpStep.Opened)
                connection.AcceptOpen();
            if (step == AmqpStep.Attaching)
                connection.Link!.Accept();
        }

        Assert.InRange(GC.GetAllocatedBytesForCurrentThread() - before, 0, 5 * 1024);
        Assert.Equal(2, connection.LinkCount);
    }

    [Fact]
    public void Messages_InSteadyState_AllocateNothing()
    {
        var output = new ArrayBufferWriter<byte>(1 << 20);
        var server = Driven.Server(grant: 2000, frames: [Frames.Begin(incomingWindow: uint.MaxValue), Frames.AttachSender(0, "up"), Frames.AttachReceiver(1, "down"), Frames.Credit(1, 0, 1_000_000)]);
        server.Connection.Output = output;
        var (sender, receiver) = (server.Sender, server.Receiver);
        byte[] transfer = Frames.Transfer(0, 0, new byte[256]);
        byte[] outcomes = Frames.Disposition(0, uint.MaxValue >> 1, state: Frames.Accepted);
        var context = new object();
        var message = new byte[256];
        var isGood = true;
        long before = 0;
        for (var round = 0; round < 2; round++)
        {
            before = GC.GetAllocatedBytesForCurrentThread();
            output.ResetWrittenCount();
            for (var i = 0; i < 500; i++)
            {
                isGood &= sender.TrySend([], message, [1], 0, settled: (i & 1) == 0, context) == AmqpSendResult.Sent;
                isGood &= server.Connection.Next(ref Sequence(transfer), out _) == AmqpStep.Delivery;
            }

            receiver.Settle(0, 499, 500, Sallyport.Protocol.Amqp.Performatives.DeliveryState.Accepted);
            receiver.TopUp();
            isGood &= server.Connection.Next(ref Sequence(outcomes), out _) == AmqpStep.Outcomes;
            while (server.Connection.TryTakeOutcome(out _))
                continue;
        }

        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.Equal(0, allocated);
        Assert.True(isGood);
    }

    [ThreadStatic]
    private static ReadOnlySequence<byte> _sequence;

    private static ref ReadOnlySequence<byte> Sequence(byte[] bytes)
    {
        _sequence = new ReadOnlySequence<byte>(bytes);
        return ref _sequence;
    }
}
