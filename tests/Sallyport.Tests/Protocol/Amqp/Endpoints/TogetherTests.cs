using System.Globalization;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Performatives;

namespace Sallyport.Tests.Protocol.Amqp.Endpoints;

/// <summary>
/// A client and a server that do what they like, in any order, over a network that brings any number of bytes at any time. Neither may ever
/// find that the other broke a rule, and what arrives on a link is what was sent on it. <c>SALLYPORT_FUZZ_RUNS</c> sets how many seeds are tried.
/// </summary>
public sealed class TogetherTests
{
    private static readonly int Runs = int.TryParse(Environment.GetEnvironmentVariable("SALLYPORT_FUZZ_RUNS"), CultureInfo.InvariantCulture, out var runs) ? runs / 10 : 200;

    [Fact]
    public void TwoMachines_WhateverTheyDo_AgreeOnTheRules()
    {
        var arrivals = 0;
        for (var seed = 0; seed < Runs; seed++)
            arrivals += new Meeting(seed).Run();

        Assert.True(arrivals > Runs * 10, $"{arrivals} messages in {Runs} meetings"); // They did talk.
    }

    private sealed class Meeting
    {
        private readonly Random _random;
        private readonly int _seed;
        private readonly Driven _client;
        private readonly Driven _server;
        private readonly List<byte> _toServer = [];
        private readonly List<byte> _toClient = [];
        private readonly Dictionary<AmqpSender, byte[]> _inPart = [];
        private readonly Dictionary<string, List<byte[]>> _sent = [];
        private readonly Dictionary<Driven, int> _settled = [];
        private int _names;

        public Meeting(int seed)
        {
            _seed = seed;
            _random = new Random(seed);
            _client = new Driven(isServer: false, Options());
            _server = new Driven(isServer: true, Options()) { Refusal = _ => _random.Next(6) == 0 ? new AmqpError(AmqpConditions.NotFound, "no") : null };
            _settled[_client] = _settled[_server] = 0;
        }

        public int Run()
        {
            _client.Connection.Start(null, "hub.test");
            for (var i = 0; i < 400; i++)
            {
                Act(_random.Next(2) == 0 ? _client : _server);
                Carry(all: false);
            }

            Carry(all: true);
            Check();
            _client.Connection.Close(null);
            Carry(all: true);
            Assert.Equal(AmqpStep.Closed, _server.Steps[^1]);
            Check();
            return _server.Arrivals.Count + _client.Arrivals.Count;
        }

        private AmqpOptions Options() => new()
        {
            ContainerId = "x", MaxFrameSize = _random.Next(512, 1500), IncomingWindow = (uint)_random.Next(1, 20), MaxUnsettled = _random.Next(1, 40), HandleMax = 7,
        };

        private void Act(Driven end)
        {
            var connection = end.Connection;
            if (!connection.IsOpen)
                return;
            if (!connection.IsServer && connection.Sessions.Count < 3 && _random.Next(10) == 0)
                connection.BeginSession();

            var sessions = connection.Sessions.Where(s => s.IsOpen).ToList();
            if (sessions.Count == 0)
                return;

            var session = sessions[_random.Next(sessions.Count)];
            if (!connection.IsServer && session.Links.Count < 6 && _random.Next(6) == 0)
            {
                if (_random.Next(2) == 0)
                    session.AttachSender($"l{_names++}", "to");
                else
                    session.AttachReceiver($"l{_names++}", "from");
            }

            if (_random.Next(150) == 0)
                session.End(null);

            var links = session.Links.Where(l => l.IsAttached).ToList();
            if (links.Count == 0)
                return;

            var link = links[_random.Next(links.Count)];
            if (_random.Next(40) == 0)
                link.Detach(null);
            else if (link is AmqpSender sender)
                Send(sender);
            else
                Receive(end, (AmqpReceiver)link);
        }

        private void Send(AmqpSender sender)
        {
            for (var i = _random.Next(1, 5); i > 0; i--)
            {
                if (!_inPart.TryGetValue(sender, out var message))
                {
                    message = new byte[_random.Next(4) == 0 ? _random.Next(5000) : _random.Next(50)];
                    _random.NextBytes(message);
                }

                var head = message.Length / 3;
                switch (sender.TrySend(message.AsSpan(0, head), message.AsSpan(head), [1], 0, settled: message.Length % 2 == 0, message))
                {
                    case AmqpSendResult.Sent:
                        _inPart.Remove(sender);
                        if (!_sent.TryGetValue(sender.Name, out var all))
                            _sent[sender.Name] = all = [];
                        all.Add(message);
                        break;
                    case AmqpSendResult.Blocked when sender.IsSendingPart:
                        _inPart[sender] = message;
                        return;
                    default:
                        if (sender.IsDraining)
                            sender.Drained();
                        return;
                }
            }
        }

        private void Receive(Driven end, AmqpReceiver receiver)
        {
            switch (_random.Next(4))
            {
                case 0:
                    receiver.Grant((uint)_random.Next(12));
                    break;
                case 1:
                    receiver.TopUp();
                    break;
                default:
                    foreach (var arrived in end.Arrivals.Skip(_settled[end]).Take(_random.Next(1, 6)))
                    {
                        _settled[end]++;
                        var link = receiver.Session.Links.OfType<AmqpReceiver>().FirstOrDefault(l => l.Name == arrived.Link);
                        if (!arrived.Settled)
                            link?.Settle(arrived.Id, arrived.Id, 1, DeliveryState.Accepted);
                    }

                    receiver.TopUp();
                    break;
            }
        }

        private void Carry(bool all)
        {
            do
            {
                _toServer.AddRange(_client.Said());
                _toClient.AddRange(_server.Said());
                Bring(_toServer, _server, all);
                Bring(_toClient, _client, all);
            }
            while (all && (_toServer.Count > 0 || _toClient.Count > 0));
        }

        private void Bring(List<byte> from, Driven to, bool all)
        {
            var count = all ? from.Count : Math.Min(from.Count, _random.Next(3) == 0 ? 0 : _random.Next(2000));
            if (count == 0)
                return;

            var bytes = from.GetRange(0, count).ToArray();
            from.RemoveRange(0, count);
            to.Hear(bytes, _random.Next(1, 300));
        }

        private void Check()
        {
            Assert.True(_client.Broken is null && _server.Broken is null, $"seed {_seed}: {_client.Broken} {_server.Broken}");
            foreach (var end in (Driven[])[_client, _server])
            {
                // Nobody was detached or ended for a mistake: our own ends and detaches carry no error.
                Assert.True(end.Connection.PeerError is null or { Condition: AmqpConditions.NotFound }, $"seed {_seed}: {end.Connection.PeerError}");
                foreach (var link in end.Arrivals.GroupBy(a => a.Link))
                {
                    var sent = _sent.GetValueOrDefault(link.Key) ?? [];
                    var arrived = link.ToList();
                    Assert.True(arrived.Count <= sent.Count, $"seed {_seed}: {arrived.Count} of {sent.Count} on {link.Key}");
                    for (var i = 0; i < arrived.Count; i++)
                        Assert.True(arrived[i].Message.AsSpan().SequenceEqual(sent[i]), $"seed {_seed}: message {i} of {link.Key}");
                }
            }
        }
    }
}
