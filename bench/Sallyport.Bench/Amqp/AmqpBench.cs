using System.CommandLine;
using System.Text.Json;

namespace Sallyport.Bench.Amqp;

/// <summary>The benchmarks of AMQP by name.</summary>
internal static class AmqpBench
{
    /// <summary>The event log's default.</summary>
    public const int Partitions = 4;

    public static Command Command(Func<Option<string>> program, Func<Func<string, Task>, Task<int>> inScratchDirectory)
    {
        var rounds = new Option<int>("--rounds") { DefaultValueFactory = _ => 3 };
        var seconds = new Option<int>("--seconds") { DefaultValueFactory = _ => 5 };
        return new Command("amqp", "The AMQP head, loaded by a frame client that is made of no AMQP library.") { Push(), Ingest(), Commands(), Idle(), Tail() };

        Command Push()
        {
            var hub = program();
            var events = new Option<int>("--events") { Description = "in the partition that is read", DefaultValueFactory = _ => 1_500_000 };
            var command = new Command("push", "Stored events to one reader over TLS.") { events, rounds, seconds, hub };
            command.SetAction(parsed => inScratchDirectory(directory => AmqpPush.Run(
                parsed.GetRequiredValue(hub), directory, parsed.GetRequiredValue(events), parsed.GetRequiredValue(rounds), TimeSpan.FromSeconds(parsed.GetRequiredValue(seconds)), Console.Out)));
            return command;
        }

        Command Ingest()
        {
            var hub = program();
            var connections = new Option<int>("--connections") { DefaultValueFactory = _ => 8 };
            var command = new Command("ingest", "Telemetry over a few TLS connections, settled once it is on disk.") { connections, rounds, seconds, hub };
            command.SetAction(parsed => inScratchDirectory(directory => AmqpIngest.Run(
                parsed.GetRequiredValue(hub), directory, parsed.GetRequiredValue(connections), parsed.GetRequiredValue(rounds), TimeSpan.FromSeconds(parsed.GetRequiredValue(seconds)), Console.Out)));
            return command;
        }

        Command Commands()
        {
            var hub = program();
            var connections = new Option<int>("--connections") { DefaultValueFactory = _ => 8 };
            var devices = new Option<int>("--devices") { Description = "whose queues they fill in turn", DefaultValueFactory = _ => 1000 };
            var command = new Command("commands", "Commands of services over a few TLS connections, settled once they are on disk.") { connections, devices, rounds, seconds, hub };
            command.SetAction(parsed => inScratchDirectory(directory => AmqpCommands.Run(
                parsed.GetRequiredValue(hub), directory, parsed.GetRequiredValue(connections), parsed.GetRequiredValue(devices), parsed.GetRequiredValue(rounds),
                TimeSpan.FromSeconds(parsed.GetRequiredValue(seconds)), Console.Out)));
            return command;
        }

        Command Idle()
        {
            var hub = program();
            var connections = new Option<int>("--connections") { DefaultValueFactory = _ => 2000 };
            var command = new Command("idle", "Resident memory of idle connections.") { connections, hub };
            command.SetAction(parsed => inScratchDirectory(directory => AmqpIdle.Run(
                parsed.GetRequiredValue(hub), directory, parsed.GetRequiredValue(connections), Console.Out)));
            return command;
        }

        Command Tail()
        {
            var hub = program();
            var rate = new Option<int>("--rate") { Description = "messages per second", DefaultValueFactory = _ => 20_000 };
            var connections = new Option<int>("--connections") { Description = "that send", DefaultValueFactory = _ => 1000 };
            var replay = new Option<int>("--replay-rate") { Description = "events per second that each replaying reader takes; 0: as many as come", DefaultValueFactory = _ => 25_000 };
            var backlog = new Option<int>("--backlog") { Description = "events that are there before", DefaultValueFactory = _ => 1_500_000 };
            var command = new Command("tail", "What readers cost those who send.") { rate, connections, replay, backlog, rounds, seconds, hub };
            command.SetAction(parsed => inScratchDirectory(directory => AmqpTail.Run(
                parsed.GetRequiredValue(hub), directory, parsed.GetRequiredValue(rate), parsed.GetRequiredValue(connections), parsed.GetRequiredValue(replay), parsed.GetRequiredValue(backlog),
                parsed.GetRequiredValue(rounds), TimeSpan.FromSeconds(parsed.GetRequiredValue(seconds)), Console.Out)));
            return command;
        }
    }

    /// <summary>Where a hub with <see cref="Hub"/>'s settings listens without TLS.</summary>
    public const int PlainPort = 18672;

    /// <summary>A hub whose limits on one device are out of the way: a few connections send here what a fleet sends. It also listens without TLS.</summary>
    public static Server Hub(string program, string data)
    {
        const long many = 10_000_000, bytes = many << 10;
        Directory.CreateDirectory(data);
        var settings = data + ".json";
        File.WriteAllText(settings, JsonSerializer.Serialize(new
        {
            Listeners = new { InsecurePlainAmqp = $"bench; to be measured; {DateTime.UtcNow.AddDays(2):yyyy-MM-dd}", PlainAmqpPort = PlainPort },
            Commands = new { MaxQueueDepth = 10_000 },
            Limits = new { DeviceMessagesPerSecond = many, DeviceBytesPerSecond = bytes, MessagesPerSecond = many, BytesPerSecond = bytes },
        }));
        return Server.Hub(program, data, "--config", settings);
    }
}
