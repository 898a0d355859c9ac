using System.CommandLine;
using Sallyport.Bench.Amqp;
using Sallyport.Bench.Twins;

namespace Sallyport.Bench;

/// <summary>The benchmarks by name.</summary>
internal static class Benchmarks
{
    public static IEnumerable<Command> All()
    {
        yield return ProbeCommand();
        yield return CompareCommand();
        yield return LimitCommand();
        yield return InProcessCommand();
        yield return FootprintCommand();
        yield return FloodCommand();
        yield return KnockCommand();
        yield return StormCommand();
        yield return TokensCommand();
        yield return QueriesCommand();
        yield return JobsCommand();
        yield return ConfigurationsCommand();
        yield return AmqpBench.Command(Program, InScratchDirectory);
        foreach (var command in TwinBench.Commands(Program, InScratchDirectory))
            yield return command;
    }

    private static Command CompareCommand()
    {
        var shape = new Option<string[]>("--shape") { Description = "fleet, burst, paced; all when absent", DefaultValueFactory = _ => [] };
        var rounds = new Option<int>("--rounds") { DefaultValueFactory = _ => 5 };
        var seconds = new Option<int>("--seconds") { DefaultValueFactory = _ => 5 };
        var program = new Option<string>("--program") { Description = "the built sallyport.dll", DefaultValueFactory = _ => Path.Combine(AppContext.BaseDirectory, "sallyport.dll") };
        var command = new Command("compare", "Loads hub and probe alternately over TLS; ratios in one run.") { shape, rounds, seconds, program };
        command.SetAction(async parsed =>
        {
            var names = parsed.GetRequiredValue(shape);
            using var directory = new ScratchDirectory();
            await Compare.Run(parsed.GetRequiredValue(program), directory.Path, [.. Shape.All.Where(one => names.Length == 0 || names.Contains(one.Name))],
                parsed.GetRequiredValue(rounds), TimeSpan.FromSeconds(parsed.GetRequiredValue(seconds)), Console.Out);
            return 0;
        });
        return command;
    }

    private static Command ConfigurationsCommand()
    {
        var devices = new Option<int>("--devices") { DefaultValueFactory = _ => 100_000 };
        var rounds = new Option<int>("--rounds") { DefaultValueFactory = _ => 500 };
        var command = new Command("configurations", "Automatic configurations over twins of 1 KB, without a socket.") { devices, rounds };
        command.SetAction(async parsed =>
        {
            using var directory = new ScratchDirectory();
            await Rollouts.Run(directory.Path, parsed.GetRequiredValue(devices), parsed.GetRequiredValue(rounds), Console.Out);
            return 0;
        });
        return command;
    }

    private static Command QueriesCommand()
    {
        var devices = new Option<int>("--devices") { DefaultValueFactory = _ => 100_000 };
        var rounds = new Option<int>("--rounds") { DefaultValueFactory = _ => 5 };
        var command = new Command("queries", "Queries over twins of 1 KB, without a socket.") { devices, rounds };
        command.SetAction(async parsed =>
        {
            using var directory = new ScratchDirectory();
            await Queries.Run(directory.Path, parsed.GetRequiredValue(devices), parsed.GetRequiredValue(rounds), Console.Out);
            return 0;
        });
        return command;
    }

    private static Command JobsCommand()
    {
        var devices = new Option<int>("--devices") { DefaultValueFactory = _ => 100_000 };
        var rate = new Option<long>("--devices-per-second") { Description = "what jobs may do; 0: no limit", DefaultValueFactory = _ => 0 };
        var command = new Command("jobs", "A job that changes the twins of many devices, without a socket.") { devices, rate };
        command.SetAction(async parsed =>
        {
            using var directory = new ScratchDirectory();
            await Jobs.Run(directory.Path, parsed.GetRequiredValue(devices), parsed.GetRequiredValue(rate), Console.Out);
            return 0;
        });
        return command;
    }

    private static Command FloodCommand()
    {
        var rate = new Option<int>("--rate") { Description = "good messages per second", DefaultValueFactory = _ => 5000 };
        var seconds = new Option<int>("--seconds") { DefaultValueFactory = _ => 10 };
        var program = Program();
        var command = new Command("flood", "Good load alone, and while bad logins come from 64 addresses as fast as they can.") { rate, seconds, program };
        command.SetAction(async parsed =>
        {
            using var directory = new ScratchDirectory();
            await Flood.Run(parsed.GetRequiredValue(program), directory.Path, parsed.GetRequiredValue(rate), TimeSpan.FromSeconds(parsed.GetRequiredValue(seconds)), Console.Out);
            return 0;
        });
        return command;
    }

    private static Command KnockCommand()
    {
        var port = new Option<int>("--port") { Required = true };
        var host = new Option<string>("--host") { DefaultValueFactory = _ => "localhost" };
        var seconds = new Option<int>("--seconds") { DefaultValueFactory = _ => 10 };
        var command = new Command("knock", "The bad logins of flood.") { port, host, seconds };
        command.SetAction(parsed =>
        {
            Flood.Knock(parsed.GetRequiredValue(port), parsed.GetRequiredValue(host), TimeSpan.FromSeconds(parsed.GetRequiredValue(seconds)), Console.Out);
            return 0;
        });
        return command;
    }

