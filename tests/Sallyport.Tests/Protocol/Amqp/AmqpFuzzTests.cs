using System.Globalization;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Performatives;

namespace Sallyport.Tests.Protocol.Amqp;

/// <summary>
/// Seeded random bytes, damaged frames and damaged conversations (<c>Fixtures/frames</c>). Whatever comes, the answer is a step or a
/// protocol exception, memory stays bounded, and how the bytes are cut into segments changes nothing. <c>SALLYPORT_FUZZ_RUNS</c> sets how
/// many seeds are tried.
/// </summary>
public sealed class AmqpFuzzTests
{
    private const int MaxAllocated = 4 * 1024 * 1024;

    private static readonly int Runs = int.TryParse(Environment.GetEnvironmentVariable("SALLYPORT_FUZZ_RUNS"), CultureInfo.InvariantCulture, out var runs) ? runs : 2000;

    private static readonly byte[][] Corpus = [.. Directory.GetFiles(CorpusDirectory, "*.hex").Order(StringComparer.Ordinal).Select(Read)];

    private static string CorpusDirectory => Path.Combine(AppContext.BaseDirectory, "Protocol", "Amqp", "Fixtures", "frames");

    public static TheoryData<string> Files => [.. Directory.GetFiles(CorpusDirectory, "*.hex").Select(file => Path.GetFileName(file)!).Order(StringComparer.Ordinal)];

    [Fact]
    public void Server_AnyBytes_GivesAStepOrARefusal()
    {
        for (var seed = 0; seed < Runs; seed++)
        {
            var random = new Random(seed);
            var bytes = Input(random);
            var opening = random.Next(3);
            var whole = Converse(isServer: true, opening, bytes, int.MaxValue, seed);
            var cut = Converse(isServer: true, opening, bytes, random.Next(1, 40), seed);
            Assert.True(whole == cut, $"seed {seed}: '{whole}' in one piece, '{cut}' in segments: {Convert.ToHexStringLower(bytes)}");
        }
    }

    [Fact]
    public void Client_AnyBytes_GivesAStepOrARefusal()
    {
        for (var seed = 0; seed < Runs; seed++)
        {
            var random = new Random(seed);
            var bytes = Input(random);
            var opening = random.Next(3);
            var whole = Converse(isServer: false, opening, bytes, int.MaxValue, seed);
            var cut = Converse(isServer: false, opening, bytes, random.Next(1, 40), seed);
            Assert.True(whole == cut, $"seed {seed}: '{whole}' in one piece, '{cut}' in segments: {Convert.ToHexStringLower(bytes)}");
        }
    }

    [Theory]
    [MemberData(nameof(Files))]
    public void Corpus_ToEitherEnd_GivesAStepOrARefusal(string file)
    {
        var bytes = Read(Path.Combine(CorpusDirectory, file));
        for (var opening = 0; opening < 3; opening++)
        {
            Assert.Equal(Converse(isServer: true, opening, bytes, int.MaxValue, opening), Converse(isServer: true, opening, bytes, 1, opening));
            Assert.Equal(Converse(isServer: false, opening, bytes, int.MaxValue, opening), Converse(isServer: false, opening, bytes, 1, opening));
        }
    }

    // All that a driver does when it is told something, so that no call on the engine may throw either.
    private static string Converse(bool isServer, int opening, byte[] bytes, int segment, int seed)
    {
        var end = new Driven(isServer, new AmqpOptions { ContainerId = "fuzz", IncomingWindow = 8, MaxUnsettled = 8, HandleMax = 7, ChannelMax = 7, MaxLinks = 12 }) { Grant = 3 };
        end.Connection.MaxSessions = 4;
        end.SaslAnswer = (SaslCode)(seed % 5 == 0 ? 1 : 0);
        end.Refusal = link => link.Name.Length % 3 == 0 ? new AmqpError(AmqpConditions.NotFound, "no") : null;
        end.Then = step => Act(end, step);
        if (!isServer)
            end.Connection.Start(opening == 0 ? new SaslInit("PLAIN", [1]) : null, "hub.test");
        if (opening > 0)
            end.Hear(Frames.AmqpHeader, Frames.Open(maxFrameSize: 600u));
        if (opening > 1 && isServer)
            end.Hear(Frames.Begin(), Frames.AttachSender(0, "up"), Frames.AttachReceiver(1, "down"));
        if (opening > 1 && !isServer)
            end.Hear(Frames.Begin(0, remoteChannel: 0));

        var before = GC.GetAllocatedBytesForCurrentThread();
        end.Hear(bytes, segment);
        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Assert.True(allocated < MaxAllocated, $"seed {seed}: {allocated} bytes");
        Assert.True(end.Connection.LinkCount >= 0);
        end.Connection.Close(null);

        // What was said can be read back; an answer may be larger than the peer's frames only when what it says back was.
        var said = Heard.All(end.Said());
        return $"{string.Join(' ', end.Steps)} | {string.Join(' ', said)} | {end.Broken} | {end.Arrivals.Sum(a => a.Message.Length)} {end.Outcomes.Count}";
    }

