using System.CommandLine;
using System.Text.Json.Nodes;
using Sallyport.Hub.Commands;

namespace Sallyport.Cli;

/// <summary><c>device c2d-message</c>: messages to devices, with the verbs of <c>az iot device c2d-message</c> and what Azure lacks.</summary>
internal static class CommandCommand
{
    private static readonly string[] Acks = ["none", "positive", "negative", "full"];

    private static readonly Printing Waiting = Printing.Table(
        new("Sequence", "sequence"), new("MessageId", "messageId"), new("State", "state"), new("Enqueued", "enqueuedTime"), new("Expires", "expiryTimeUtc"),
        new("Ack", "ack"), new("Abandoned", "deliveryCount"), new("Bytes", "sizeBytes"));

    private static readonly Printing Dead = Printing.Table(
        new("Number", "sequence"), new("DeviceId", "deviceId"), new("ModuleId", "moduleId"), new("MessageId", "messageId"), new("Reason", "reason"), new("Dead", "deadTime"), new("Enqueued", "enqueuedTime"), new("Body", "body"));

    private static readonly Printing Taken = Printing.Table(
        new("Etag", "lockToken"), new("MessageId", "messageId"), new("Abandoned", "deliveryCount"), new("Body", "body"));

    private static readonly Printing Sent = Printing.Table(new("Sequence", "sequence"), new("MessageId", "messageId"));

    private static readonly Printing Purged = Printing.Table(new("DeviceId", "deviceId"), new("ModuleId", "moduleId"), new("Purged", "totalMessagesPurged"));

    public static Command Create(HubVerbs verbs) => new("c2d-message", "Messages to devices: send, take in the place of the device, look at those given up")
    {
        SendVerb(verbs),
        ListVerb(verbs),
        ReceiveVerb(verbs),
        SettleVerb(verbs, "complete", "Complete a message that was taken: it is gone"),
        SettleVerb(verbs, "abandon", "Let a message that was taken wait again"),
        SettleVerb(verbs, "reject", "Give a message up that was taken; list-dead shows it"),
        PurgeVerb(verbs),
        ListDeadVerb(verbs),
        ReplayVerb(verbs),
    };

    private static Verb SendVerb(HubVerbs verbs)
    {
        var (device, module) = (Device(), Module());
        var data = Flags.Text("--body", "TEXT", "The body, as UTF-8; az calls it --data, which is the data directory here", "--da");
        var file = Flags.Text("--data-file-path", "FILE", "The body: the bytes of this file", "--dfp");
        var messageId = Flags.Text("--message-id", "ID", "Default: a new GUID", "--mid");
        var correlationId = Flags.Text("--correlation-id", "ID", "What it belongs to", "--cid");
        var userId = Flags.Text("--user-id", "ID", "Who it is from", "--uid");
        var contentType = Flags.Text("--content-type", "TYPE", "For example application/json", "--ct");
        var contentEncoding = Flags.Text("--content-encoding", "NAME", "For example utf-8", "--ce");
        var expiry = Flags.Text("--expiry-time-utc", "TIME", "When it ends, ISO 8601. Default: after the hub's time to live, 1 h", "--expiry");
        var ack = Flags.Choice("--ack", "What the hub tells in its feedback", Acks, null);
        var properties = Flags.Text("--properties", "NAME=VALUE;…", "Application properties", "--props", "-p");
        return verbs.Create(
            "send", "Send a message to a device: it waits until the device takes it", "device c2d-message send -d d1 --body 'open the valve' --ack full",
            [device, module, data, file, messageId, correlationId, userId, contentType, contentEncoding, expiry, ack, properties], Sent, async call =>
            {
                var path = call.Parsed.GetValue(file);
                if (path is not null && call.Parsed.GetValue(data) is not null)
                    throw new WrongUsageException("Give one of --body and --data-file-path.");

                var bytes = path is null ? null : await Secrets.ReadBytesAsync("--data-file-path", path, CommandOptions.MaxMessageBytes, call.Cancel).ConfigureAwait(false);
                var body = new JsonObject
                {
                    ["body"] = bytes is null ? call.Parsed.GetValue(data) ?? "" : null,
                    ["bodyBase64"] = bytes is null ? null : Convert.ToBase64String(bytes),
                    ["messageId"] = call.Parsed.GetValue(messageId),
                    ["correlationId"] = call.Parsed.GetValue(correlationId),
                    ["userId"] = call.Parsed.GetValue(userId),
                    ["contentType"] = call.Parsed.GetValue(contentType),
                    ["contentEncoding"] = call.Parsed.GetValue(contentEncoding),
                    ["expiryTimeUtc"] = call.Parsed.GetValue(expiry),
                    ["ack"] = call.Parsed.GetValue(ack),
                    ["properties"] = Properties(call.Parsed.GetValue(properties)),
                };
                return await call.Client.SendAsync(HttpMethod.Post, Path(call, device, module), body, cancel: call.Cancel).ConfigureAwait(false);
            });
    }

