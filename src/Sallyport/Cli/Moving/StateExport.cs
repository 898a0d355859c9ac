using System.Net;
using System.Text.Json;
using System.Text.Json.Nodes;
using Sallyport.Client.Service;
using Sallyport.Protocol.Identities;

namespace Sallyport.Cli.Moving;

/// <summary>Writes what a hub has as <c>az iot hub state export</c> does, device by device. Not thread-safe.</summary>
internal sealed class StateExport(HubCall call)
{
    // What that command leaves out, because no hub takes it.
    private static readonly string[] NotOfIdentity =
        ["cloudToDeviceMessageCount", "configurations", "deviceEtag", "deviceScope", "lastActivityTime", "parentScopes", "statusUpdateTime", "etag", "version", "deviceId", "properties", "tags", "authenticationType", "x509Thumbprint"];

    private static readonly string[] NotOfModule = ["generationId", "connectionStateUpdatedTime", "lastActivityTime", "cloudToDeviceMessageCount", "etag", "deviceId", "moduleId"];

    private static readonly string[] NotOfModuleTwin =
        ["deviceEtag", "lastActivityTime", "etag", "version", "cloudToDeviceMessageCount", "statusUpdateTime", "authenticationType", "connectionState", "deviceId", "moduleId", "x509Thumbprint"];

    public int Devices { get; private set; }

    public int Modules { get; private set; }

    public int Configurations { get; private set; }

    public int WithoutKeys { get; private set; }

    public async Task WriteAsync(Stream file)
    {
        await using var json = new Utf8JsonWriter(file, new JsonWriterOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
        json.WriteStartObject();
        await ConfigurationsAsync(json).ConfigureAwait(false);
        json.WriteStartObject("devices");
        await foreach (var device in RegistryReading.ReadAsync(call.Client, call.Cancel).ConfigureAwait(false))
        {
            json.WritePropertyName(device.Identity["deviceId"]!.ToString());
            Of(device).WriteTo(json);
            await json.FlushAsync(call.Cancel).ConfigureAwait(false);
        }

        json.WriteEndObject();
        json.WriteEndObject();
    }

    private async Task ConfigurationsAsync(Utf8JsonWriter json)
    {
        var all = await ListConfigurationsAsync().ConfigureAwait(false);
        Configurations = all.Count;
        json.WriteStartObject("configurations");
        foreach (var (name, isDeployments) in new[] { ("admConfigurations", false), ("edgeDeployments", true) })
        {
            json.WriteStartObject(name);
            foreach (var one in all.Where(one => one["content"]?["modulesContent"] is JsonObject { Count: > 0 } == isDeployments))
            {
                if (!isDeployments)
                    Remove(one, ["createdTimeUtc", "etag", "lastUpdatedTimeUtc", "schemaVersion"]);
                json.WritePropertyName(one["id"]!.ToString());
                one.WriteTo(json);
            }

            json.WriteEndObject();
        }

        json.WriteEndObject();
    }

    private async Task<List<JsonObject>> ListConfigurationsAsync()
    {
        try
        {
            return [.. (await call.Client.SendAsync(HttpMethod.Get, "configurations", cancel: call.Cancel).ConfigureAwait(false) as JsonArray ?? []).OfType<JsonObject>().Select(one => one.DeepClone().AsObject())];
        }
        catch (ServiceException refusal) when (refusal.Status is HttpStatusCode.NotFound)
        {
            return []; // A hub without them has none.
        }
    }

    private JsonObject Of(ReadDevice device)
    {
        var state = new JsonObject();
        if (EdgeScope.TryReadDevice((device.Identity["parentScopes"] as JsonArray) is [JsonValue scope, ..] ? scope.ToString() : null, out var parent))
            state["parent"] = parent;
        state["twin"] = TwinOf(device.Twin ?? []);
        var identity = (device.Twin ?? device.Identity).DeepClone().AsObject();
        Remove(identity, NotOfIdentity);
        identity["authentication"] = Counted(device.Identity["authentication"]);
        state["identity"] = identity;
        Devices++;
        if (device.Modules.Count == 0)
            return state;

        var modules = new JsonObject();
        foreach (var (module, twin) in device.Modules)
        {
            var ofModule = module.DeepClone().AsObject();
            Remove(ofModule, NotOfModule);
            ofModule["authentication"] = Counted(module["authentication"]);
            var moduleTwin = (twin ?? []).DeepClone().AsObject();
            Remove(moduleTwin, NotOfModuleTwin);
            moduleTwin["properties"] = PropertiesOf(moduleTwin);
            modules[module["moduleId"]!.ToString()] = new JsonObject { ["identity"] = ofModule, ["twin"] = moduleTwin };
            Modules++;
        }

        state["modules"] = modules;
        return state;
    }

    private static JsonObject TwinOf(JsonObject twin)
    {
        var written = new JsonObject { ["properties"] = PropertiesOf(twin) };
        if (twin["tags"] is JsonObject { Count: > 0 } tags)
            written["tags"] = tags.DeepClone();
        return written;
    }

    private static JsonObject PropertiesOf(JsonObject twin)
    {
        var desired = (twin["properties"]?["desired"] as JsonObject)?.DeepClone().AsObject() ?? [];
        Remove(desired, ["$metadata", "$version"]);
        return new JsonObject { ["desired"] = desired };
    }

    private JsonNode? Counted(JsonNode? authentication)
    {
        if ((string?)authentication?["type"] == "sas" && authentication["symmetricKey"]?["primaryKey"] is null)
            WithoutKeys++;
        return authentication?.DeepClone();
    }

    private static void Remove(JsonObject from, string[] names)
    {
        foreach (var name in names)
            from.Remove(name);
    }
}
