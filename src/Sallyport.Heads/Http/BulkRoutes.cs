using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;

namespace Sallyport.Heads.Http;

/// <summary>Registry requests about up to 100 identities at once: each item is done or refused by itself, and the answer says which.</summary>
internal sealed class BulkRoutes(DeviceRegistry registry, BulkChanges changes)
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
        var ofIdentities = await changes.ChangeIdentitiesAsync(context.Actor(), items, alongside: null, context.RequestAborted);
        var ofTwins = await changes.ChangeTwinsAsync(context.Actor(), items.Where(item => !ofIdentities.ContainsKey(item)), context.RequestAborted);
        var errors = ofIdentities.Concat(ofTwins).Select(refusal => new BulkErrorJson(
            refusal.Key.Id, refusal.Key.ModuleId, refusal.Value.Error.Name, refusal.Value.Message, refusal.Key.ImportMode ?? "")).ToList();

        if (errors.Count > 0)
        {
            context.Response.StatusCode = StatusCodes.Status400BadRequest;
            context.Response.Headers[HubErrorResponse.ErrorCodeHeader] = HubErrors.BulkRegistryOperationFailure.Name;
            context.Response.Headers[BulkErrorHeader] = HubErrors.BulkRegistryOperationFailure.Name;
        }

        await context.WriteJsonAsync(new BulkResultJson(errors.Count == 0, errors, []), HttpJson.Wire.BulkResultJson);
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