    private static Verb ListVerb(HubVerbs verbs)
    {
        var (device, module) = (Device(), Module());
        var top = Flags.Number("--top", "N", "At most so many, 1 to 1000", 1, 1000, 1000);
        return verbs.Create("list", "List the messages that wait for a device, without their bodies", "device c2d-message list -d d1 -o table", [device, module, top], Waiting,
            call => call.Client.SendAsync(HttpMethod.Get, $"{Path(call, device, module)}?top={call.Parsed.GetValue(top)}", cancel: call.Cancel));
    }

    private static Verb ReceiveVerb(HubVerbs verbs)
    {
        var (device, module) = (Device(), Module());
        return verbs.Create(
            "receive", "Take the next message in the place of the device; its etag completes, abandons or rejects it within 60 s. Prints nothing when there is none",
            "device c2d-message receive -d d1", [device, module], Taken,
            call => call.Client.SendAsync(HttpMethod.Post, $"{Path(call, device, module)}/receive", cancel: call.Cancel));
    }

    private static Verb SettleVerb(HubVerbs verbs, string name, string description)
    {
        var (device, module) = (Device(), Module());
        var etag = Flags.Required("--etag", "ETAG", "The lockToken that receive printed", "-e");
        return verbs.Create(name, description, $"device c2d-message {name} -d d1 --etag 00000000-0000-0000-0000-000000000000", [device, module, etag], Printing.Nothing, async call =>
        {
            await call.Client.SendAsync(
                HttpMethod.Post, $"{Path(call, device, module)}/{Uri.EscapeDataString(call.Parsed.GetValue(etag)!)}/{name}", cancel: call.Cancel).ConfigureAwait(false);
            return null;
        });
    }

    private static Verb PurgeVerb(HubVerbs verbs)
    {
        var (device, module) = (Device(), Module());
        return verbs.Create("purge", "Delete the messages that wait for a device; feedback says so", "device c2d-message purge -d d1", [device, module], Purged,
            call => call.Client.SendAsync(HttpMethod.Delete, $"{Owner(call, device, module)}/commands", cancel: call.Cancel));
    }

    private static Verb ListDeadVerb(HubVerbs verbs)
    {
        var device = Flags.Text("--device-id", "ID", "Of this device and its modules. Default: of all", "-d");
        var top = Flags.Number("--top", "N", "At most so many, 1 to 1000", 1, 1000, 100);
        var after = Flags.Number("--after", "NUMBER", "Only those behind this one", 0, long.MaxValue, 0);
        return verbs.Create(
            "list-dead", "List messages that were given up, the oldest first, with why: rejected, expired, abandoned too often", "device c2d-message list-dead -d d1 -o table", [device, top, after], Dead,
            call =>
            {
                var owner = call.Parsed.GetValue(device) is { } id ? $"devices/{Uri.EscapeDataString(id)}/" : "";
                return call.Client.SendAsync(
                    HttpMethod.Get, $"manage/v1/{owner}dead-commands?top={call.Parsed.GetValue(top)}&after={call.Parsed.GetValue(after)}", cancel: call.Cancel);
            });
    }

    private static Verb ReplayVerb(HubVerbs verbs)
    {
        var device = Device();
        var number = Flags.Number("--number", "NUMBER", "The number that list-dead shows", 1, long.MaxValue, null, "-n");
        number.Required = true;
        return verbs.Create("replay", "Send a message that was given up again, as if it were new", "device c2d-message replay -d d1 -n 7", [device, number], Sent,
            call => call.Client.SendAsync(
                HttpMethod.Post, $"manage/v1/devices/{Uri.EscapeDataString(call.Parsed.GetValue(device)!)}/dead-commands/{call.Parsed.GetValue(number)}/replay", cancel: call.Cancel));
    }

    private static Option<string> Device() => Flags.Required("--device-id", "ID", "The device", "-d");

    private static Option<string> Module() => Flags.Text("--module-id", "ID", "This module of the device", "-m");

    private static string Owner(HubCall call, Option<string> device, Option<string> module) =>
        $"devices/{Uri.EscapeDataString(call.Parsed.GetValue(device)!)}{(call.Parsed.GetValue(module) is { } id ? $"/modules/{Uri.EscapeDataString(id)}" : "")}";

    private static string Path(HubCall call, Option<string> device, Option<string> module) => $"manage/v1/{Owner(call, device, module)}/commands";

    private static JsonObject? Properties(string? text)
    {
        if (text is null)
            return null;

        var properties = new JsonObject();
        foreach (var (name, value) in MessageProperties.Read(text))
            properties[name] = value;
        return properties;
    }
}
