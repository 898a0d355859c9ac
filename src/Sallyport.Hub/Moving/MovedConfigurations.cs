using System.Text;
using System.Text.Json.Nodes;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Configurations;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;

namespace Sallyport.Hub.Moving;

/// <summary>Automatic configurations and edge deployments in jobs that are asked for them (<c>includeConfigurations</c>): a line of JSON each. Thread-safe.</summary>
public sealed class MovedConfigurations(AutomaticConfigurations configurations)
{
    /// <summary>What making one needs.</summary>
    public const Rights ToImport = Rights.ConfigurationManage | Rights.TwinRead | Rights.TwinWrite;

    /// <summary>All of them as REST shows them.</summary>
    /// <exception cref="HubException">429.</exception>
    internal async ValueTask<IReadOnlyList<byte[]>> ExportAsync(Actor actor, CancellationToken cancel) =>
        [.. (await configurations.ListAsync(actor, ConfigurationOptions.MostConfigurations, cancel).ConfigureAwait(false)).Select(ConfigurationState.Encode)];

    /// <summary>Makes one, or changes what may be changed of one that is there.</summary>
    /// <exception cref="HubException">As <see cref="AutomaticConfigurations.PutAsync"/>.</exception>
    internal async ValueTask ImportAsync(Actor actor, JsonObject line, CancellationToken cancel)
    {
        var draft = ConfigurationDraft.Read(Encoding.UTF8.GetBytes(line.ToJsonString()));
        var id = draft.Id ?? throw new HubException(HubErrors.ArgumentNull, "id: is missing");
        try
        {
            await configurations.PutAsync(actor, id, draft, condition: null, cancel).ConfigureAwait(false);
        }
        catch (HubException there) when (there.Error.HttpStatus == 409)
        {
            await configurations.PutAsync(actor, id, draft, EntityTagCondition.Any, cancel).ConfigureAwait(false);
        }
    }
}
