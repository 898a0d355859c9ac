using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Registry;

/// <summary>
/// Items of bulk requests and of imports: identities first, all in one transaction, then what is merged into their twins. Each item is done or refused
/// by itself. Thread-safe.
/// </summary>
public sealed class BulkChanges(DeviceRegistry registry, DeviceTwins twins)
{
    /// <summary>Changes the identities of those items that are not of their twin alone.</summary>
    /// <param name="items">At most <see cref="DeviceRegistry.MaxBulkItems"/>, none of them twice the same identity.</param>
    /// <param name="alongside">Done in the same transaction, with the refusals; on the store's thread, without I/O. It is called also when nothing was to be changed.</param>
    /// <returns>The items that were refused, and why.</returns>
    /// <exception cref="HubException">400: an identity is named twice; 429; 503.</exception>
    public async ValueTask<IReadOnlyDictionary<IdentityRequestJson, HubException>> ChangeIdentitiesAsync(
        Actor actor, IReadOnlyList<IdentityRequestJson> items, Action<MetadataTransaction, IReadOnlyDictionary<IdentityRequestJson, HubException>>? alongside, CancellationToken cancel)
    {
        var refusals = new Dictionary<IdentityRequestJson, HubException>(ReferenceEqualityComparer.Instance);
        var readable = new List<(IdentityRequestJson Item, IdentityChange Change)>();
        foreach (var item in items)
        {
            try
            {
                // What of its twin is against a rule, or not the actor's to change, keeps the identity too: an item is done whole or not at all.
                _ = TwinChangeOf(actor, item);
                if (!BulkItem.IsOfTwin(item))
                    readable.Add((item, BulkItem.ToChange(item)));
            }
            catch (HubException why)
            {
                refusals.Add(item, why);
            }
        }

        if (readable.Count == 0 && alongside is null)
            return refusals;

        await registry.ChangeAsync(actor, [.. readable.Select(one => one.Change)], (tx, outcomes) =>
        {
            foreach (var (refusal, index) in outcomes.Select((outcome, index) => (outcome, index)))
            {
                if (refusal is not null)
                    refusals[readable[index].Item] = refusal;
            }

            alongside?.Invoke(tx, refusals);
        }, cancel).ConfigureAwait(false);
        return refusals;
    }

    /// <summary>Merges into the twins of those items that say something of them. All at once, so that they share the disk's syncs; two of one twin are done one after the other.</summary>
    /// <returns>The items that were refused, and why.</returns>
    public async ValueTask<IReadOnlyDictionary<IdentityRequestJson, HubException>> ChangeTwinsAsync(Actor actor, IEnumerable<IdentityRequestJson> items, CancellationToken cancel)
    {
        var refusals = new Dictionary<IdentityRequestJson, HubException>(ReferenceEqualityComparer.Instance);
        var running = new List<(IdentityRequestJson Item, Task Change)>();
        foreach (var item in items)
        {
            try
            {
                if (TwinChangeOf(actor, item) is { } twin)
                    running.Add((item, twins.ChangeAsync(actor, twin.Identity, twin.Change, twin.Condition, cancel).AsTask()));
            }
            catch (HubException why)
            {
                refusals.Add(item, why);
            }
        }

        foreach (var (item, change) in running)
        {
            try
            {
                await change.ConfigureAwait(false);
            }
            catch (HubException why)
            {
                refusals.Add(item, why);
            }
        }

        return refusals;
    }

    // Twins are another right's.
    private static BulkTwinChange? TwinChangeOf(Actor actor, IdentityRequestJson item)
    {
        var twin = BulkItem.ToTwinChange(item);
        return twin is null || actor.Rights.HasFlag(Rights.TwinWrite)
            ? twin
            : throw new HubException(HubErrors.UnauthorizedAccess, "tags and properties need the right twin-write");
    }
}
