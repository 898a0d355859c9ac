using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using Sallyport.Cli.Moving;
using Sallyport.Storage;
using Sallyport.Up;

namespace Sallyport.Cli;

/// <summary>The whole command line: exit 0 done, 1 failed, 2 wrong usage; errors on standard error.</summary>
internal static class CommandLine
{
    public const int Failed = 1;
    public const int WrongUsage = 2;

    // @FILE is where a secret is, not more arguments.
    private static readonly ParserConfiguration Parsing = new() { ResponseFileTokenReplacer = null };

    /// <param name="stop">Ends the verb as a signal does.</param>
    public static async Task<int> RunAsync(IReadOnlyList<string> arguments, Terminal terminal, TimeProvider time, CancellationToken stop = default)
    {
        using var signals = new Signals();
        using var either = CancellationTokenSource.CreateLinkedTokenSource(signals.Stop, stop);
        var parsed = Commands(terminal, time, signals).Parse(arguments, Parsing);
        if (parsed.Action is ParseErrorAction)
        {
            foreach (var error in parsed.Errors)
                await terminal.Error.WriteLineAsync(error.Message).ConfigureAwait(false);
            await terminal.Error.WriteLineAsync($"See: {Path(parsed.CommandResult)} --help").ConfigureAwait(false);
            return WrongUsage;
        }

        try
        {
            var configuration = new InvocationConfiguration
            {
                EnableDefaultExceptionHandler = false,
                ProcessTerminationTimeout = null,
                Output = terminal.Out,
                Error = terminal.Error,
            };
            return await parsed.InvokeAsync(configuration, either.Token).ConfigureAwait(false);
        }
        catch (WrongUsageException wrong)
        {
            await terminal.Error.WriteLineAsync(wrong.Message).ConfigureAwait(false);
            return WrongUsage;
        }
        catch (Exception failed) when (failed is FailedException or CannotStartException or UnusableDataException)
        {
            await terminal.Error.WriteLineAsync(failed.Message).ConfigureAwait(false);
            return Failed;
        }
        catch (OperationCanceledException) when (either.IsCancellationRequested)
        {
            return 0;
        }
    }

    /// <summary>Every command there is.</summary>
    internal static RootCommand Commands(Terminal terminal, TimeProvider time, Signals signals)
    {
        var root = new RootCommand("Sallyport: a self-hosted IoT hub that speaks Azure IoT Hub's protocols.")
        {
            UpCommand.Create(terminal, time, signals),
            CaCommand.Create(terminal),
            DataCommand.Create(terminal, time),
            OwnerCommand.Create(terminal, time),
        };
        foreach (var command in HubCommands(new HubVerbs(terminal, time), terminal))
            root.Add(command);
        foreach (var option in root.Options)
        {
            if (option is HelpOption { Action: HelpAction help } helpOption)
                helpOption.Action = new HelpWithExample(help);
        }

        return root;
    }

    private static IEnumerable<Command> HubCommands(HubVerbs verbs, Terminal terminal) =>
    [
        IdentityCommand.Devices(verbs),
        IdentityCommand.Modules(verbs),
        TwinCommand.Devices(verbs),
        TwinCommand.Modules(verbs),
        DigitalTwinCommand.Create(verbs),
        QueryCommand.Create(verbs),
        JobCommand.Create(verbs),
        ConfigurationCommand.Configurations(verbs),
        EdgeCommand.Create(verbs),
        DeviceCommand.Create(verbs),
        PolicyCommand.Create(verbs),
        OperatorCommand.Create(verbs),
        CertificateCommand.Create(verbs),
        CertCommand.Create(verbs),
        SecurityCommand.Create(verbs),
        SecretsCommand.Create(verbs),
        SasTokenCommand.Create(verbs),
        TokenCommand.Create(verbs),
        ConnectionCommand.Create(verbs),
        ConnectionStringCommand.Create(verbs),
        AuditCommand.Create(verbs, terminal),
        ConsumerGroupCommand.Create(verbs),
        MonitorEventsCommand.Create(verbs),
        MonitorFeedbackCommand.Create(verbs),
        FileCommand.MonitorVerb(verbs),
        SimulateCommand.Create(verbs),
        ImportCommand.Create(verbs),
        ExportCommand.Create(verbs),
        .. MethodCommands.Create(verbs),
        .. LimitCommands.Create(verbs),
        .. StatusCommands.Create(verbs),
    ];

    private static string Path(System.CommandLine.Parsing.CommandResult? command)
    {
        var names = new List<string>();
        for (System.CommandLine.Parsing.SymbolResult? result = command; result is System.CommandLine.Parsing.CommandResult one; result = one.Parent)
            names.Insert(0, one.Command.Name);
        return string.Join(' ', names);
    }

    private sealed class HelpWithExample(HelpAction help) : SynchronousCommandLineAction
    {
        public override int Invoke(ParseResult parsed)
        {
            var code = help.Invoke(parsed);
            if (parsed.CommandResult.Command is Verb verb)
                parsed.InvocationConfiguration.Output.WriteLine($"Example:{Environment.NewLine}  sallyport {verb.Example}{Environment.NewLine}");
            return code;
        }
    }
}
