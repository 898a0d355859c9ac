using System.Globalization;

namespace Sallyport.Bench.Amqp;

/// <summary>What connections that have said everything and are silent cost in resident memory.</summary>
internal static class AmqpIdle
{
    public static async Task Run(string program, string directory, int connections, TextWriter output)
    {
        foreach (var shape in Shapes)
        {
            using var hub = AmqpBench.Hub(program, Path.Combine(directory, shape.Name.Replace(' ', '-')));
            await Prepare(hub, connections);
            Fill(hub, shape, 50).ForEach(client => client.Dispose());
            await Footprint.Settle(hub);
            var before = Accounting.ResidentKiB(hub.Pid);
            var idle = Fill(hub, shape, connections);
            await Footprint.Settle(hub);
            var after = Accounting.ResidentKiB(hub.Pid);
            output.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"idle {shape.Name}, {shape.Links}: {connections} connections, resident {before / 1024.0:0} -> {after / 1024.0:0} MiB, {(after - before) / (double)connections:0.0} KiB each"));
            idle.ForEach(client => client.Dispose());
        }
    }

    // Something to read, and a consumer group for each hundred readers of a partition: no more may read at once, and there are 19 besides the default.
    private static async Task Prepare(Server hub, int connections)
    {
        await hub.Register(Math.Max(8, connections));
        using (var senders = new AmqpSenders(hub, 8, 256))
            senders.Fill(20_000);
        for (var group = 0; group <= Math.Min(18, connections / 200); group++)
        {
            using var answer = await hub.Rest!.PutAsync(new Uri($"manage/v1/consumer-groups/g{group}", UriKind.Relative), null);
            answer.EnsureSuccessStatusCode();
        }
    }

    private static readonly Shape[] Shapes =
    [
        new("plain", "session and two $cbs links, a token put", (hub, i) => WithToken(hub, i, isTls: false)),
        new("TLS", "session and two $cbs links, a token put", (hub, i) => WithToken(hub, i, isTls: true)),
        new("TLS device", "session and two links of a device", OfDevice),
        new("TLS reader", "session and two readers that have read all there is", OfReader),
    ];

    private static List<AmqpClient> Fill(Server hub, Shape shape, int connections) => [.. Enumerable.Range(0, connections).Select(i => shape.Connect(hub, i))];

    private static AmqpClient WithToken(Server hub, int index, bool isTls)
    {
        var client = new AmqpClient(
            isTls ? hub.AmqpsPort : AmqpBench.PlainPort, index, isTls,
            AmqpFrames.SaslHeader, AmqpFrames.SaslAnonymous(), AmqpFrames.Header, AmqpFrames.OpenTo(hub.HostName), AmqpFrames.BeginSession(),
            AmqpFrames.AttachSender(0, "$cbs"), AmqpFrames.AttachReceiver(1, "$cbs"));
        client.Await(AmqpFrames.Begin);
        client.AwaitAttach();
        client.AwaitAttach();
        client.Send(AmqpFrames.Credit(1, 0, 0, 10));
        client.Send(AmqpFrames.PutToken(0, hub.HostName, hub.OwnerToken!));
        client.Await(AmqpFrames.Transfer);
        return client;
    }

    private static AmqpClient OfDevice(Server hub, int index)
    {
        var client = AmqpClient.LogInDevice(hub, index);
        client.Await(AmqpFrames.Begin);
        for (var handle = 0u; handle < 2; handle++)
        {
            client.Send(AmqpFrames.AttachSender(handle, $"devices/{Generator.DeviceId(index)}/messages/events"));
            client.AwaitAttach();
            client.Await(AmqpFrames.Flow);
        }

        return client;
    }

    private static AmqpClient OfReader(Server hub, int index)
    {
        var client = AmqpClient.LogInOwner(hub, index);
        client.Await(AmqpFrames.Begin);
        for (var handle = 0u; handle < 2; handle++)
        {
            client.Send(AmqpFrames.AttachReceiver(handle, $"events/ConsumerGroups/g{index / 200}/Partitions/{(2 * (index % 2)) + handle}", "amqp.annotation.x-opt-offset > '-1'"));
            client.AwaitAttach();
            client.Send(AmqpFrames.Credit(handle, 0, 0, 1000));
            client.Await(AmqpFrames.Transfer);
        }

        return client;
    }

    private sealed record Shape(string Name, string Links, Func<Server, int, AmqpClient> Connect);
}
