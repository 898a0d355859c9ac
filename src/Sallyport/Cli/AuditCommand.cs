using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Sallyport.Hub.Audit;
using Sallyport.Storage.Secrets;

namespace Sallyport.Cli;

/// <summary><c>audit</c>: the trail of who did what, and whether it is still what was written (<c>docs/audit.md</c>).</summary>
internal static class AuditCommand
{
    /// <summary>What one request to a running hub may carry; the newest are sent.</summary>
    private const int MaxAnchorsSent = 1000;

    private static readonly Printing Entries = Printing.Table(
        new("Sequence", "sequence"), new("Time", "time"), new("Principal", "principal"), new("Action", "action"), new("Target", "target"), new("Result", "result"),
        new("Count", "count"), new("Peer", "peer"), new("Reason", "reason"));

    private static readonly Printing Findings = Printing.Table(new("Fault", "fault"), new("File", "file"), new("Line", "line"), new("Sequence", "sequence"), new("What", "what"));

    public static Command Create(HubVerbs verbs, Terminal terminal) => new("audit", "The audit trail: who did what, when, from where, and with which result")
    {
        ListVerb(verbs),
        ExportVerb(verbs),
        VerifyVerb(verbs, terminal),
        AnchorVerb(verbs, terminal),
    };

    private static Verb ListVerb(HubVerbs verbs)
    {
        var filter = new Filter();
        var top = Flags.Number("--top", "N", "No more than so many; 0 shows all", 0, int.MaxValue, 100);
        return verbs.Create(
            "list", "List entries of the trail, newest first", "audit list --principal policy:iothubowner --since 2026-08-01T00:00:00Z --top 20 -o table",
            [.. filter.All, top], Entries, async call =>
            {
                var wanted = call.Parsed.GetValue(top) is > 0 and var some ? (long)some : long.MaxValue;
                var all = new JsonArray();
                var to = "";
                while (all.Count < wanted)
                {
                    var page = (await call.Client.SendAsync(
                        HttpMethod.Get, $"manage/v1/audit?{filter.Query(call.Parsed)}&top={Math.Min(wanted - all.Count, AuditReader.MaxTop)}{to}", cancel: call.Cancel).ConfigureAwait(false))!.AsObject();
                    foreach (var entry in page["entries"]!.AsArray().ToList())
                    {
                        entry!.Parent!.AsArray().Remove(entry);
                        all.Add(entry);
                    }

                    if (page["next"] is not { } next)
                        break;
                    to = $"&to={next.GetValue<long>()}";
                }

                return all;
            });
    }

    private static Verb ExportVerb(HubVerbs verbs)
    {
        var filter = new Filter();
        return verbs.Create(
            "export", "Write entries of the trail, oldest first, one JSON object a line as they are in the files", "audit export --since 2026-08-01T00:00:00Z > august.jsonl",
            filter.All, Printing.Nothing, async call =>
            {
                await foreach (var line in call.Client.StreamAsync($"manage/v1/audit/export?{filter.Query(call.Parsed)}", call.Cancel).ConfigureAwait(false))
                    await call.Terminal.Out.WriteLineAsync(line.ToJsonString()).ConfigureAwait(false);
                return null;
            });
    }

    private static Verb VerifyVerb(HubVerbs verbs, Terminal terminal)
    {
        var (directory, keyFile) = (Directory(), KeyFileOption());
        var anchors = Flags.Several("--anchor", "FILE", "File with anchors that were kept elsewhere: from audit anchor, or collected from syslog or a webhook (repeat for more)", _ => null);
        return verbs.Create(
            "verify",
            "Check the trail line by line: changed, removed, moved, doubled and foreign entries; with anchors also what was cut off, put back or written anew. Exit 1 when something is wrong",
            "audit verify --directory /var/lib/sallyport/data/audit --anchor anchors.jsonl", [directory, keyFile, anchors], Printing.Streamed,
            async call =>
            {
                var kept = ReadAnchors(call.Parsed.GetValue(anchors)).OrderByDescending(anchor => (anchor.File, anchor.Line)).Take(MaxAnchorsSent);
                var answer = await call.Client.SendAsync(
                    HttpMethod.Post, "manage/v1/audit/verify",
                    new JsonObject { ["anchors"] = new JsonArray([.. kept.Select(anchor => (JsonNode)anchor.ToJson())]) }, cancel: call.Cancel).ConfigureAwait(false);
                Show(call.Terminal, call.Output, answer!.AsObject());
                return null;
            },
            (parsed, output, cancel) => parsed.GetValue(directory) is not { } path ? null : Task.Run(
                () => Show(terminal, output, JsonSerializer.SerializeToNode(VerifyDirectory(path, parsed.GetValue(keyFile), ReadAnchors(parsed.GetValue(anchors)), cancel), AuditJson.Wire.AuditVerification)!.AsObject()),
                cancel));
    }