    private static void Act(Driven end, AmqpStep step)
    {
        var connection = end.Connection;
        switch (step)
        {
            case AmqpStep.Opened when !connection.IsServer && connection.Sessions.Count < 2:
                connection.BeginSession();
                break;
            case AmqpStep.Begun when !connection.IsServer && connection.Session is { IsOpen: true } session:
                session.AttachSender("up", "to");
                session.AttachReceiver("down", "from");
                break;
            case AmqpStep.Delivery:
                var receiver = (AmqpReceiver)connection.Link!;
                if (end.Arrivals[^1] is { Settled: false, Id: var id })
                    receiver.Settle(id, id, 1, id % 2 == 0 ? DeliveryState.Accepted : DeliveryState.Rejected, new AmqpError(AmqpConditions.NotAllowed, "no"));
                receiver.TopUp();
                break;
            case AmqpStep.Credit when connection.Link is AmqpSender sender:
                for (var i = 0; i < 3; i++)
                    sender.TrySend([1, 2], new byte[700], [1], 0, settled: i == 0, i);
                if (sender.Credit > 1000)
                    sender.Drained();
                break;
            case AmqpStep.Outcomes when connection.Session is { IsOpen: true, Links.Count: > 0 } session:
                (session.Links[0] as AmqpSender)?.Settle(0, 1, DeliveryState.Accepted);
                break;
        }
    }

    private static byte[] Input(Random random)
    {
        if (random.Next(5) == 0)
        {
            var noise = new byte[random.Next(200)];
            random.NextBytes(noise);
            return noise;
        }

        var bytes = random.Next(3) == 0 ? (byte[])Corpus[random.Next(Corpus.Length)].Clone() : Frames.Concat([.. Enumerable.Range(0, random.Next(1, 9)).Select(_ => Good(random))]);
        for (var damage = random.Next(5); damage > 0 && bytes.Length > 0; damage--)
        {
            var at = random.Next(bytes.Length);
            switch (random.Next(4))
            {
                case 0:
                    bytes[at] = (byte)random.Next(256);
                    break;
                case 1:
                    bytes[at] ^= (byte)(1 << random.Next(8));
                    break;
                case 2:
                    bytes[at] = Interesting[random.Next(Interesting.Length)];
                    break;
                default:
                    var length = Math.Min(random.Next(1, 9), bytes.Length - at);
                    bytes = random.Next(2) == 0 ? [.. bytes[..at], .. bytes[(at + length)..]] : [.. bytes[..at], .. bytes[at..(at + length)], .. bytes[at..]];
                    break;
            }
        }

        return random.Next(6) == 0 ? bytes[..random.Next(bytes.Length + 1)] : bytes;
    }

    // Constructors and borders.
    private static ReadOnlySpan<byte> Interesting => [0, 1, 0x7f, 0x80, 0xff, 0x40, 0x43, 0x45, 0x52, 0x53, 0x70, 0x80, 0xa0, 0xb0, 0xb1, 0xc0, 0xc1, 0xd0, 0xd1, 0xe0, 0xf0];

    private static byte[] Good(Random random)
    {
        var channel = (ushort)random.Next(3);
        var handle = (uint)random.Next(4);
        var id = random.Next(4) == 0 ? uint.MaxValue - (uint)random.Next(3) : (uint)random.Next(6);
        return random.Next(17) switch
        {
            0 => Frames.SaslHeader,
            1 => Frames.AmqpHeader,
            2 => random.Next(2) == 0 ? Frames.SaslInit("PLAIN", [1, 2]) : Frames.Sasl(0x40, new Symbol("PLAIN")),
            3 => Frames.Sasl(0x44, (byte)random.Next(3)),
            4 => Frames.Open((uint)random.Next(500, 2000)),
            5 => Frames.Begin(channel, random.Next(2) == 0 ? channel : null, id, (uint)random.Next(20)),
            6 => Frames.AttachSender(handle, random.Next(2) == 0 ? "up" : "abc", channel: channel, initialDeliveryCount: id),
            7 => Frames.AttachReceiver(handle, random.Next(2) == 0 ? "down" : "abc", channel: channel),
            8 => Frames.Window(id, (uint)random.Next(20), channel, random.Next(2) == 0),
            9 => Frames.Credit(handle, id, random.Next(3) == 0 ? uint.MaxValue : (uint)random.Next(20), random.Next(4) == 0, random.Next(3) == 0, channel),
            10 or 11 => Frames.Transfer(handle, id, new byte[random.Next(300)], [1, 2], random.Next(2) == 0, random.Next(2) == 0, random.Next(6) == 0, channel: channel),
            12 => Frames.Disposition(id, id + (uint)random.Next(4), random.Next(2) == 0, new Described((byte)random.Next(0x23, 0x28)), random.Next(4) > 0, channel),
            13 => Frames.Detach(handle, random.Next(2) == 0, random.Next(2) == 0 ? Frames.Error("amqp:not-found", "x") : null, channel),
            14 => Frames.End(channel),
            15 => random.Next(4) == 0 ? Frames.Close() : Frames.Heartbeat,
            _ => Frames.Of((byte)random.Next(2), channel, Frames.Value(new Described((byte)random.Next(0x10, 0x19))), (byte)random.Next(2, 5)),
        };
    }

    private static byte[] Read(string file) =>
        Convert.FromHexString(string.Concat(File.ReadLines(file).Select(line => line.Split('#')[0].Replace(" ", "", StringComparison.Ordinal))));
}
