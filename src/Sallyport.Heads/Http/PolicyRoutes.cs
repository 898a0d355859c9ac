using System.Globalization;
using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Heads.Http;

/// <summary>Shared access policies. Field names are those of <c>az iot hub policy</c>.</summary>
internal sealed class PolicyRoutes(Policies policies, PrivilegedReads reads, IMetadata metadata, TimeProvider time)
{
    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/manage/v1/policies", ListAsync).Requires(Rights.AccessManage)
            .Describe("Lists the policies; the keys only of those whose rights the caller holds.", answer: HttpJson.Wire.ListPolicyJson);
        routes.MapGet("/manage/v1/policies/{name}", GetAsync).Requires(Rights.AccessManage)
            .Describe("Shows a policy with its keys.", answer: HttpJson.Wire.PolicyJson);
        routes.MapPut("/manage/v1/policies/{name}", PutAsync).Requires(Rights.AccessManage)
            .Describe("Creates a policy; keys that are left out are made.", HttpJson.Wire.PolicyRequestJson, HttpJson.Wire.PolicyJson);
        routes.MapPatch("/manage/v1/policies/{name}", PatchAsync).Requires(Rights.AccessManage)
            .Describe("Gives a policy other rights or another scope; what is left out stays. With If-Match only if it still has that ETag.", HttpJson.Wire.PolicyRequestJson, HttpJson.Wire.PolicyJson);
        routes.MapGet("/manage/v1/policy-advice", AdviseAsync).Requires(Rights.AccessManage)
            .Describe("What policies and operators were granted and did not use for unusedForDays (30).", answer: HttpJson.Wire.ListPolicyAdviceJson);
        routes.MapDelete("/manage/v1/policies/{name}", DeleteAsync).Requires(Rights.AccessManage)
            .Describe("Deletes a policy; its tokens are refused from then on. With If-Match only if it still has that ETag.");
        routes.MapPost("/manage/v1/policies/{name}/renew-key", RenewKeyAsync).Requires(Rights.AccessManage)
            .Describe("Makes a new primary or secondary key, or swaps the two. With If-Match only if it still has that ETag.", HttpJson.Wire.KeyChoiceJson, HttpJson.Wire.PolicyJson);
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

