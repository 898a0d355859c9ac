using System.Text.Json.Nodes;
using Sallyport.Protocol.ConnectionStrings;

namespace Sallyport.Cli;

/// <summary>A device, or a module of one, and what the hub does with it.</summary>
/// <param name="ModuleId">Null for the device itself.</param>
internal sealed record IdentityName(string DeviceId, string? ModuleId)
{
    public Task<JsonObject> GetAsync(HubCall call) => ModuleId is null
        ? call.Client.GetDeviceAsync(DeviceId, call.Cancel)
        : call.Client.GetModuleAsync(DeviceId, ModuleId, call.Cancel);

    public Task<JsonObject> PutAsync(HubCall call, JsonObject fields, string? ifMatch) => ModuleId is null
        ? call.Client.PutDeviceAsync(DeviceId, fields, ifMatch, call.Cancel)
        : call.Client.PutModuleAsync(DeviceId, ModuleId, fields, ifMatch, call.Cancel);

    public Task DeleteAsync(HubCall call, string ifMatch) => ModuleId is null
        ? call.Client.DeleteDeviceAsync(DeviceId, ifMatch, call.Cancel)
        : call.Client.DeleteModuleAsync(DeviceId, ModuleId, ifMatch, call.Cancel);

    /// <param name="identity">As the hub showed it.</param>
    /// <exception cref="FailedException">It has no keys, or the policy may not see them.</exception>
    public string Key(JsonObject identity, HubCall call, string keyType)
    {
        var type = identity["authentication"]?["type"]?.GetValue<string>();
        if (type != "sas")
            throw new FailedException($"{this} has no keys: it is authenticated by {type ?? "nothing"}.");

        return identity["authentication"]?["symmetricKey"]?[$"{keyType}Key"]?.GetValue<string>()
            ?? throw new FailedException($"{char.ToUpperInvariant(call.Login.Who[0])}{call.Login.Who[1..]} may not see keys: use one that holds RegistryRead.");
    }

    /// <exception cref="FailedException">The policy may not see keys, or an id cannot be said in a connection string.</exception>
    public string ConnectionString(JsonObject identity, HubCall call, string keyType)
    {
        var hasKeys = identity["authentication"]?["type"]?.GetValue<string>() == "sas";
        var text = new ConnectionString
        {
            HostName = call.Login.HostName,
            DeviceId = DeviceId,
            ModuleId = ModuleId,
            SharedAccessKey = hasKeys ? Key(identity, call, keyType) : null,
        };
        try
        {
            return hasKeys ? text.Format() : $"{text.Format()};x509=true";
        }
        catch (FormatException unsayable)
        {
            throw new FailedException($"{this} has no connection string: {unsayable.Message}.", unsayable);
        }
    }

    public override string ToString() => ModuleId is null ? DeviceId : $"{DeviceId}/{ModuleId}";
}
