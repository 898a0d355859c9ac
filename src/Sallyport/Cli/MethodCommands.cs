using System.CommandLine;
using System.Text.Json;
using System.Text.Json.Nodes;
using Sallyport.Client.Service;

namespace Sallyport.Cli;

/// <summary><c>invoke-device-method</c> and <c>invoke-module-method</c>, with the names and flags of <c>az iot hub</c>.</summary>
internal static class MethodCommands
{
    private const int PayloadBytesMax = 128 * 1024;

    private static readonly Printing Answer = Printing.Table(new("Status", "status"), new("Payload", "payload"));

    public static IEnumerable<Command> Create(HubVerbs verbs) =>
    [
        InvokeVerb(verbs, "invoke-device-method", "Call a method of a device and print what it answers", "invoke-device-method -d d1 --method-name reboot --method-payload '{\"delay\":5}'", module: null),
        InvokeVerb(
            verbs, "invoke-module-method", "Call a method of a module and print what it answers", "invoke-module-method -d d1 -m m1 --method-name reboot",
            Flags.Required("--module-id", "ID", "The module", "-m")),
    ];

    private static Verb InvokeVerb(HubVerbs verbs, string name, string description, string example, Option<string>? module)
    {
        var device = Flags.Required("--device-id", "ID", "The device", "-d");
        var method = Flags.Required("--method-name", "NAME", "The method", "--mn", "-n");
        var payload = Flags.Text("--method-payload", "JSON|@FILE|-", "What the method gets: JSON, a file of it, or - for standard input; {} when not given", "--mp");
        var timeout = Flags.Number("--timeout", "SECONDS", "How long the device may take to answer, 5 to 300", 5, 300, 30, "--to");
        var connect = Flags.Number("--connect-timeout", "SECONDS", "How long to wait for a device that is not connected, 0 to 300", 0, 300, 0);
        Option[] options = module is null ? [device, method, payload, timeout, connect] : [device, module, method, payload, timeout, connect];
        return verbs.Create(name, description, example, options, Answer, async call =>
        {
            var body = await PayloadAsync("--method-payload", call.Parsed.GetValue(payload), call).ConfigureAwait(false);
            var limits = new MethodTimeouts(TimeSpan.FromSeconds(call.Parsed.GetValue(timeout)!.Value), TimeSpan.FromSeconds(call.Parsed.GetValue(connect)!.Value));
            return await call.Client.InvokeMethodAsync(
                call.Parsed.GetValue(device)!, module is null ? null : call.Parsed.GetValue(module), call.Parsed.GetValue(method)!, body, limits, call.Cancel).ConfigureAwait(false);
        });
    }

    /// <summary>Reads what a method or command gets: JSON, <c>@FILE</c> of it, or <c>-</c> for standard input; <c>{}</c> when nothing is given.</summary>
    /// <exception cref="WrongUsageException">It is not JSON.</exception>
    /// <exception cref="FailedException">The file cannot be read.</exception>
    public static async Task<JsonNode?> PayloadAsync(string flag, string? given, HubCall call)
    {
        var text = given switch
        {
            null => "{}",
            "-" => await call.Terminal.ReadAllAsync(call.Cancel).ConfigureAwait(false),
            ['@', _, ..] => System.Text.Encoding.UTF8.GetString(await Secrets.ReadBytesAsync(flag, given[1..], PayloadBytesMax, call.Cancel).ConfigureAwait(false)),
            _ => given,
        };
        try
        {
            return JsonNode.Parse(text);
        }
        catch (JsonException broken)
        {
            throw new WrongUsageException($"{flag} is not JSON ({broken.Message.TrimEnd('.')}). A text needs its quotes: '\"on\"'.");
        }
    }
}
