using System.Text;
using Sallyport.Protocol.Mqtt;
using Sallyport.Protocol.Topics;
using Sallyport.Tests.Protocol.Mqtt;

namespace Sallyport.Tests.Heads.Mqtt;

/// <summary>Runs while nothing else does: it reads the process's own count of allocated bytes.</summary>
[CollectionDefinition(nameof(MqttAllocationTests), DisableParallelization = true)]
[Collection(nameof(MqttAllocationTests))]
public sealed class MqttAllocationTests
{
    private const int Rounds = 200;

    [Fact]
    public async Task Publish_InSteadyState_AllocatesNothingPerMessage()
    {
        // One segment takes it all: a new one costs buffers of its own, once in many thousand messages.
        await using var hub = await MqttTestHub.StartAsync(segmentBytes: 32 * 1024 * 1024);
        var client = await hub.ConnectAsync();
        await AllocatedAsync(client, 40);

        // A round costs something (the test's own reads); twenty messages more in each must not.
        var small = await AllocatedAsync(client, 20);
        var large = await AllocatedAsync(client, 40);

        Assert.InRange((large - small) / (Rounds * 20.0), double.NegativeInfinity, 4);
    }

    // Measured: 2.7 KB and 8.1 KB with a twin of this size, the test's own part among them. 5 and 13 KB are what they must not become.
    [Theory]
    [InlineData("$iothub/twin/GET/?$rid=1", "", 5_000)]
    [InlineData("$iothub/twin/PATCH/properties/reported/?$rid=1", """{"r1":5,"r5":6,"r20":7}""", 13_000)]
    public async Task Twin_RequestInSteadyState_AllocatesNoMoreThanItDid(string topic, string payload, int maxBytes)
    {
        await using var hub = await MqttTestHub.StartAsync();
        var client = await hub.ConnectAsync();
        await client.SendAsync(Packets.Of(o => MqttWriter.Subscribe(o, 9, [new MqttSubscription(DeviceTopics.TwinResponses, 0)])));
        await client.ExpectAsync([0x90, 3, 0, 9, 0]);
        var whole = "{" + string.Join(',', Enumerable.Range(0, 22).Select(i => $"\"r{i}\":\"a text of some length\"")) + "}";
        await client.SendAsync(Publish("$iothub/twin/PATCH/properties/reported/?$rid=1", whole));
        await client.ExpectMessageAsync();

        // From here on every answer is as long as the one before: versions have three digits.
        var packet = Publish(topic, payload);
        var answerBytes = 0;
        for (var i = 0; i < 120; i++)
        {
            await client.WriteAsync(packet);
            var (answered, body) = await client.ExpectMessageAsync();
            var length = 2 + answered.Length + body.Length;
            answerBytes = 1 + (length < 128 ? 1 : 2) + length;
        }

        var before = GC.GetTotalAllocatedBytes(precise: true);
        for (var i = 0; i < Rounds; i++)
        {
            await client.WriteAsync(packet);
            await client.SkipAsync(answerBytes);
        }

        Assert.InRange((GC.GetTotalAllocatedBytes(precise: true) - before) / Rounds, 0, maxBytes);
    }

    private static byte[] Publish(string topic, string payload) =>
        Packets.Of(o => MqttWriter.Publish(o, dup: false, qos: 0, retain: false, packetId: 0, Encoding.UTF8.GetBytes(topic), Encoding.UTF8.GetBytes(payload)));

    private static async Task<long> AllocatedAsync(MqttTestClient client, int messages)
    {
        var burst = Packets.Concat([.. Enumerable.Range(1, messages).Select(i => Packets.Telemetry(new string('x', 256), packetId: (ushort)i, bag: "%24.mid=1&a=b"))]);
        var before = GC.GetTotalAllocatedBytes(precise: true);
        for (var i = 0; i < Rounds; i++)
        {
            await client.WriteAsync(burst);
            await client.SkipAsync(messages * 4);
        }

        return GC.GetTotalAllocatedBytes(precise: true) - before;
    }
}