    private static Command StormCommand()
    {
        var devices = new Option<int>("--devices") { DefaultValueFactory = _ => 10_000 };
        var rate = new Option<int>("--rate") { Description = "messages per second of those that are connected", DefaultValueFactory = _ => 500 };
        var program = Program();
        var command = new Command("storm", "Devices that all come back at once, and the latency of those that are connected.") { devices, rate, program };
        command.SetAction(async parsed =>
        {
            using var directory = new ScratchDirectory();
            await Storm.Run(parsed.GetRequiredValue(program), directory.Path, parsed.GetRequiredValue(devices), parsed.GetRequiredValue(rate), Console.Out);
            return 0;
        });
        return command;
    }

    private static Option<string> Program() => new("--program") { Description = "the built sallyport.dll", DefaultValueFactory = _ => Path.Combine(AppContext.BaseDirectory, "sallyport.dll") };

    private static Command ProbeCommand()
    {
        var port = new Option<int>("--port") { DefaultValueFactory = _ => 18883 };
        var directory = new Option<string>("--dir") { DefaultValueFactory = _ => Path.GetTempPath() };
        var command = new Command("probe", "Runs the native probe (the limit) until it is killed.") { port, directory };
        command.SetAction((parsed, cancel) =>
        {
            var (certificate, key) = ThrowAwayCertificate.Write(parsed.GetRequiredValue(directory));
            using var probe = new Probe(parsed.GetRequiredValue(port), certificate, key, parsed.GetRequiredValue(directory));
            Console.WriteLine("ready");
            cancel.WaitHandle.WaitOne();
            return Task.FromResult(0);
        });
        return command;
    }

    private static Command LimitCommand()
    {
        var seconds = new Option<int>("--seconds") { DefaultValueFactory = _ => 3 };
        var command = new Command("limit", "Loads the probe alone, each shape once: what this machine can do now.") { seconds };
        command.SetAction(parsed =>
        {
            using var directory = new ScratchDirectory();
            foreach (var shape in Shape.All)
            {
                using var probe = Server.Probe(directory.Path);
                var row = Compare.One(probe, shape, TimeSpan.FromSeconds(parsed.GetRequiredValue(seconds)));
                Console.WriteLine(FormattableString.Invariant($"{shape.Name}: {row.PerSecond:0} msg/s, {row.CpuMicroseconds:0.0} us server CPU/msg, p50 {row.P50} us, p99 {row.P99} us"));
            }

            return 0;
        });
        return command;
    }

    private static Command InProcessCommand()
    {
        var seconds = new Option<int>("--seconds") { DefaultValueFactory = _ => 4 };
        var command = new Command("inprocess", "The event log alone, then ingest without a socket, in both shapes.") { seconds };
        command.SetAction(async parsed =>
        {
            using var directory = new ScratchDirectory();
            var duration = TimeSpan.FromSeconds(parsed.GetRequiredValue(seconds));
            foreach (var (inFlight, perBatch) in ((int, int)[])[(1000, 1), (50, 20)])
            {
                await InProcess.Append(directory.Path, inFlight, perBatch, duration, Console.Out);
                await InProcess.Ingest(directory.Path, inFlight, perBatch, duration, Console.Out);
            }

            return 0;
        });
        return command;
    }

    private static Command FootprintCommand()
    {
        var connections = new Option<int>("--connections") { DefaultValueFactory = _ => 5000 };
        var devices = new Option<int>("--devices") { DefaultValueFactory = _ => 100_000 };
        var program = new Option<string>("--program") { DefaultValueFactory = _ => Path.Combine(AppContext.BaseDirectory, "sallyport.dll") };
        var command = new Command("footprint", "Start, idle connections, registered devices, single reads.") { connections, devices, program };
        command.SetAction(async parsed =>
        {
            using var directory = new ScratchDirectory();
            await Footprint.Run(parsed.GetRequiredValue(program), directory.Path, parsed.GetRequiredValue(connections), parsed.GetRequiredValue(devices), Console.Out);
            return 0;
        });
        return command;
    }

    private static Command TokensCommand()
    {
        var rounds = new Option<int>("--rounds") { DefaultValueFactory = _ => 50 };
        var command = new Command("tokens", "What checking a token costs, in time and allocations.") { rounds };
        command.SetAction(async parsed =>
        {
            using var directory = new ScratchDirectory();
            await Tokens.Run(directory.Path, parsed.GetRequiredValue(rounds), Console.Out);
            return 0;
        });
        return command;
    }

    private static async Task<int> InScratchDirectory(Func<string, Task> run)
    {
        using var directory = new ScratchDirectory();
        await run(directory.Path);
        return 0;
    }

    /// <summary>A directory that goes with the run.</summary>
    private sealed class ScratchDirectory : IDisposable
    {
        public string Path { get; } = Directory.CreateTempSubdirectory("sallyport-bench-").FullName;

        public void Dispose() => Directory.Delete(Path, recursive: true);
    }
}
