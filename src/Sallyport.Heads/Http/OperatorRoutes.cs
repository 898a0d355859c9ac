using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Heads.Http;

/// <summary>Operators: people with a credential of their own that ends by itself. Its key is in the answer that made it, and never again.</summary>
internal sealed class OperatorRoutes(Policies policies, TimeProvider time)
{
    private const string One = "/manage/v1/operators/{name}";

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/manage/v1/operators", ListAsync).Requires(Rights.AccessManage)
            .Describe("Lists the operators, without their keys.", answer: HttpJson.Wire.ListOperatorJson);
        routes.MapGet(One, GetAsync).Requires(Rights.AccessManage)
            .Describe("Shows an operator, without its key.", answer: HttpJson.Wire.OperatorJson);
        routes.MapPut(One, PutAsync).Requires(Rights.AccessManage)
            .Describe("Creates an operator; the answer is the only one that holds its key.", HttpJson.Wire.OperatorRequestJson, HttpJson.Wire.OperatorJson);
        routes.MapPost($"{One}/renew", RenewAsync).Requires(Rights.AccessManage)
            .Describe("Gives an operator a new key and a new end.", HttpJson.Wire.OperatorRequestJson, HttpJson.Wire.OperatorJson);
        routes.MapDelete(One, DeleteAsync).Requires(Rights.AccessManage)
            .Describe("Deletes an operator; its tokens are refused from then on.");
    }

    private Task ListAsync(HttpContext context) =>
        context.WriteJsonAsync([.. policies.ListOperators().Select(record => OperatorJson.Of(record, time, withKey: false))], HttpJson.Wire.ListOperatorJson);

    private Task GetAsync(HttpContext context) => Answer(context, policies.FindOperator(NameOf(context)), withKey: false);

    private async Task PutAsync(HttpContext context)
    {
        var request = await context.ReadJsonAsync(HttpJson.Wire.OperatorRequestJson);
        await Answer(context, await policies.CreateOperatorAsync(
            context.Actor(), NameOf(context), GrantJson.RightsOf(request.Rights ?? ""), GrantJson.ScopeOf(request.DevicePrefixes, request.ConsumerGroups),
            LifeOf(request), context.RequestAborted), withKey: true);
    }

    private async Task RenewAsync(HttpContext context)
    {
        var request = await context.ReadJsonAsync(HttpJson.Wire.OperatorRequestJson);
        if (request.Rights is not null || request.DevicePrefixes is not null || request.ConsumerGroups is not null)
            throw new HubException(HubErrors.ArgumentInvalid, "a renewal changes no rights: delete the operator and create it anew");

        await Answer(context, await policies.RenewOperatorAsync(context.Actor(), NameOf(context), LifeOf(request), context.RequestAborted), withKey: true);
    }

    private async Task DeleteAsync(HttpContext context)
    {
        await policies.DeleteOperatorAsync(context.Actor(), NameOf(context), context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private Task Answer(HttpContext context, PolicyRecord record, bool withKey) =>
        context.WriteJsonAsync(OperatorJson.Of(record, time, withKey), HttpJson.Wire.OperatorJson);

    private static TimeSpan LifeOf(OperatorRequestJson request) =>
        request.ValidForSeconds is { } seconds ? TimeSpan.FromSeconds(Math.Min(seconds, int.MaxValue)) : Policies.DefaultOperatorLife;

    private static string NameOf(HttpContext context) => context.RouteId("name")!;
}

/// <summary>Holds a key where it was just made: never printed.</summary>
internal sealed class OperatorJson
{
    public required string Name { get; init; }
    public required string Rights { get; init; }
    public required string[] DevicePrefixes { get; init; }
    public required string[] ConsumerGroups { get; init; }
    public required DateTime CreatedTime { get; init; }
    public required DateTime ExpiresTime { get; init; }
    public required bool HasEnded { get; init; }

    /// <summary>What tokens of this operator are named (<c>skn</c>).</summary>
    public required string KeyName { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Key { get; init; }

    public static OperatorJson Of(PolicyRecord record, TimeProvider time, bool withKey) => new()
    {
        Name = record.Name[Policies.OperatorPrefix.Length..],
        Rights = RightsText.Format((Rights)record.Rights),
        DevicePrefixes = GrantJson.Names(record.DevicePrefixes),
        ConsumerGroups = GrantJson.Names(record.ConsumerGroups),
        CreatedTime = record.CreatedTime.UtcDateTime,
        ExpiresTime = record.Expires!.Value.UtcDateTime,
        HasEnded = record.Expires <= time.GetUtcNow(),
        KeyName = record.Name,
        Key = withKey ? record.PrimaryKey : null,
    };
}

internal sealed class OperatorRequestJson
{
    /// <summary>Names out of <see cref="RightsText.Names"/>, separated by commas.</summary>
    public string? Rights { get; init; }

    /// <summary>Beginnings of device ids; none for all devices.</summary>
    public string[]? DevicePrefixes { get; init; }

    public string[]? ConsumerGroups { get; init; }

    /// <summary>300 to 2,592,000; default 28,800.</summary>
    public long? ValidForSeconds { get; init; }
}