    private static Verb AnchorVerb(HubVerbs verbs, Terminal terminal)
    {
        var (directory, keyFile) = (Directory(), KeyFileOption());
        return verbs.Create(
            "anchor", "Print the head of the trail as one line, to be kept where the hub cannot reach it", "audit anchor >> /mnt/elsewhere/anchors.jsonl", [directory, keyFile], Printing.Streamed,
            async call =>
            {
                var answer = await call.Client.SendAsync(HttpMethod.Get, "manage/v1/audit/anchor", cancel: call.Cancel).ConfigureAwait(false);
                await call.Terminal.Out.WriteLineAsync(answer!.ToJsonString()).ConfigureAwait(false);
                return null;
            },
            (parsed, _, cancel) => parsed.GetValue(directory) is not { } path ? null : Task.Run(
                () =>
                {
                    var found = VerifyDirectory(path, parsed.GetValue(keyFile), [], cancel);
                    if (!found.IsSound || found.Head is null)
                        throw new FailedException($"The trail in {path} {(found.Head is null ? "has no chain yet" : "is not what was written")}, so its head says nothing: look at it with sallyport audit verify --directory {path}.");
                    terminal.Out.WriteLine(found.Head.ToJson());
                },
                cancel));
    }

    private static Option<string> Directory() => Flags.Text("--directory", "DIR", "Read the files there (DATA/audit, or an archive of it) instead of asking a hub; one may be running on them");

    private static Option<string> KeyFileOption() => Flags.Text("--key-file", "FILE", "With --directory: the hub's key; default: where up would look for it, and without it only hashes are checked");

    private static AuditVerification VerifyDirectory(string directory, string? keyFile, IReadOnlyList<AuditAnchor> anchors, CancellationToken cancel)
    {
        try
        {
            if (!System.IO.Directory.Exists(directory) || AuditVerifier.IsEmpty(directory))
                throw new FailedException($"There is no audit trail in {directory}: name the directory audit of a data directory with --directory.");

            var keys = AuditVerifier.HubIdOf(directory) is { } hub && KeyFile.TryRead(hub, directory, keyFile, Environment.GetEnvironmentVariable) is { } ring ? new AuditKeys(hub, ring) : null;
            return AuditVerifier.Verify(directory, keys, anchors, cancel);
        }
        catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException)
        {
            throw new FailedException($"The audit trail in {directory} cannot be read: {unreadable.Message.TrimEnd('.')}.", unreadable);
        }
    }

    private static List<AuditAnchor> ReadAnchors(string[]? files)
    {
        var all = new List<AuditAnchor>();
        foreach (var file in files ?? [])
        {
            try
            {
                var read = AuditAnchor.ReadAll(File.ReadAllText(file));
                if (read.Count == 0)
                    throw new FailedException($"--anchor: {file} holds no anchor; audit anchor prints one.");
                all.AddRange(read);
            }
            catch (Exception unreadable) when (unreadable is IOException or UnauthorizedAccessException or FormatException)
            {
                throw new FailedException($"--anchor: {file} cannot be read ({unreadable.Message.TrimEnd('.')}).", unreadable);
            }
        }

        return all;
    }

    /// <exception cref="FailedException">The trail is not what was written.</exception>
    private static void Show(Terminal terminal, string output, JsonObject verification)
    {
        var findings = verification["findings"]!.AsArray();
        if (output == "table")
        {
            if (findings.Count > 0)
                Findings.Write(terminal, output, findings);
            foreach (var line in verification["notes"]!.AsArray().Select(note => $"Note: {note}").Concat(verification["notExcluded"]!.AsArray().Select(what => $"Not excluded: {what}")))
                terminal.Out.WriteLine(Printing.Printable(line));
            terminal.Out.WriteLine(string.Create(
                CultureInfo.InvariantCulture, $"{(findings.Count == 0 ? "sound" : "not sound")}: {verification["files"]} files, {verification["entries"]} entries, {verification["anchors"]} anchors found"));
        }
        else
        {
            terminal.Out.WriteLine(verification.ToJsonString(Printing.Json));
        }

        if (findings.Count > 0)
            throw new FailedException($"The audit trail is not what was written ({findings.Count + verification["moreFindings"]!.GetValue<long>()} findings): begin with the first of them.");
    }

    /// <summary>The flags that choose entries.</summary>
    private sealed class Filter
    {
        private readonly (string Name, Option<string> Option)[] _texts =
        [
            ("principal", Flags.Text("--principal", "NAME", "Only acts of it: policy:iothubowner, device:d1, anonymous, …; * at the end stands for any ending")),
            ("action", Flags.Text("--action", "NAME", "Only these: \"device create\", authentication, …; * at the end stands for any ending")),
            ("target", Flags.Text("--target", "NAME", "Only on this; * at the end stands for any ending")),
            ("result", Flags.Choice("--result", "Only those that ended so", ["done", "refused"], null)),
            ("since", Flags.Text("--since", "TIME", "Not before: 2026-08-01T12:00:00Z")),
            ("until", Flags.Text("--until", "TIME", "Before: 2026-08-02T12:00:00Z")),
        ];

        public IEnumerable<Option> All => _texts.Select(text => text.Option);

        public string Query(ParseResult parsed) => string.Join('&', _texts
            .Select(text => (text.Name, Value: parsed.GetValue(text.Option)))
            .Where(text => text.Value is not null)
            .Select(text => $"{text.Name}={Uri.EscapeDataString(text.Value!)}"));
    }
}
