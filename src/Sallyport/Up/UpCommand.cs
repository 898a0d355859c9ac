using System.CommandLine;
using System.Runtime.InteropServices;
using Sallyport.Cli;
using Sallyport.Settings;

namespace Sallyport.Up;

/// <summary><c>sallyport up</c>: starts the hub, says <c>ready</c>, and stops on a signal.</summary>
internal static class UpCommand
{
    /// <summary>How long stopping may take.</summary>
    public static readonly TimeSpan StopBound = TimeSpan.FromSeconds(20);

    public static Command Create(Terminal terminal, TimeProvider time, Signals signals)
    {
        var config = new Option<string>("--config") { Description = "Settings file; default: sallyport.json in the data directory, where there is one", HelpName = "FILE" };
        Flag[] flags =
        [
            new("Hub:Data", Text("--data", "DIR", "The data directory; default: ~/.local/state/sallyport/data")),
            new("Hub:Hosts", new Option<string[]>("--host") { Description = "A name or address that clients use (repeat for more); default: localhost, sallyport.localhost, this machine's name", HelpName = "NAME" }),
            new("Listeners:Bind", Text("--bind", "ADDR", "The address to listen on; default: loopback only")),
            new("Listeners:HttpsPort", Text("--https-port", "PORT", "HTTPS and WebSockets; default: 443, or 8443 where 443 may not be bound")),
            new("Listeners:MqttsPort", Text("--mqtts-port", "PORT", "MQTT over TLS; default: 8883")),
            new("Listeners:AmqpsPort", Text("--amqps-port", "PORT", "AMQP over TLS; default: 5671")),
            new("Listeners:ServiceBind", Text("--service-bind", "ADDR", "Another address, for services and management alone; --bind then serves devices alone")),
            new("Listeners:ServicePort", Text("--service-port", "PORT", "HTTPS on that address; default: as --https-port")),
            new("Listeners:ServiceAmqpsPort", Text("--service-amqps-port", "PORT", "AMQP on that address; default: as --amqps-port")),
            new("Hub:KeyFile", Text("--key-file", "FILE", "The key that encrypts secrets at rest")),
            new("Tls:CertificateFile", Text("--tls-certificate", "FILE", "The server's certificate and intermediates, PEM; default: a generated one")),
            new("Tls:KeyFile", Text("--tls-key", "FILE", "The private key of that certificate, PEM")),
            new("Log:Level", Text("--log-level", "LEVEL", "Trace, Debug, Information, Warning, Error or Critical")),
            new("Log:Format", Text("--log-format", "FORMAT", "text or json")),
            new("Hub:Simulate", Text("--simulate", "N", "Simulate N devices that send this machine's own readings")),
            new("Listeners:InsecureFaultInjection", new Option<bool>("--enable-insecure-fault-injection") { Description = "Let devices ask for faults of their own connections, for tests of clients; on loopback only, and not with --production" }),
            new("Hub:Production", new Option<bool>("--production") { Description = "Refuse whatever is only fit for development" }),
        ];

        return new Verb(
            "up", "Start the hub", "up --host hub.example.org --bind 0.0.0.0", [config, .. flags.Select(flag => flag.Option)],
            (parsed, _) => RunAsync(
                () => SettingsReader.Read(parsed.GetValue(config), Environment.GetEnvironmentVariables(), Given(parsed, flags)), terminal, time, signals));
    }

    private static async Task<int> RunAsync(Func<SettingsReading> read, Terminal terminal, TimeProvider time, Signals signals)
    {
        var started = read();
        if (started.Errors.Count > 0)
            throw new CannotStartException(started.Errors);

        using var logging = new HubLogging(started.Settings.Log);
        var log = logging.Factory.CreateLogger("Sallyport.Up");
        using var live = new LiveSettings(started, read, settings =>
        {
            logging.Level = settings.Log.Level;
            log.LevelChanged(settings.Log.Level);
        }, time, log);

        var hub = await HubHost.StartAsync(live, logging.Factory, time).ConfigureAwait(false);
        if (hub.HttpsPortNotice is { } notice)
            await terminal.Error.WriteLineAsync(notice).ConfigureAwait(false);

        using var reload = PosixSignalRegistration.Create(PosixSignal.SIGHUP, context =>
        {
            context.Cancel = true;
            live.Reload();
            hub.Certificate.Reload();
        });

        if (OpenFiles.Limit() is { } limit and < OpenFiles.Few)
            log.FewFiles(limit);

        await terminal.Out.WriteLineAsync("ready").ConfigureAwait(false);
        await terminal.Out.FlushAsync(CancellationToken.None).ConfigureAwait(false);

        var simulated = new Running(cancel => SimulatedDevices.RunAsync(started.Settings.Hub.Simulate, hub.Endpoints, time, log, cancel));
        var stop = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await using var _ = signals.Stop.Register(stop.SetResult).ConfigureAwait(false);
        var failed = await Task.WhenAny(hub.Failure, stop.Task).ConfigureAwait(false) == hub.Failure;
        if (failed)
            log.DurabilityLost(await hub.Failure.ConfigureAwait(false));
        else
            log.Stopping(signals.Received!);

        try
        {
            await StopAsync(simulated, hub).WaitAsync(StopBound, time).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            log.StoppedHard(StopBound);
            return CommandLine.Failed;
        }

        log.Stopped();
        return failed ? CommandLine.Failed : 0;
    }

    private static async Task StopAsync(Running simulated, HubHost hub)
    {
        await simulated.DisposeAsync().ConfigureAwait(false);
        await hub.DisposeAsync().ConfigureAwait(false);
    }

    private static Dictionary<string, IReadOnlyList<string>> Given(ParseResult parsed, Flag[] flags)
    {
        var given = new Dictionary<string, IReadOnlyList<string>>();
        foreach (var (key, option) in flags)
        {
            if (parsed.GetResult(option) is not { Implicit: false } result)
                continue;

            given[key] = option.ValueType == typeof(bool)
                ? [parsed.GetValue((Option<bool>)option).ToString()]
                : [.. result.Tokens.Select(token => token.Value)];
        }

        return given;
    }

    private static Option<string> Text(string name, string valueName, string description) => new(name) { Description = description, HelpName = valueName };

    private sealed record Flag(string Key, Option Option);
}
