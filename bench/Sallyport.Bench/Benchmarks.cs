using System.CommandLine;

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
            var directory = Directory.CreateTempSubdirectory("sallyport-bench-").FullName;
            try
            {
                await Compare.Run(parsed.GetRequiredValue(program), directory, [.. Shape.All.Where(one => names.Length == 0 || names.Contains(one.Name))],
                    parsed.GetRequiredValue(rounds), TimeSpan.FromSeconds(parsed.GetRequiredValue(seconds)), Console.Out);
            }
            finally
            {
                Directory.Delete(directory, recursive: true);
            }

            return 0;
        });
        return command;
    }

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
            var directory = Directory.CreateTempSubdirectory("sallyport-bench-").FullName;
            try
            {
                foreach (var shape in Shape.All)
                {
                    using var probe = Server.Probe(directory);
                    var row = Compare.One(probe, shape, TimeSpan.FromSeconds(parsed.GetRequiredValue(seconds)));
                    Console.WriteLine(FormattableString.Invariant($"{shape.Name}: {row.PerSecond:0} msg/s, {row.CpuMicroseconds:0.0} us server CPU/msg, p50 {row.P50} us, p99 {row.P99} us"));
                }
            }
            finally
            {
                Directory.Delete(directory, recursive: true);
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
            var directory = Directory.CreateTempSubdirectory("sallyport-bench-").FullName;
            var duration = TimeSpan.FromSeconds(parsed.GetRequiredValue(seconds));
            try
            {
                foreach (var (inFlight, perBatch) in ((int, int)[])[(1000, 1), (50, 20)])
                {
                    await InProcess.Append(directory, inFlight, perBatch, duration, Console.Out);
                    await InProcess.Ingest(directory, inFlight, perBatch, duration, Console.Out);
                }
            }
            finally
            {
                Directory.Delete(directory, recursive: true);
            }

            return 0;
        });
        return command;
    }
}
