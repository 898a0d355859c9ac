using System.Diagnostics;
using System.Globalization;
using Sallyport.Protocol.Identities;

namespace Sallyport.Bench.Amqp;

/// <summary>One reader over TLS takes the events of one partition from the first to the last, again and again.</summary>
internal static class AmqpPush
{
    private const int PayloadBytes = 256;
    private const string FromTheFirst = "amqp.annotation.x-opt-offset > '-1'";

    public static async Task Run(string program, string directory, int events, int rounds, TimeSpan duration, TextWriter output)
    {
        var data = Path.Combine(directory, "hub");
        var partition = PartitionOf.Device(Generator.DeviceId(0), AmqpBench.Partitions);
        using (var hub = AmqpBench.Hub(program, data))
        {
            await hub.Register(1);
            using var senders = new AmqpSenders(hub, 1, PayloadBytes);
            senders.Fill(events);
        }

        List<Row> rows = [];
        for (var round = 0; round < rounds; round++)
        {
            using var hub = AmqpBench.Hub(program, data);
            using var client = AmqpClient.LogInOwner(hub, 0);
            client.Await(AmqpFrames.Begin);
            var reader = new Reader(client, partition);
            Read(reader, events, TimeSpan.FromSeconds(10));

            var allocated = await hub.AllocatedBytes();
            var (cpu, own) = (Accounting.CpuSeconds(hub.Pid), Native.ThreadCpuSeconds());
            var (read, bytes) = (reader.Events, reader.Bytes);
            var clock = Stopwatch.StartNew();
            Read(reader, events, duration);
            var seconds = clock.Elapsed.TotalSeconds;
            (cpu, own) = (Accounting.CpuSeconds(hub.Pid) - cpu, Native.ThreadCpuSeconds() - own);
            allocated = await hub.AllocatedBytes() - allocated;
            (read, bytes) = (reader.Events - read, reader.Bytes - bytes);
            rows.Add(new Row(read / seconds, cpu * 1e6 / read, allocated / read, cpu / seconds, own / seconds, bytes / (double)read));
        }

        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"push of {PayloadBytes}-byte events to one reader over TLS, credit {AmqpReaders.Prefetch}, {events:#,0} events read again and again, {rounds} rounds of {duration.TotalSeconds:0} s after 10 s:"));
        output.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"  {Compare.Spread(rows.Select(row => row.PerSecond))} events/s, {Compare.Spread(rows.Select(row => row.CpuMicroseconds), "0.00")} us server CPU/event, {Compare.Spread(rows.Select(row => row.Allocated), "0.0")} B allocated/event; {rows[0].FrameBytes:0} B a frame; server {Compare.Spread(rows.Select(row => row.ServerCores), "0.00")} cores, reader {Compare.Spread(rows.Select(row => row.ReaderCores), "0.00")}"));
    }

    // Whole passes until the time is over.
    private static void Read(Reader reader, int events, TimeSpan duration)
    {
        var clock = Stopwatch.StartNew();
        while (clock.Elapsed < duration)
        {
            reader.Attach(FromTheFirst);
            reader.Grant(AmqpReaders.Prefetch);
            for (var end = reader.Events + events; reader.Events < end;)
            {
                while (reader.Client.TryTake(out var frame))
                    reader.Take(frame);
                if (reader.Used >= AmqpReaders.Prefetch / 2)
                    reader.Grant(AmqpReaders.Prefetch);
                if (reader.Events < end)
                    reader.Client.Receive();
            }

            reader.Detach();
        }
    }

    private readonly record struct Row(double PerSecond, double CpuMicroseconds, double Allocated, double ServerCores, double ReaderCores, double FrameBytes);
}
