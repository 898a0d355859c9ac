using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Heads.Http;

/// <summary>Shared access policies. Field names are those of <c>az iot hub policy</c>.</summary>
internal sealed class PolicyRoutes(Policies policies, PrivilegedReads reads)
{
    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/manage/v1/policies", ListAsync).Requires(Rights.AccessManage)
            .Describe("Lists the policies; the keys only of those whose rights the caller holds.", answer: HttpJson.Wire.ListPolicyJson);
        routes.MapGet("/manage/v1/policies/{name}", GetAsync).Requires(Rights.AccessManage)
            .Describe("Shows a policy with its keys.", answer: HttpJson.Wire.PolicyJson);
        routes.MapPut("/manage/v1/policies/{name}", PutAsync).Requires(Rights.AccessManage)
            .Describe("Creates a policy; keys that are left out are made.", HttpJson.Wire.PolicyRequestJson, HttpJson.Wire.PolicyJson);
        routes.MapDelete("/manage/v1/policies/{name}", DeleteAsync).Requires(Rights.AccessManage)
            .Describe("Deletes a policy; its tokens are refused from then on.");
        routes.MapPost("/manage/v1/policies/{name}/renew-key", RenewKeyAsync).Requires(Rights.AccessManage)
            .Describe("Makes a new primary or secondary key, or swaps the two.", HttpJson.Wire.KeyChoiceJson, HttpJson.Wire.PolicyJson);
    }

    private async Task ListAsync(HttpContext context)
    {
        var actor = context.Actor();
        await reads.RecordAsync(actor, "policy read-keys", "*", context.RequestAborted);
        await context.WriteJsonAsync([.. policies.List().Select(record => PolicyJson.Of(record, actor))], HttpJson.Wire.ListPolicyJson);
    }

    private async Task GetAsync(HttpContext context)
    {
        var (actor, name) = (context.Actor(), NameOf(context));
        await Answer(context, await reads.ReadAsync(actor, "policy read-keys", name, () => policies.Show(actor, name), context.RequestAborted));
    }

    private async Task PutAsync(HttpContext context)
    {
        var request = await context.ReadJsonAsync(HttpJson.Wire.PolicyRequestJson);
        if (request.KeyName is not null && request.KeyName != NameOf(context))
            throw new HubException(HubErrors.ArgumentInvalid, "keyName: is not the one in the path");
        if (!RightsText.TryParse(request.Rights ?? "", out var rights, out var problem))
            throw new HubException(HubErrors.ArgumentInvalid, problem);

        await Answer(context, await policies.CreateAsync(
            context.Actor(), NameOf(context), rights, NullIfEmpty(request.PrimaryKey), NullIfEmpty(request.SecondaryKey), context.RequestAborted));
    }

    private async Task DeleteAsync(HttpContext context)
    {
        await policies.DeleteAsync(context.Actor(), NameOf(context), context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task RenewKeyAsync(HttpContext context)
    {
        var request = await context.ReadJsonAsync(HttpJson.Wire.KeyChoiceJson);
        if (!HttpJsonBody.TryName<PolicyKey>(request.Key, out var key))
            throw new HubException(HubErrors.ArgumentInvalid, "key: primary, secondary or swap");

        await Answer(context, await policies.RenewKeyAsync(context.Actor(), NameOf(context), key, context.RequestAborted));
    }

    private static string NameOf(HttpContext context) => context.RouteId("name")!;

    private static Task Answer(HttpContext context, PolicyRecord record) =>
        context.WriteJsonAsync(PolicyJson.Of(record, context.Actor()), HttpJson.Wire.PolicyJson);

    private static string? NullIfEmpty(string? key) => string.IsNullOrEmpty(key) ? null : key;
}

/// <summary>Holds keys: never printed.</summary>
internal sealed class PolicyJson
{
    public required string KeyName { get; init; }
    public required string Rights { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? PrimaryKey { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? SecondaryKey { get; init; }

    public required DateTime CreatedTime { get; init; }

    public static PolicyJson Of(PolicyRecord record, Actor actor)
    {
        var rights = (Rights)record.Rights;
        var mayUse = (rights & ~actor.Rights) is Hub.Access.Rights.None;
        return new PolicyJson
        {
            KeyName = record.Name,
            Rights = RightsText.Format(rights),
            PrimaryKey = mayUse ? record.PrimaryKey : null,
            SecondaryKey = mayUse ? record.SecondaryKey : null,
            CreatedTime = record.CreatedTime.UtcDateTime,
        };
    }
}

/// <summary>Holds keys: never printed.</summary>
internal sealed class PolicyRequestJson
{
    public string? KeyName { get; init; }

    /// <summary>Names out of <see cref="RightsText.Names"/>, separated by commas.</summary>
    public string? Rights { get; init; }

    public string? PrimaryKey { get; init; }
    public string? SecondaryKey { get; init; }
}

internal sealed record KeyChoiceJson(string? Key);
