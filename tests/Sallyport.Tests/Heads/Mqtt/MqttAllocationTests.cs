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
