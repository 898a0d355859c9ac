using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Performatives;

namespace Sallyport.Tests.Protocol.Amqp.Endpoints;

/// <summary>A whole conversation; where the bytes are cut makes no difference to either end.</summary>
public sealed class SplitTests
{
    [Fact]
    public void Conversation_CutAnywhere_IsTheSame()
    {
        var pair = new Pair();
        Script(pair.Client, pair.Server);
        pair.Open(new SaslInit("PLAIN", [1, 2, 3]));
        Assert.Equal(AmqpStep.Closed, pair.Server.Steps[^1]);
        Assert.Equal(4, pair.Server.Arrivals.Count);
        Assert.Equal(2, pair.Client.Arrivals.Count);
        byte[] fromClient = [.. pair.FromClient];
        byte[] fromServer = [.. pair.FromServer];

        for (var cut = 0; cut <= fromClient.Length; cut++)
        {
            var server = new Driven(isServer: true);
            Script(null, server);
            server.Hear(fromClient[..cut]);
            server.Hear(fromClient[cut..], segment: 1 + (cut % 50));
            Assert.True(fromServer.AsSpan().SequenceEqual(server.Said()), $"cut at {cut}");
        }

        for (var cut = 0; cut <= fromServer.Length; cut++)
        {
            var client = new Driven(isServer: false);
            Script(client, null);
            client.Connection.Start(new SaslInit("PLAIN", [1, 2, 3]), "hub.test");
            client.Hear(fromServer[..cut]);
            client.Hear(fromServer[cut..], segment: 1 + (cut % 50));
            Assert.True(fromClient.AsSpan().SequenceEqual(client.Said()), $"cut at {cut}");
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(7)]
    [InlineData(8)]
    [InlineData(9)]
    [InlineData(64)]
    public void Conversation_InPieces_IsTheSame(int piece)
    {
        var whole = new Pair();
        Script(whole.Client, whole.Server);
        whole.Open(new SaslInit("PLAIN", [1, 2, 3]));
        var cut = new Pair(piece);
        Script(cut.Client, cut.Server);

        cut.Open(new SaslInit("PLAIN", [1, 2, 3]));

        Assert.Equal(whole.FromClient, cut.FromClient);
        Assert.Equal(whole.FromServer, cut.FromServer);
    }

    // The client sends four messages, hears their outcomes and two messages, is refused a link, and leaves in order.
    private static void Script(Driven? client, Driven? server)
    {
        if (server is not null)
        {
            server.Grant = 4;
            server.Refusal = link => link.Name == "refused" ? new AmqpError(AmqpConditions.UnauthorizedAccess, "not yours") : null;
            server.Then = step =>
            {
                if (step == AmqpStep.Delivery && server.Arrivals.Count == 4)
                    server.Receiver.Settle(0, 3, 4, DeliveryState.Accepted);
                if (step == AmqpStep.Credit && server.Connection.Link is AmqpSender { Credit: > 0 } sender)
                {
                    sender.TrySend([1], [2, 3], [1], 0, settled: true, null);
                    sender.TrySend([], new byte[700], [2], 0, settled: true, null);
                    sender.Drained();
                }
            };
        }

        if (client is null)
            return;

        client.Grant = 2;
        client.Then = step =>
        {
            var connection = client.Connection;
            if (step == AmqpStep.Opened)
                connection.BeginSession();
            if (step == AmqpStep.Begun)
                client.Session.AttachSender("up", "to");
            if (step == AmqpStep.Credit && connection.Link is AmqpSender { Name: "up" } sender)
            {
                for (byte i = 0; i < 4; i++)
                    sender.TrySend([i], new byte[i * 100], [i], 0, settled: false, i);
            }

            if (step == AmqpStep.Outcomes)
                client.Session.AttachReceiver("down", "from");
            if (step == AmqpStep.Delivery && client.Arrivals.Count == 2)
                client.Session.AttachSender("refused", "elsewhere");
            if (step == AmqpStep.Detached)
            {
                client.Session.End(null);
                connection.Close(null);
            }
        };
    }
}
