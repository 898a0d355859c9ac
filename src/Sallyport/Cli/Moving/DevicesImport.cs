using System.Text.Json.Nodes;
using Sallyport.Client.Service;
using Sallyport.Hub.Moving;

namespace Sallyport.Cli.Moving;

/// <summary>Brings the lines of a <see cref="DevicesFile"/> into a hub, many in a request, and notes what became of each. Not thread-safe.</summary>
/// <remarks>Scopes come last: they name a parent by the generation that it had in the other hub, and it has to be there.</remarks>
internal sealed class DevicesImport(ServiceClient client)
{
    private const int MaxItems = 100; // of a bulk request
    private const int MaxRequestLength = 200_000;

    private readonly List<JsonObject> _outcomes = [];
    private readonly Dictionary<(string, string?), JsonObject> _byName = [];
    private readonly List<(string Id, string Parent)> _parents = [];
    private readonly List<JsonObject> _batch = [];
    private readonly HashSet<(string, string?)> _inBatch = [];
    private int _batchLength;

    public int Count => _outcomes.Count;

    public int CannotCount => _outcomes.Count(outcome => (string?)outcome["result"] == "cannot");

    public JsonArray Outcomes() => [.. _outcomes.Select(outcome => outcome.DeepClone())];

    public async Task RunAsync(string path, CancellationToken cancel)
    {
        await foreach (var (line, problem) in DevicesFile.ReadAsync(path, cancel).ConfigureAwait(false))
        {
            if (line is null)
                _outcomes.Add(new JsonObject { ["deviceId"] = null, ["moduleId"] = null, ["result"] = "cannot", ["why"] = problem });
            else
                await AddAsync(line, cancel).ConfigureAwait(false);
        }

        await FinishAsync(cancel).ConfigureAwait(false);
    }

    /// <summary>Does what is left: who is below whom comes last.</summary>
    public async Task FinishAsync(CancellationToken cancel)
    {
        await SendAsync(cancel).ConfigureAwait(false);
        await AttachParentsAsync(cancel).ConfigureAwait(false);
    }

    /// <summary>The device is below an edge device.</summary>
    public void SetParent(string id, string parent) => _parents.Add((id, parent));

    /// <summary>What became of something that is no identity.</summary>
    public void NoteItem(string item, string result, string? why) =>
        _outcomes.Add(new JsonObject { ["deviceId"] = null, ["moduleId"] = null, ["item"] = item, ["result"] = result, ["why"] = why });

    /// <summary>Takes a line as <see cref="DevicesLine"/> says.</summary>
    public async Task AddAsync(JsonObject line, CancellationToken cancel)
    {
        var item = DevicesLine.ToBulkItem(line);
        var name = NameOf(item);
        if (item["importMode"]!.ToString().EndsWith("IfMatchETag", StringComparison.OrdinalIgnoreCase))
        {
            Note(name, "cannot", "importMode: an ETag of the other hub is none of this one's; leave IfMatchETag out");
            return;
        }

        var length = item.ToJsonString().Length;
        if (_batch.Count == MaxItems || _batchLength + length > MaxRequestLength || _inBatch.Contains(name))
            await SendAsync(cancel).ConfigureAwait(false);
        _batch.Add(item);
        _inBatch.Add(name);
        _batchLength += length;
        var hasReported = line["properties"]?["reported"] is JsonObject reported && reported.Any(member => !member.Key.StartsWith('$'));
        Note(name, hasReported ? "differs" : "done", hasReported ? "reported properties are the device's: they come when it reports them" : null);
        if (name.Module is null && DevicesLine.ParentOf(line, out _) is { } parent)
            _parents.Add((name.Id, parent));
    }

    private async Task SendAsync(CancellationToken cancel)
    {
        if (_batch.Count == 0)
            return;

        var answer = await client.ChangeDevicesAsync([.. _batch], cancel).ConfigureAwait(false);
        foreach (var error in answer["errors"]?.AsArray().OfType<JsonObject>() ?? [])
            Note(((string?)error["deviceId"] ?? "", (string?)error["moduleId"]), "cannot", $"{error["errorCode"]}: {error["errorStatus"]}");
        _batch.Clear();
        _inBatch.Clear();
        _batchLength = 0;
    }

    private async Task AttachParentsAsync(CancellationToken cancel)
    {
        foreach (var (id, parent) in _parents)
        {
            if ((string?)_byName[(id, null)]["result"] == "cannot")
                continue;
            try
            {
                var scope = (await client.GetDeviceAsync(parent, cancel).ConfigureAwait(false))["deviceScope"];
                if (scope is null)
                {
                    Note((id, null), "differs", $"its parent {parent} is no edge device here");
                    continue;
                }

                _batch.Add(new JsonObject { ["id"] = id, ["importMode"] = "update", ["parentScopes"] = new JsonArray(scope.DeepClone()) });
                await SendAsync(cancel).ConfigureAwait(false);
            }
            catch (ServiceException refusal)
            {
                Note((id, null), "differs", $"without its parent {parent}: {refusal.Message}");
            }
        }
    }

    private static (string Id, string? Module) NameOf(JsonObject item) => (item["id"]!.ToString(), item["moduleId"]?.ToString());

    // What an identity came to is said once; the worst of it.
    public void Note((string Id, string? Module) name, string result, string? why)
    {
        if (!_byName.TryGetValue(name, out var outcome))
        {
            _byName[name] = outcome = new JsonObject { ["deviceId"] = name.Id, ["moduleId"] = name.Module };
            _outcomes.Add(outcome);
        }

        if ((string?)outcome["result"] is "cannot" || ((string?)outcome["result"] is "differs" && result == "done"))
            return;
        outcome["result"] = result;
        outcome["why"] = why;
    }
}
