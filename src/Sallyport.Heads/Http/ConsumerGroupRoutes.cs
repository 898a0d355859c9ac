using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Heads.Http;

/// <summary>
/// Consumer groups of the built-in endpoint. Whoever reads sees those that it may read in; making and deleting them, which cuts readers off
/// and forgets where they were, is for those who manage where telemetry goes.
/// </summary>
internal sealed class ConsumerGroupRoutes(ConsumerGroups groups)
{
    private const string Path = "/manage/v1/consumer-groups/{name}";

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/manage/v1/consumer-groups", ListAsync).Requires(Rights.TelemetryRead).KeepsToScope()
            .Describe("Lists the consumer groups.", answer: HttpJson.Wire.ListConsumerGroupJson);
        routes.MapGet(Path, GetAsync).Requires(Rights.TelemetryRead).KeepsToScope()
            .Describe("Shows a consumer group.", answer: HttpJson.Wire.ConsumerGroupJson);
        routes.MapPut(Path, PutAsync).Requires(Rights.ConnectionManage)
            .Describe("Creates a consumer group; one that is there stays as it is. No body.", answer: HttpJson.Wire.ConsumerGroupJson);
        routes.MapDelete(Path, DeleteAsync).Requires(Rights.ConnectionManage)
            .Describe("Deletes a consumer group with its checkpoints, and ends its readers.");
    }

    private Task ListAsync(HttpContext context)
    {
        var scope = context.Caller().Principal!.Scope;
        return context.WriteJsonAsync(
            [.. groups.List().Where(group => scope.CoversGroup(group.Name)).Select(ConsumerGroupJson.Of)], HttpJson.Wire.ListConsumerGroupJson);
    }

    private Task GetAsync(HttpContext context) =>
        context.WriteJsonAsync(ConsumerGroupJson.Of(groups.Require(context, context.RouteId("name"))), HttpJson.Wire.ConsumerGroupJson);

    private async Task PutAsync(HttpContext context)
    {
        var group = await groups.CreateAsync(context.Actor(), context.RouteId("name")!, context.RequestAborted);
        await context.WriteJsonAsync(ConsumerGroupJson.Of(group), HttpJson.Wire.ConsumerGroupJson);
    }

    private async Task DeleteAsync(HttpContext context)
    {
        await groups.DeleteAsync(context.Actor(), context.RouteId("name")!, context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }
}

/// <summary>Consumer groups as requests name them.</summary>
internal static class RequestedConsumerGroup
{
    /// <summary>The group of this name, which the caller may read in.</summary>
    /// <exception cref="HubException">401: the caller's rights are limited to other groups, whether this one is there or not; 404: there is no such group.</exception>
    public static ConsumerGroupRecord Require(this ConsumerGroups groups, HttpContext context, string? name)
    {
        if (!context.Caller().Principal!.Scope.CoversGroup(name ?? ""))
            throw new HubException(HubErrors.UnauthorizedAccess, "you are limited to other consumer groups");
        return groups.Find(name ?? "")
            ?? throw new HubException(HubErrors.NotFound, "the hub has no such consumer group");
    }
}

/// <param name="CreatedTime">Of <c>$Default</c>: when the hub began to keep groups.</param>
internal sealed record ConsumerGroupJson(string Name, DateTime CreatedTime)
{
    public static ConsumerGroupJson Of(ConsumerGroupRecord record) => new(record.Name, record.CreatedTime.UtcDateTime);
}
