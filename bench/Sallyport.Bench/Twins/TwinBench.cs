using System.CommandLine;

namespace Sallyport.Bench.Twins;

/// <summary>The benchmarks of twins, methods and the registry by name.</summary>
internal static class TwinBench
{
    public static IEnumerable<Command> Commands(Func<Option<string>> program, Func<Func<string, Task>, Task<int>> inScratchDirectory)
    {
        yield return Load();
        yield return Query();
        yield return Methods();
        yield return Bulk();

        Command Load()
        {
            var (hub, data, devices, connections, rounds, seconds) = (program(), Data(), Devices(), Connections(), Rounds(), Seconds());
            var works = new Option<TwinWork[]>("--work") { DefaultValueFactory = _ => [TwinWork.Get, TwinWork.Report, TwinWork.Mixed], AllowMultipleArgumentsPerToken = true };
            var command = new Command("twins", "Gets and reported patches of devices over TLS.") { hub, data, devices, connections, works, rounds, seconds };
            command.SetAction(parsed => inScratchDirectory(directory => TwinLoad.Run(
                parsed.GetRequiredValue(hub), parsed.GetValue(data) ?? Path.Combine(directory, "hub"), directory, parsed.GetRequiredValue(devices), parsed.GetRequiredValue(connections),
                parsed.GetRequiredValue(works), parsed.GetRequiredValue(rounds), TimeSpan.FromSeconds(parsed.GetRequiredValue(seconds)), Console.Out)));
            return command;
        }

        Command Query()
        {
            var (hub, data, devices, connections, rounds) = (program(), Data(), Devices(), Connections(), Rounds());
            var rate = new Option<int>("--rate") { Description = "gets and reports per second meanwhile", DefaultValueFactory = _ => 0 };
            var command = new Command("twin-queries", "Queries over TLS while devices are connected.") { hub, data, devices, connections, rate, rounds };
            command.SetAction(parsed => inScratchDirectory(directory => TwinLoad.Query(
                parsed.GetRequiredValue(hub), parsed.GetValue(data) ?? Path.Combine(directory, "hub"), parsed.GetRequiredValue(devices), parsed.GetRequiredValue(connections),
                parsed.GetRequiredValue(rate), parsed.GetRequiredValue(rounds), Console.Out)));
            return command;
        }

        Command Methods()
        {
            var (hub, connections, rounds, seconds) = (program(), Connections(), Rounds(), Seconds());
            var rate = new Option<int>("--rate") { Description = "calls per second", DefaultValueFactory = _ => 500 };
            var command = new Command("methods", "Direct methods: REST in, MQTT devices, TLS.") { hub, connections, rate, rounds, seconds };
            command.SetAction(parsed => inScratchDirectory(directory => MethodLoad.Run(
                parsed.GetRequiredValue(hub), directory, parsed.GetRequiredValue(connections), parsed.GetRequiredValue(rate), parsed.GetRequiredValue(rounds),
                TimeSpan.FromSeconds(parsed.GetRequiredValue(seconds)), Console.Out)));
            return command;
        }

        Command Bulk()
        {
            var hub = program();
            var devices = new Option<int>("--devices") { DefaultValueFactory = _ => 200_000 };
            var connections = new Option<int>("--connections") { Description = "of the service", DefaultValueFactory = _ => 8 };
            var connected = new Option<int>("--connected") { Description = "devices that connect then", DefaultValueFactory = _ => 5000 };
            var command = new Command("bulk", "Devices made by bulk requests, and the memory that they take.") { hub, devices, connections, connected };
            command.SetAction(parsed => inScratchDirectory(directory => BulkLoad.Run(
                parsed.GetRequiredValue(hub), directory, parsed.GetRequiredValue(devices), parsed.GetRequiredValue(connections), parsed.GetRequiredValue(connected), Console.Out)));
            return command;
        }
    }

    private static Option<string?> Data() => new("--data") { Description = "a data directory that is kept: made and filled when it is not there" };

    private static Option<int> Devices() => new("--devices") { Description = "that have twins", DefaultValueFactory = _ => 100_000 };

    private static Option<int> Connections() => new("--connections") { Description = "of devices", DefaultValueFactory = _ => 500 };

    private static Option<int> Rounds() => new("--rounds") { DefaultValueFactory = _ => 3 };

    private static Option<int> Seconds() => new("--seconds") { DefaultValueFactory = _ => 5 };
}
