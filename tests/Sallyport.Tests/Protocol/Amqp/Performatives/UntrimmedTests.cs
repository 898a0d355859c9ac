using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Performatives;

namespace Sallyport.Tests.Protocol.Amqp.Performatives;

/// <summary>Clients exist that index the fields of a performative without looking how many there are, so none is left out at the end.</summary>
public sealed class UntrimmedTests
{
    [Fact]
    public void EveryPerformative_OfEitherEnd_HasItsFields() // [AMQP-1.4]
    {
        var pair = Pair.Begun();
        var (up, upThere) = pair.Up();
        var (downThere, down) = pair.Down();
        up.TrySend([], new byte[100_000], [1], 0, settled: false, null);
        downThere.TrySend([], [], [], 0, settled: true, null);
        pair.Talk();
        upThere.Settle(0, 0, 1, DeliveryState.Rejected, new AmqpError("amqp:not-allowed", "no"));
        upThere.Settle(1, 1, 1, DeliveryState.Accepted);
        pair.Talk();
        pair.Server.Refusal = _ => new AmqpError(AmqpConditions.NotFound, "no such node");
        pair.Client.Session.AttachSender("refused", "nowhere");
        pair.Talk();
        down.Detach(null);
        pair.Talk();
        pair.Client.Session.End(null);
        pair.Talk();
        pair.Client.Connection.Close(null);
        pair.Talk();

        var frames = Heard.All([.. pair.FromClient, .. pair.FromServer]);
        Assert.Equal(["attach", "begin", "close", "detach", "disposition", "end", "flow", "header", "open", "transfer"], frames.Select(f => f.Name).Distinct().Order());
        foreach (var frame in frames)
        {
            var count = frame.Fields.Length;
            switch (frame.Name)
            {
                case "open":
                    Assert.InRange(count, 5, 10);
                    Assert.Equal(65536u, frame.Fields[2]);
                    Assert.All(frame.Fields[2..5], Assert.NotNull);
                    break;
                case "begin":
                    Assert.InRange(count, 5, 8);
                    Assert.All(frame.Fields[1..5], Assert.NotNull);
                    break;
                case "attach":
                    Assert.Equal(14, count);
                    Assert.All(frame.Fields[..5], Assert.NotNull);
                    break;
                case "flow":
                    Assert.InRange(count, 7, 11);
                    break;
                case "transfer":
                    Assert.Equal(11, count);
                    Assert.All(frame.Fields[..6], Assert.NotNull);
                    break;
                case "disposition":
                    Assert.InRange(count, 5, 6);
                    break;
                case "detach":
                    Assert.Equal(3, count);
                    break;
                case "end" or "close":
                    Assert.Equal(1, count);
                    break;
            }
        }
    }

    [Fact]
    public void Transfer_OnEveryFrameOfAMessage_HasItsIdAndTag()
    {
        var pair = Pair.Begun();
        var (sender, _) = pair.Up();

        sender.TrySend([], new byte[200_000], [9, 8], AmqpDelivery.BatchFormat, settled: false, null);
        pair.Talk();

        var transfers = Heard.All([.. pair.FromClient]).Where(f => f.Name == "transfer").ToList();
        Assert.Equal(4, transfers.Count);
        Assert.All(transfers, t => Assert.Equal([0u, 0u, (byte[])[9, 8], AmqpDelivery.BatchFormat, false], t.Fields[..5]));
        Assert.Equal([true, true, true, false], transfers.Select(t => t.Fields[5]));
    }
}
