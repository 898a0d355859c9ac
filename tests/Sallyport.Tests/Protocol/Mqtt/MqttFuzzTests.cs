using System.Buffers;
using System.Globalization;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Messages;
using Sallyport.Protocol.Mqtt;
using Sallyport.Protocol.Topics;

namespace Sallyport.Tests.Protocol.Mqtt;

/// <summary>
/// Seeded random bytes and damaged packets. Whatever comes, the answer is a step or a protocol exception, nothing is read beyond the
/// input, and how the bytes are cut into segments changes nothing. <c>SALLYPORT_FUZZ_RUNS</c> sets how many seeds are tried.
/// </summary>
public sealed class MqttFuzzTests
{
    private static readonly int Runs = int.TryParse(Environment.GetEnvironmentVariable("SALLYPORT_FUZZ_RUNS"), CultureInfo.InvariantCulture, out var runs) ? runs : 2000;

    [Fact]
    public void ServerSession_AnyBytes_GivesAStepOrARefusal()
    {
        for (var seed = 0; seed < Runs; seed++)
        {
            var random = new Random(seed);
            var bytes = Input(random);
            var whole = Converse(new ReadOnlySequence<byte>(bytes), seed);
            var cut = Converse(Packets.InSegments(bytes, random.Next(1, 40)), seed);
            Assert.True(whole == cut, $"seed {seed}: '{whole}' in one piece, '{cut}' in segments");
        }
    }

    [Fact]
    public void ClientSession_AnyBytes_GivesAnEventOrARefusal()
    {
        for (var seed = 0; seed < Runs; seed++)
        {
            var random = new Random(seed);
            var session = new MqttClientSession(new MqttClientOptions());
            var output = new ArrayBufferWriter<byte>();
            session.Connect(output, Packets.Connect(), 0);
            var input = new ReadOnlySequence<byte>([.. Packets.ConnAck(MqttConnectCode.Accepted), .. Input(random)]);
            try
            {
                while (session.Read(ref input, output, 0, out _) != MqttClientEvent.NeedMore)
                    continue;
            }
            catch (MqttProtocolException)
            {
                continue; // The one way to refuse.
            }
        }
    }

    private static string Converse(ReadOnlySequence<byte> input, int seed)
    {
        var session = new MqttServerSession();
        var output = new ArrayBufferWriter<byte>();
        var properties = new MessageProperties();
        var log = new System.Text.StringBuilder();
        if (seed % 4 != 0)
        {
            var connect = new ReadOnlySequence<byte>(Packets.ConnectBytes());
            session.Next(ref connect, output, out _);
            session.Accept(Identity.Of("d1"), null, output);
        }

        try
        {
            while (true)
            {
                var before = input.Length;
                var step = session.Next(ref input, output, out var telemetry);
                log.Append(step).Append(' ');
                if (step == MqttServerStep.NeedMore)
                {
                    Assert.Equal(before, input.Length);
                    break;
                }

                Assert.True(input.Length < before);
                if (step == MqttServerStep.Telemetry)
                {
                    properties.Clear();
                    log.Append(PropertyBag.Read(telemetry.Bag, properties)).Append(telemetry.Payload.Length).Append(' ');
                }

                if (step == MqttServerStep.Request)
                    log.Append(session.Request!.Target).Append(session.Request.Status.Length).Append(session.Request.Payload.Length).Append(' ');

                if (step is MqttServerStep.Connect or MqttServerStep.Disconnected)
                    break;
            }
        }
        catch (MqttProtocolException refusal)
        {
            log.Append(refusal.Message);
        }

        session.ReleaseBuffers();
        return log.Append(output.WrittenCount).ToString();
    }

    private static byte[] Input(Random random)
    {
        if (random.Next(3) == 0)
        {
            var noise = new byte[random.Next(200)];
            random.NextBytes(noise);
            return noise;
        }

        byte[][] good =
        [
            Packets.ConnectBytes("d1", random.Next(2) == 0, new MqttWill("devices/d1/messages/events/", [1, 2], 1, false)),
            Packets.Telemetry(new string('x', random.Next(300)), (byte)random.Next(2), 3, "a=b&%24.mid=1&c"),
            Packets.Subscribe(4, (DeviceTopics.TwinResponses, 0), ("devices/d1/messages/devicebound/#", 1)),
            Packets.Unsubscribe(5, DeviceTopics.TwinResponses, "x"),
            Packets.Publish("$iothub/twin/GET/?$rid=1", " ", 0),
            Packets.Publish("$iothub/methods/res/200/?$rid=1", "{}", 0),
            Packets.PingReq, Packets.PubAck(6), Packets.Disconnect,
        ];
        var bytes = Packets.Concat([.. Enumerable.Range(0, random.Next(1, 6)).Select(_ => good[random.Next(good.Length)])]);
        for (var damage = random.Next(4); damage > 0; damage--)
            bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
        return random.Next(4) == 0 ? bytes[..random.Next(bytes.Length)] : bytes;
    }
}
