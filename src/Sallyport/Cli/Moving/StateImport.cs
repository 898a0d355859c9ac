using System.Net;
using System.Text.Json.Nodes;
using Sallyport.Client.Service;

namespace Sallyport.Cli.Moving;

/// <summary>Brings a <see cref="StateFile"/> into a hub. Not thread-safe.</summary>
internal sealed class StateImport(ServiceClient client, DevicesImport identities)
{
    private static readonly string[] OfConfiguration = ["labels", "content", "targetCondition", "priority", "metrics"];

    private const string OtherForm = "it has another form than az iot hub state export gives it today: export once more with a newer azure-iot extension";

    private static readonly Dictionary<string, string> Reasons = new(StringComparer.Ordinal)
    {
        ["arm"] = "it is of Azure's resource manager: endpoints and routes are connections here (`connection create`), certificates of authorities are registered with `certificate create`",
        ["configurations"] = OtherForm, ["edgeDeployments"] = OtherForm, ["devices"] = OtherForm, ["modules"] = OtherForm,
    };

    public async Task RunAsync(string path, CancellationToken cancel)
    {
        await foreach (var (section, name, value) in StateFile.ReadAsync(path, cancel).ConfigureAwait(false))
        {
            if (section is StateFile.Configurations or StateFile.Deployments)
                await ConfigurationAsync(section is StateFile.Deployments ? "edge deployment" : "configuration", name, value, cancel).ConfigureAwait(false);
            else if (section == StateFile.Devices && value is JsonObject device)
                await DeviceAsync(name, device, cancel).ConfigureAwait(false);
            else if (section == StateFile.Devices)
                identities.Note((name, null), "cannot", "it is no JSON object");
            else
                identities.NoteItem(section.Length == 0 ? name : $"{section}.{name}", "cannot", Reasons.GetValueOrDefault(name, "a state file has nothing of this name"));
        }

        await identities.FinishAsync(cancel).ConfigureAwait(false);
    }

    private async Task DeviceAsync(string id, JsonObject device, CancellationToken cancel)
    {
        if (device["identity"] is not JsonObject identity)
        {
            identities.Note((id, null), "cannot", "it has no identity");
            return;
        }

        await identities.AddAsync(LineOf(id, null, identity, device["twin"] as JsonObject), cancel).ConfigureAwait(false);
        if (TextOf(device["parent"]) is { } parent)
            identities.SetParent(id, parent);
        foreach (var (moduleId, module) in device["modules"] as JsonObject ?? [])
        {
            if (module is JsonObject { } one && one["identity"] is JsonObject ofModule)
                await identities.AddAsync(LineOf(id, moduleId, ofModule, one["twin"] as JsonObject), cancel).ConfigureAwait(false);
            else
                identities.Note((id, moduleId), "cannot", "it has no identity");
        }
    }

    // The modules of the edge runtime come with their device: only their twins are taken.
    private static JsonObject LineOf(string id, string? moduleId, JsonObject identity, JsonObject? twin)
    {
        var line = new JsonObject { ["id"] = id };
        if (moduleId is not null)
            line["moduleId"] = moduleId;
        if (moduleId is ['$', ..])
            line["importMode"] = "updateTwin";
        foreach (var name in moduleId is ['$', ..] ? [] : (string[])["status", "statusReason", "authentication", "capabilities", "managedBy"])
        {
            if (identity[name] is { } value)
                line[name] = value.DeepClone();
        }

        foreach (var name in (string[])["tags", "properties"])
        {
            if (twin?[name] is { } value)
                line[name] = value.DeepClone();
        }

        return line;
    }

    private async Task ConfigurationAsync(string kind, string id, JsonNode? value, CancellationToken cancel)
    {
        var body = new JsonObject { ["id"] = id, ["schemaVersion"] = "1.0" };
        foreach (var name in OfConfiguration)
        {
            if ((value as JsonObject)?[name] is { } member)
                body[name] = member.DeepClone();
        }

        try
        {
            await PutAsync(id, body, cancel).ConfigureAwait(false);
            identities.NoteItem($"{kind} {id}", "done", null);
        }
        catch (ServiceException refusal)
        {
            identities.NoteItem($"{kind} {id}", "cannot", refusal.Status is HttpStatusCode.NotFound ? "this hub has no automatic configurations" : refusal.Message);
        }
    }

    // What is there already is brought to what the file says.
    private async Task PutAsync(string id, JsonObject body, CancellationToken cancel)
    {
        var path = $"configurations/{Uri.EscapeDataString(id)}";
        try
        {
            await client.SendAsync(HttpMethod.Put, path, body, cancel: cancel).ConfigureAwait(false);
        }
        catch (ServiceException there) when (there.Status is HttpStatusCode.Conflict or HttpStatusCode.PreconditionFailed)
        {
            await client.SendAsync(HttpMethod.Put, path, body, "*", cancel).ConfigureAwait(false);
        }
    }

    private static string? TextOf(JsonNode? node) => node is JsonValue value && value.TryGetValue<string>(out var text) && text.Length > 0 ? text : null;
}
