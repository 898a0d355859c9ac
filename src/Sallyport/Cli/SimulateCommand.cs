using System.CommandLine;
using System.Globalization;
using System.Net;
using System.Text.Json.Nodes;
using Sallyport.Client.Amqp;
using Sallyport.Client.Device;
using Sallyport.Client.Service;
using Sallyport.Simulate;

namespace Sallyport.Cli;

/// <summary><c>simulate</c>: devices that send this machine's own readings, or measured ones out of a file.</summary>
internal static class SimulateCommand
{
    private static readonly TimeSpan ProgressInterval = TimeSpan.FromSeconds(10);

    public static Verb Create(HubVerbs verbs)
    {
        var source = Flags.Text("--source", "host|FILE", "host: this machine's load, memory, temperature, disk and network; or a .csv or .jsonl file; default: host");
        var device = Flags.Text("--device-id", "ID", "The device that sends; registered when missing", "-d");
        var count = Flags.Number("--count", "N", "So many devices, named sim1, sim2, …, each of which sends all readings", 1, 10_000, null);
        var messages = Flags.Number("--message-count", "N", "Each device stops after so many messages", 1, long.MaxValue, null, "--mc");
        var timeColumn = Flags.Text("--time-column", "COLUMN", "The column of the file that says when a row was measured");
        var speed = Decimal("--speed", "X", "How many times faster than measured; 0 sends as fast as the hub acknowledges; default: 1");
        var interval = Decimal("--interval", "SECONDS", "Between two readings of this machine, and between rows without a time; default: 1");
        var protocol = Flags.Choice("--protocol", "What the devices speak, over TLS; default: mqtt", ["mqtt", "amqp"], null);
        var mqttsPort = Flags.Number("--mqtts-port", "PORT", "The hub's port for MQTT over TLS", 1, 65535, null);
        var amqpsPort = Flags.Number("--amqps-port", "PORT", "The hub's port for AMQP over TLS", 1, 65535, null);
        var verb = verbs.Create(
            "simulate", "Send real readings as devices; Ctrl-C ends it", "simulate --source weather.csv --time-column date --speed 3600 -d station-1",
            [source, device, count, messages, timeColumn, speed, interval, protocol, mqttsPort, amqpsPort], Printing.Nothing, async call =>
            {
                var options = new SimulationOptions
                {
                    Source = call.Parsed.GetValue(source) ?? "host",
                    TimeColumn = call.Parsed.GetValue(timeColumn),
                    Devices = (int)(call.Parsed.GetValue(count) ?? 1),
                    MessageCount = call.Parsed.GetValue(messages),
                };
                options = options with
                {
                    Speed = call.Parsed.GetValue(speed) ?? options.Speed,
                    Interval = call.Parsed.GetValue(interval) is { } seconds ? TimeSpan.FromSeconds(seconds) : options.Interval,
                };
                if (options.Validate() is [var problem, ..])
                    throw new WrongUsageException($"{char.ToUpperInvariant(problem[0])}{problem[1..]}.");

                var isAmqp = call.Parsed.GetValue(protocol) == "amqp";
                var client = new DeviceClientOptions
                {
                    Transport = isAmqp ? DeviceTransport.Amqp : DeviceTransport.Mqtt,
                    Port = isAmqp ? (int?)call.Parsed.GetValue(amqpsPort) ?? call.Login.DeviceAmqpsPort : (int?)call.Parsed.GetValue(mqttsPort) ?? call.Login.MqttsPort,
                    CaFile = call.Login.CaFile,
                    Time = call.Time,
                };
                await RunAsync(call, options, client, call.Parsed.GetValue(device)).ConfigureAwait(false);
                return null;
            });
        verb.Validators.Add(given =>
        {
            if (given.GetResult(device) is not null && given.GetResult(count) is not null)
                given.AddError("Give one of --device-id and --count.");
        });
        return verb;
    }

    private static async Task RunAsync(HubCall call, SimulationOptions options, DeviceClientOptions clientOptions, string? deviceId)
    {
        var simulation = new Simulation(options, clientOptions, call.Time)
        {
            OnBadRow = row => call.Terminal.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"Line {row.Line} of {options.Source} is no reading: {row.Problem}.")),
        };
        var devices = deviceId is null
            ? await simulation.RegisterAsync(call.Client, call.Cancel).ConfigureAwait(false)
            : [await RegisterAsync(call, new IdentityName(deviceId, null)).ConfigureAwait(false)];

        var started = call.Time.GetTimestamp();
        var progress = call.Time.CreateTimer(_ => call.Terminal.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{simulation.Sent} messages sent.")), null, ProgressInterval, ProgressInterval);
        await using var __ = progress.ConfigureAwait(false);
        try
        {
            await simulation.RunAsync(devices, call.Cancel).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (call.Cancel.IsCancellationRequested)
        {
            // Ctrl-C is how sending this machine's readings ends.
        }
        catch (DeviceRefusedException refused)
        {
            throw new FailedException($"The hub does not let a device in ({refused.Message.TrimEnd('.')}): see that it is enabled with `device-identity show`.", refused);
        }
        catch (AmqpRefusedException refused)
        {
            throw new FailedException($"The hub refused a message: {refused.Message.TrimEnd('.')}.", refused);
        }
        catch (Exception unreadable) when (unreadable is FormatException or UnauthorizedAccessException)
        {
            throw new FailedException($"{options.Source} cannot be replayed: {unreadable.Message.TrimEnd('.')}.", unreadable);
        }

        var took = call.Time.GetElapsedTime(started).TotalSeconds;
        var said = string.Create(
            CultureInfo.InvariantCulture,
            $"{simulation.Sent} messages sent by {devices.Count} device{(devices.Count == 1 ? "" : "s")} in {took:0.0} s ({simulation.Sent / Math.Max(took, 0.001):0} a second)");
        if (simulation.BadRows > 0)
            said += string.Create(CultureInfo.InvariantCulture, $"; {simulation.BadRows} row{(simulation.BadRows == 1 ? " was no reading" : "s were no readings")}");
        await call.Terminal.Out.WriteLineAsync($"{said}.").ConfigureAwait(false);
    }

    /// <summary>The connection string of the device, registered when it does not exist.</summary>
    private static async Task<string> RegisterAsync(HubCall call, IdentityName device)
    {
        JsonObject identity;
        try
        {
            identity = await device.GetAsync(call).ConfigureAwait(false);
        }
        catch (ServiceException missing) when (missing.Status == HttpStatusCode.NotFound)
        {
            identity = await device.PutAsync(call, [], ifMatch: null).ConfigureAwait(false);
        }

        // Asked for by itself: a device without keys cannot be simulated.
        device.Key(identity, call, KeyType.Primary);
        return device.ConnectionString(identity, call, KeyType.Primary);
    }

    private static Option<double?> Decimal(string name, string valueName, string description) => new(name)
    {
        HelpName = valueName,
        Description = description,
        CustomParser = result =>
        {
            if (double.TryParse(result.Tokens[0].Value, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var number) && number <= int.MaxValue)
                return number;

            result.AddError($"{name} is a number from 0 on.");
            return null;
        },
    };
}
