using System.Text;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Moving;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Configurations;

/// <summary>Configurations in the files of import and export jobs: a line each, as REST shows it. Thread-safe.</summary>
public sealed class MovedConfigurations(AutomaticConfigurations configurations, IMetadata metadata) : IMovedConfigurations
{
    private static readonly Dictionary<string, long> NoResults = [];

    public IEnumerable<string> Export() =>
        metadata.Read(metadata.Configurations.List).Select(record => Encoding.UTF8.GetString(ConfigurationState.Encode(new ConfigurationState(record, NoResults, NoResults, null))));

    /// <inheritdoc/>
    /// <remarks>One that is there, of the same content, gets the rest of it.</remarks>
    public async ValueTask ImportAsync(Actor actor, string line, CancellationToken cancel)
    {
        if ((actor.Rights & ConfigurationInForce.Needed) != ConfigurationInForce.Needed)
            throw new HubException(HubErrors.UnauthorizedAccess, HubErrors.UnauthorizedAccess.Meaning);

        var body = Encoding.UTF8.GetBytes(line);
        var draft = ConfigurationDraft.Read(body);
        var id = draft.Id ?? throw new HubException(HubErrors.ArgumentNull, "id: is missing");
        try
        {
            await configurations.PutAsync(actor, id, draft, condition: null, cancel).ConfigureAwait(false);
        }
        catch (HubException exists) when (exists.Error == HubErrors.Conflict)
        {
            await configurations.PutAsync(actor, id, draft, EntityTagCondition.Any, cancel).ConfigureAwait(false);
        }
    }
}
