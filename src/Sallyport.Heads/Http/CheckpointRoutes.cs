using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Errors;

namespace Sallyport.Heads.Http;

/// <summary>
/// Named positions of readers: <c>/manage/v1/checkpoints/{consumerGroup}/{name}</c> with <c>{"positions":{"0":17}}</c>, the sequence
/// number that comes next, per partition. PUT keeps partitions that it does not name.
/// </summary>
internal sealed class CheckpointRoutes(EventReader reader, Checkpoints checkpoints, ConsumerGroups groups, IAuditTrail audit)
{
    public const string NameSyntax = "1 to 128 ASCII letters, digits and - . _";

    private const string Path = "/manage/v1/checkpoints/{consumerGroup}/{name}";

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet(Path, GetAsync).Requires(Rights.TelemetryRead).KeepsToScope()
            .Describe("A reader's saved position: the sequence number that comes next, per partition.", answer: HttpJson.Wire.CheckpointJson);
        routes.MapPut(Path, PutAsync).Requires(Rights.TelemetryRead).KeepsToScope()
            .Describe("Saves a reader's position; partitions that it does not name keep theirs.", HttpJson.Wire.CheckpointJson);
        routes.MapDelete(Path, DeleteAsync).Requires(Rights.TelemetryRead).KeepsToScope()
            .Describe("Forgets a reader's saved position.");
    }

    private Task GetAsync(HttpContext context)
    {
        var (group, name) = NameOf(context);
        var positions = checkpoints.Find(group, name);
        return positions.Count > 0
            ? context.WriteJsonAsync(new CheckpointJson { Positions = positions.ToDictionary() }, HttpJson.Wire.CheckpointJson)
            : throw NotFound();
    }

    private async Task PutAsync(HttpContext context)
    {
        var (group, name) = NameOf(context);
        var checkpoint = await context.ReadJsonAsync(HttpJson.Wire.CheckpointJson);
        if (checkpoint.Positions is not { Count: > 0 } positions || positions.Any(p => p.Key < 0 || p.Key >= reader.PartitionCount || p.Value < 0))
            throw new HubException(HubErrors.ArgumentInvalid, $"positions: partitions 0 to {reader.PartitionCount - 1}, each with the sequence number that comes next");

        await checkpoints.SaveAsync(group, name, positions, context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task DeleteAsync(HttpContext context)
    {
        var (group, name) = NameOf(context);
        if (checkpoints.Find(group, name).Count == 0)
            throw NotFound();

        await audit.RequireAsync(context.Actor().Done("checkpoint delete", $"{group}/{name}"), context.RequestAborted);
        if (!await checkpoints.DeleteAsync(group, name, context.RequestAborted))
            throw NotFound();

        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private (string Group, string Name) NameOf(HttpContext context)
    {
        var group = groups.Require(context, context.RouteId("consumerGroup")).Name;
        return context.RouteId("name") is { } name && Checkpoints.IsValidName(name)
            ? (group, name)
            : throw new HubException(HubErrors.ArgumentInvalid, $"a checkpoint's name: {NameSyntax}");
    }

    private static HubException NotFound() => new(HubErrors.NotFound, "there is no checkpoint of that name");
}

/// <summary>The sequence number that comes next, per partition.</summary>
internal sealed class CheckpointJson
{
    public Dictionary<int, long>? Positions { get; init; }
}
