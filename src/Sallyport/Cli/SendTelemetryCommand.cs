using System.Text;
using Sallyport.Hub.Telemetry;

namespace Sallyport.Cli;

/// <summary><c>device send-d2c-message</c>: one message in the place of a device, with the flags of <c>az iot device send-d2c-message</c>.</summary>
internal static class SendTelemetryCommand
{
    private static readonly Dictionary<string, string> SystemProperties = new(StringComparer.Ordinal)
    {
        ["$.mid"] = "iothub-messageid", ["$.cid"] = "iothub-correlationid", ["$.uid"] = "iothub-userid", ["$.ct"] = "iothub-contenttype",
        ["$.ce"] = "iothub-contentencoding", ["$.sub"] = "dt-subject", ["$.ctime"] = "iothub-creationtimeutc",
    };

    public static Verb Create(HubVerbs verbs)
    {
        var device = Flags.Required("--device-id", "ID", "The device", "-d");
        var module = Flags.Text("--module-id", "ID", "This module of the device", "-m");
        var data = Flags.Text("--body", "TEXT", "The body, as UTF-8; az calls it --data, which is the data directory here", "--da");
        var file = Flags.Text("--data-file-path", "FILE", "The body: the bytes of this file", "--dfp");
        var properties = Flags.Text("--properties", "NAME=VALUE;…", $"Application properties, and {string.Join(", ", SystemProperties.Keys)}", "--props", "-p");
        return verbs.Create(
            "send-d2c-message", "Send one message in the place of a device", "device send-d2c-message -d d1 --body '{\"t\":21}' -p '$.ct=application/json;$.ce=utf-8'",
            [device, module, data, file, properties], Printing.Nothing, async call =>
            {
                var path = call.Parsed.GetValue(file);
                if (path is not null && call.Parsed.GetValue(data) is not null)
                    throw new WrongUsageException("Give one of --body and --data-file-path.");

                var body = path is null
                    ? Encoding.UTF8.GetBytes(call.Parsed.GetValue(data) ?? "Ping from Sallyport")
                    : await Secrets.ReadBytesAsync("--data-file-path", path, Ingest.MaxMessageBytes, call.Cancel).ConfigureAwait(false);
                await call.Client.SendTelemetryAsync(
                    call.Parsed.GetValue(device)!, call.Parsed.GetValue(module), body, Named(MessageProperties.Read(call.Parsed.GetValue(properties))), call.Cancel).ConfigureAwait(false);
                return null;
            });
    }

    private static Dictionary<string, string> Named(IEnumerable<KeyValuePair<string, string>> given)
    {
        var named = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (var (name, value) in given)
        {
            if (name.StartsWith("$.", StringComparison.Ordinal) && !SystemProperties.ContainsKey(name))
                throw new WrongUsageException($"--properties: {name} is no system property; there are {string.Join(", ", SystemProperties.Keys)}.");

            named[SystemProperties.GetValueOrDefault(name, name)] = value;
        }

        return named;
    }
}