        await Answer(context, await policies.CreateAsync(
            context.Actor(), NameOf(context), GrantJson.RightsOf(request.Rights ?? ""), GrantJson.ScopeOf(request.DevicePrefixes, request.DeviceTags, request.ConsumerGroups),
            NullIfEmpty(request.PrimaryKey), NullIfEmpty(request.SecondaryKey), context.RequestAborted));
    }

    private async Task PatchAsync(HttpContext context)
    {
        var request = await context.ReadJsonAsync(HttpJson.Wire.PolicyRequestJson);
        if (request.PrimaryKey is not null || request.SecondaryKey is not null || request.KeyName is not null)
            throw new HubException(HubErrors.ArgumentInvalid, "only rights, devicePrefixes, deviceTags and consumerGroups can be changed here; keys with renew-key");

        var before = Scope.Of(policies.Show(context.Actor(), NameOf(context)));
        var scope = request.DevicePrefixes is null && request.DeviceTags is null && request.ConsumerGroups is null ? null : GrantJson.ScopeOf(
            request.DevicePrefixes ?? [.. before.DevicePrefixes], request.DeviceTags ?? GrantJson.TagsOf(before), request.ConsumerGroups ?? [.. before.ConsumerGroups]);
        await Answer(context, await policies.UpdateAsync(
            context.Actor(), NameOf(context), request.Rights is null ? null : GrantJson.RightsOf(request.Rights), scope,
            ConditionOf(context), context.RequestAborted));
    }

    private Task AdviseAsync(HttpContext context)
    {
        var asked = context.Request.Query["unusedForDays"].ToString();
        var days = 30;
        if (asked.Length > 0 && (!int.TryParse(asked, NumberStyles.None, CultureInfo.InvariantCulture, out days) || days is < 1 or > 3650))
            throw new HubException(HubErrors.ArgumentInvalid, "unusedForDays: 1 to 3650");

        return context.WriteJsonAsync(
            [.. PolicyAdvice.For(policies, metadata, TimeSpan.FromDays(days), time.GetUtcNow()).Select(PolicyAdviceJson.Of)], HttpJson.Wire.ListPolicyAdviceJson);
    }

    private async Task DeleteAsync(HttpContext context)
    {
        await policies.DeleteAsync(context.Actor(), NameOf(context), ConditionOf(context), context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task RenewKeyAsync(HttpContext context)
    {
        var request = await context.ReadJsonAsync(HttpJson.Wire.KeyChoiceJson);
        if (!HttpJsonBody.TryName<PolicyKey>(request.Key, out var key))
            throw new HubException(HubErrors.ArgumentInvalid, "key: primary, secondary or swap");

        await Answer(context, await policies.RenewKeyAsync(context.Actor(), NameOf(context), key, ConditionOf(context), context.RequestAborted));
    }

    private static EntityTagCondition ConditionOf(HttpContext context) =>
        context.Request.Headers.IfMatch is { Count: > 0 } header ? EntityTagCondition.Parse(header.ToString()) : EntityTagCondition.Any;

    private static string NameOf(HttpContext context) => context.RouteId("name")!;

    private static Task Answer(HttpContext context, PolicyRecord record)
    {
        var policy = PolicyJson.Of(record, context.Actor());
        context.Response.Headers.ETag = $"\"{policy.Etag}\"";
        return context.WriteJsonAsync(policy, HttpJson.Wire.PolicyJson);
    }

    private static string? NullIfEmpty(string? key) => string.IsNullOrEmpty(key) ? null : key;
}

/// <summary>Holds keys: never printed.</summary>
internal sealed class PolicyJson
{
    public required string KeyName { get; init; }
    public required string Rights { get; init; }

    /// <summary>Empty for all devices.</summary>
    public required string[] DevicePrefixes { get; init; }

    /// <summary>As <see cref="DeviceTag.Syntax"/> says; empty for all devices.</summary>
    public required string[] DeviceTags { get; init; }

    /// <summary>Empty for all consumer groups.</summary>
    public required string[] ConsumerGroups { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? PrimaryKey { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? SecondaryKey { get; init; }

    public required DateTime CreatedTime { get; init; }

    /// <summary>For <c>If-Match</c> of a change.</summary>
    public required string Etag { get; init; }

    public static PolicyJson Of(PolicyRecord record, Actor actor)
    {
        var rights = (Rights)record.Rights;
        var scope = Scope.Of(record);
        var mayUse = (rights & ~actor.Rights) is Hub.Access.Rights.None && actor.Scope.Covers(scope);
        return new PolicyJson
        {
            KeyName = record.Name,
            Rights = RightsText.Format(rights),
            DevicePrefixes = [.. scope.DevicePrefixes],
            DeviceTags = GrantJson.TagsOf(scope),
            ConsumerGroups = [.. scope.ConsumerGroups],
            PrimaryKey = mayUse ? record.PrimaryKey : null,
            SecondaryKey = mayUse ? record.SecondaryKey : null,
            CreatedTime = record.CreatedTime.UtcDateTime,
            Etag = EntityTag.Format(Policies.TagOf(record)),
        };
    }
}

/// <summary>Holds keys: never printed.</summary>
internal sealed class PolicyRequestJson
{
    public string? KeyName { get; init; }

    /// <summary>Names out of <see cref="RightsText.Names"/>, separated by commas.</summary>
    public string? Rights { get; init; }

    /// <summary>Beginnings of device ids; none for all devices.</summary>
    public string[]? DevicePrefixes { get; init; }

    /// <summary>As <see cref="DeviceTag.Syntax"/> says; none for all devices.</summary>
    public string[]? DeviceTags { get; init; }

    public string[]? ConsumerGroups { get; init; }
    public string? PrimaryKey { get; init; }
    public string? SecondaryKey { get; init; }
}

internal sealed record KeyChoiceJson(string? Key);
