using System.CommandLine;
using System.Text.Json.Nodes;

namespace Sallyport.Cli;

/// <summary><c>device</c>: what Azure lacks, about single devices.</summary>
internal static class DeviceCommand
{
    private static readonly Printing Quarantine = Printing.Table(
        new("DeviceId", "deviceId"), new("InQuarantine", "inQuarantine"), new("Since", "since"), new("PlacedBy", "placedBy"), new("Reason", "reason"));

    public static Command Create(HubVerbs verbs) => new("device", "Devices as the hub sees them: quarantine, diagnosis, messages to and from them, files of them")
    {
        QuarantineVerb(verbs),
        ReleaseVerb(verbs),
        ListQuarantinedVerb(verbs),
        DiagnoseVerb(verbs),
        SendTelemetryCommand.Create(verbs),
        CommandCommand.Create(verbs),
        FileCommand.UploadVerb(verbs),
        FileCommand.Create(verbs),
    };

    private static readonly Printing Attempts = Printing.Table(
        new("Time", "time"), new("Outcome", "outcome"), new("Times", "count"), new("Protocol", "protocol"), new("Peer", "peer"), new("Code", "code"),
        new("Reason", row => row["outcome"]?.GetValue<string>() == "takenOver" ? $"{Column.Text(row["reason"])} from {Column.Text(row["takenOverBy"])}" : Column.Text(row["reason"])),
        new("Credential", row => Column.Text(row["credential"]) is { Length: > 16 } fingerprint ? fingerprint[..16] : Column.Text(row["credential"])));

    /// <summary>Where the quarantine of a device is.</summary>
    public static string QuarantinePath(string deviceId) => $"manage/v1/devices/{Uri.EscapeDataString(deviceId)}/quarantine";

    private static Verb QuarantineVerb(HubVerbs verbs)
    {
        var id = Id();
        var reason = Flags.Text("--reason", "TEXT", "Why; in the audit trail and wherever the quarantine is shown", "-r");
        var verb = verbs.Create(
            "quarantine", "Put a device into quarantine: it connects and may report, receives nothing, and only `monitor-events --quarantine` shows its data",
            "device quarantine d1 --reason 'seal broken'", [reason], Quarantine,
            call => call.Client.SendAsync(
                HttpMethod.Put, QuarantinePath(call.Parsed.GetValue(id)!), new JsonObject { ["reason"] = call.Parsed.GetValue(reason) }, cancel: call.Cancel));
        verb.Add(id);
        return verb;
    }

    private static Verb ReleaseVerb(HubVerbs verbs)
    {
        var id = Id();
        var reason = Flags.Text("--reason", "TEXT", "Why; in the audit trail", "-r");
        var verb = verbs.Create(
            "release", "Release a device from quarantine; what it reported meanwhile stays there", "device release d1 --reason 'looked at, all well'", [reason], Printing.Nothing,
            async call =>
            {
                var query = call.Parsed.GetValue(reason) is { } why ? $"?reason={Uri.EscapeDataString(why)}" : "";
                await call.Client.SendAsync(HttpMethod.Delete, QuarantinePath(call.Parsed.GetValue(id)!) + query, cancel: call.Cancel).ConfigureAwait(false);
                return null;
            });
        verb.Add(id);
        return verb;
    }

    private static Verb ListQuarantinedVerb(HubVerbs verbs)
    {
        var top = Flags.Number("--top", "N", "At most so many, 1 to 1000", 1, 1000, 1000);
        var after = Flags.Text("--after", "ID", "Only those behind this id");
        return verbs.Create("list-quarantined", "List the devices in quarantine", "device list-quarantined -o table", [top, after], Quarantine, call =>
        {
            var query = $"top={call.Parsed.GetValue(top)}" + (call.Parsed.GetValue(after) is { } id ? $"&after={Uri.EscapeDataString(id)}" : "");
            return call.Client.SendAsync(HttpMethod.Get, $"manage/v1/quarantine?{query}", cancel: call.Cancel);
        });
    }

    private static Verb DiagnoseVerb(HubVerbs verbs)
    {
        var id = new Argument<string?>("ID") { Description = "The device; without it, what was tried under names that do not exist", Arity = ArgumentArity.ZeroOrOne };
        var named = Flags.Text("--device-id", "ID", "The same as ID", "-d");
        var module = Flags.Text("--module-id", "ID", "This module of the device", "-m");
        var verb = verbs.Create(
            "diagnose", "Say why a device was refused or went: its last 50 attempts with the exact reason, duels, clock skew, certificates",
            "device diagnose d1 -o table", [named, module], Attempts, async call =>
            {
                var device = call.Parsed.GetValue(id) ?? call.Parsed.GetValue(named);
                if (device is null)
                    return await call.Client.SendAsync(HttpMethod.Get, "manage/v1/diagnosis/strangers", cancel: call.Cancel).ConfigureAwait(false);

                var path = $"manage/v1/devices/{Uri.EscapeDataString(device)}{(call.Parsed.GetValue(module) is { } of ? $"/modules/{Uri.EscapeDataString(of)}" : "")}/diagnosis";
                var diagnosis = (await call.Client.SendAsync(HttpMethod.Get, path, cancel: call.Cancel).ConfigureAwait(false))!.AsObject();
                if (call.Output != "table")
                    return diagnosis;

                await call.Terminal.Out.WriteLineAsync(Printing.Printable(Column.Text(diagnosis["summary"]))).ConfigureAwait(false);
                return diagnosis["attempts"]!.DeepClone();
            });
        verb.Add(id);
        verb.Validators.Add(given =>
        {
            if (given.GetResult(id)?.Tokens.Count > 0 && given.GetResult(named) is not null)
                given.AddError("Give one of ID and --device-id.");
            if (given.GetResult(module) is not null && given.GetResult(named) is null && given.GetResult(id)?.Tokens.Count is not > 0)
                given.AddError("--module-id needs a device.");
        });
        return verb;
    }

    private static Argument<string> Id() => new("ID") { Description = "The device" };
}
