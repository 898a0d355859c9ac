using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;

namespace Sallyport.Heads.Http;

/// <summary>Registry requests about up to 100 identities at once: each item is done or refused by itself, and the answer says which.</summary>
internal sealed class BulkRoutes(DeviceRegistry registry, DeviceTwins twins)
{
    /// <summary>Only with this header does the .NET service SDK read the body of a 400.</summary>
    private const string BulkErrorHeader = "IotHubErrorCode";

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapPost("/devices", ChangeAsync).Requires(Rights.RegistryWrite)
            .Describe("Creates, changes and deletes up to 100 devices and modules, and merges into their twins.", HttpJson.Wire.ListIdentityRequestJson, HttpJson.Wire.BulkResultJson);
        routes.MapPost("/devices/keys/regenerate", RenewKeysAsync).Requires(Rights.RegistryWrite | Rights.RegistrySecrets, resource: "devices")
            .Describe("Makes new keys of up to 100 devices and modules, or swaps the two.", HttpJson.Wire.KeyRenewalRequestJson, HttpJson.Wire.KeyRenewalResultJson);
    }

    private async Task ChangeAsync(HttpContext context)
    {
        var items = await context.ReadJsonAsync(HttpJson.Wire.ListIdentityRequestJson);
        RequireItems(items);
        var twinChanges = new List<(IdentityRequestJson Item, BulkTwinChange Twin)>();
        var refusals = new List<(IdentityRequestJson Item, HubException Why)>();
        var ofIdentities = new List<IdentityRequestJson>();
        foreach (var item in items)
        {
            try
            {
                if (ReadTwin(context, item!) is { } twin)
                    twinChanges.Add((item!, twin));
                if (!ImportMode.IsOfTwin(item!))
                    ofIdentities.Add(item!);
            }
            catch (HubException why)
            {
                refusals.Add((item!, why));
            }
        }

        var identityRefusals = await AttemptAsync(context, ofIdentities, ImportMode.ToChange, (_, _) => { });
        refusals.AddRange(identityRefusals);
        twinChanges.RemoveAll(change => identityRefusals.Exists(refusal => ReferenceEquals(refusal.Item, change.Item)));
        refusals.AddRange(await ChangeTwinsAsync(context, twinChanges));
        var errors = refusals.Select(refusal => new BulkErrorJson(
            refusal.Item.Id, refusal.Item.ModuleId, refusal.Why.Error.Name, refusal.Why.Message, refusal.Item.ImportMode ?? "")).ToList();

        if (errors.Count > 0)
        {
            context.Response.StatusCode = StatusCodes.Status400BadRequest;
            context.Response.Headers[HubErrorResponse.ErrorCodeHeader] = HubErrors.BulkRegistryOperationFailure.Name;
            context.Response.Headers[BulkErrorHeader] = HubErrors.BulkRegistryOperationFailure.Name;
        }

        await context.WriteJsonAsync(new BulkResultJson(errors.Count == 0, errors, []), HttpJson.Wire.BulkResultJson);
    }

    // Twins are another right's.
    private static BulkTwinChange? ReadTwin(HttpContext context, IdentityRequestJson item)
    {
        var twin = ImportMode.ToTwinChange(item);
        return twin is null || context.Held().HasFlag(Rights.TwinWrite)
            ? twin
            : throw new HubException(HubErrors.UnauthorizedAccess, "tags and properties need the right twin-write");
    }

    // All at once, so that they share the disk's syncs; two of one twin are done one after the other.
    private async Task<List<(IdentityRequestJson, HubException)>> ChangeTwinsAsync(HttpContext context, List<(IdentityRequestJson Item, BulkTwinChange Twin)> changes)
    {
        var refusals = new List<(IdentityRequestJson, HubException)>();
        var actor = context.Actor();
        var running = changes.ConvertAll(change => twins.ChangeAsync(actor, change.Twin.Identity, change.Twin.Change, change.Twin.Condition, context.RequestAborted).AsTask());
        for (var i = 0; i < running.Count; i++)
        {
            try
            {
                await running[i];
            }
            catch (HubException why)
            {
                refusals.Add((changes[i].Item, why));
            }
        }

        return refusals;
    }

    private async Task RenewKeysAsync(HttpContext context)
    {
        var request = await context.ReadJsonAsync(HttpJson.Wire.KeyRenewalRequestJson);
        if (!HttpJsonBody.TryName<KeyRenewal>(request.PolicyKey, out var renewal))
            throw new HubException(HubErrors.ArgumentInvalid, "policyKey: primary, secondary, both or swap");

        RequireItems(request.Devices ?? []);
        var draft = new IdentityDraft { Renewal = renewal };
        var renewed = new List<RenewedKeysJson>();
        var refusals = await AttemptAsync(
            context,
            request.Devices ?? [],
            item => new IdentityChange(IdentityOf(item), PutMode.Update, draft, EntityTagCondition.Any),
            (item, state) => renewed.Add(new RenewedKeysJson
            {
                Id = item.Id!,
                ModuleId = item.ModuleId,
                PrimaryKey = state!.Record.PrimaryKey,
                SecondaryKey = state.Record.SecondaryKey,
            }));

        context.Response.StatusCode = refusals.Count == 0
            ? StatusCodes.Status200OK
            : renewed.Count > 0 ? StatusCodes.Status207MultiStatus : StatusCodes.Status400BadRequest;
        var errors = refusals.Select(refusal => new KeyRenewalErrorJson(refusal.Item.Id, refusal.Item.ModuleId, refusal.Why.Error.Name, refusal.Why.Message));
        await context.WriteJsonAsync(new KeyRenewalResultJson(request.PolicyKey!, renewed, [.. errors]), HttpJson.Wire.KeyRenewalResultJson);
    }

    /// <summary>Makes a change of each item and has the registry do them all; what cannot even be read is refused without keeping the others.</summary>
    private async ValueTask<List<(T Item, HubException Why)>> AttemptAsync<T>(
        HttpContext context, IReadOnlyList<T?> items, Func<T, IdentityChange> toChange, Action<T, IdentityState?> done)
        where T : class
    {
        var refusals = new List<(T, HubException)>();
        var readable = new List<(T Item, IdentityChange Change)>();
        foreach (var item in items)
        {
            try
            {
                readable.Add((item!, toChange(item!)));
            }
            catch (HubException why)
            {
                refusals.Add((item!, why));
            }
        }

        if (readable.Count == 0)
            return refusals;

        var outcomes = await registry.ChangeAsync(context.Actor(), [.. readable.Select(item => item.Change)], context.RequestAborted);
        for (var i = 0; i < outcomes.Count; i++)
        {
            if (outcomes[i].Refusal is { } why)
                refusals.Add((readable[i].Item, why));
            else
                done(readable[i].Item, outcomes[i].State);
        }

        return refusals;
    }

    private static void RequireItems<T>(IReadOnlyList<T?> items)
        where T : class
    {
        if (items.Count is 0 or > DeviceRegistry.MaxBulkItems || items.Any(item => item is null))
            throw new HubException(HubErrors.ArgumentInvalid, $"a bulk request has 1 to {DeviceRegistry.MaxBulkItems} items");
    }

    private static Identity IdentityOf(KeyRenewalItemJson item) =>
        Identity.TryCreate(item.Id, item.ModuleId, out var identity) ? identity : throw new HubException(HubErrors.ArgumentInvalid, "id: is not a valid id");
}
