using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Heads;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Protocol.Errors;
using Sallyport.Services.Connections;

namespace Sallyport.Connections;

/// <summary>
/// <c>/manage/v1/connections</c>: service connections over REST (<c>docs/connections-sql.md</c>). Composed here because heads do not
/// see services. Every act is in the audit trail before it takes effect. Answers never hold a connection string.
/// </summary>
internal sealed class ConnectionRoutes(ServiceConnections connections, IAuditTrail audit)
{
    private const string All = "/manage/v1/connections";
    private const string One = "/manage/v1/connections/{name}";

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet(All, ListAsync).Requires(Rights.ConnectionManage)
            .Describe("Lists the service connections and how far each is behind.", answer: ConnectionWire.Json.ListConnectionJson);
        routes.MapGet(One, GetAsync).Requires(Rights.ConnectionManage)
            .Describe("Shows a service connection and how far it is behind.", answer: ConnectionWire.Json.ConnectionJson);
        routes.MapPut(One, PutAsync).Requires(Rights.ConnectionManage)
            .Describe("Creates a service connection, or replaces its connection string.", ConnectionWire.Json.ConnectionRequestJson, ConnectionWire.Json.ConnectionJson);
        routes.MapDelete(One, DeleteAsync).Requires(Rights.ConnectionManage)
            .Describe("Forgets a service connection; what it wrote stays in the target.");
        routes.MapPost($"{One}/pause", PauseAsync).Requires(Rights.ConnectionManage)
            .Describe("Stops writing; what comes is held until the connection is resumed.", answer: ConnectionWire.Json.ConnectionJson);
        routes.MapPost($"{One}/resume", ResumeAsync).Requires(Rights.ConnectionManage)
            .Describe("Goes on where it was paused or has stopped.", answer: ConnectionWire.Json.ConnectionJson);
        routes.MapPost($"{One}/test", TestAsync).Requires(Rights.ConnectionManage)
            .Describe("Connects to the target and tries everything that writing needs.", answer: ConnectionWire.Json.ConnectionTestJson);
    }

    private async Task ListAsync(HttpContext context)
    {
        var all = await connections.ListAsync(context.RequestAborted);
        await WriteAsync(context, [.. all.Select(ConnectionJson.Of)], ConnectionWire.Json.ListConnectionJson);
    }

    private async Task GetAsync(HttpContext context) => await AnswerAsync(context, NameOf(context));

    private async Task PutAsync(HttpContext context)
    {
        var name = NameOf(context);
        var body = await ReadAsync(context);
        // What is left out stays as it is, so that a new password needs nothing but the new connection string.
        var existing = await connections.FindAsync(name, context.RequestAborted);
        var definition = new ConnectionDefinition(
            name, body.Kind ?? existing?.Kind ?? ConnectionDefinition.Sql, body.ConnectionString ?? "", body.Table ?? existing?.Table ?? "telemetry",
            FromEarliest(body.From) ?? existing?.FromEarliest ?? true);
        var actor = ActorOf(context);
        if (!actor.Rights.HasFlag(Rights.TelemetryRead))
        {
            // It would run with the rights of its creator, who may not read what it would write.
            audit.Note(actor.Refused("connection put", name, "the caller may not read telemetry"));
            throw new HubException(HubErrors.UnauthorizedAccess, "a connection reads telemetry, and the policy does not hold that right");
        }

        connections.Validate(definition);
        await audit.RecordAsync(actor.Done("connection put", name), context.RequestAborted);
        var created = await connections.PutAsync(definition, actor.Principal, (long)actor.Rights, context.RequestAborted);
        context.Response.StatusCode = created ? StatusCodes.Status201Created : StatusCodes.Status200OK;
        await AnswerAsync(context, name);
    }

    private async Task DeleteAsync(HttpContext context)
    {
        await ActAsync(context, "connection delete", connections.DeleteAsync);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task PauseAsync(HttpContext context)
    {
        await ActAsync(context, "connection pause", connections.PauseAsync);
        await AnswerAsync(context, NameOf(context));
    }

    private async Task ResumeAsync(HttpContext context)
    {
        await ActAsync(context, "connection resume", connections.ResumeAsync);
        await AnswerAsync(context, NameOf(context));
    }

    private async Task TestAsync(HttpContext context)
    {
        string? problem = null;
        await ActAsync(context, "connection test", async (name, cancel) => problem = await connections.TestAsync(name, cancel));
        await WriteAsync(context, new ConnectionTestJson(problem is null, problem), ConnectionWire.Json.ConnectionTestJson);
    }

    private async Task ActAsync(HttpContext context, string action, Func<string, CancellationToken, Task> act)
    {
        var name = NameOf(context);
        await RequireAsync(name, context.RequestAborted);
        await audit.RecordAsync(ActorOf(context).Done(action, name), context.RequestAborted);
        await act(name, context.RequestAborted);
    }

    private async Task AnswerAsync(HttpContext context, string name) =>
        await WriteAsync(context, ConnectionJson.Of(await RequireAsync(name, context.RequestAborted)), ConnectionWire.Json.ConnectionJson);

    private async Task<ConnectionDescription> RequireAsync(string name, CancellationToken cancel) =>
        await connections.FindAsync(name, cancel) ?? throw new HubException(HubErrors.NotFound, $"there is no connection '{name}'");

    private static string NameOf(HttpContext context) => (string)context.Request.RouteValues["name"]!;

    private static Actor ActorOf(HttpContext context)
    {
        var address = context.Connection.RemoteIpAddress is { } ip ? new System.Net.IPEndPoint(ip, context.Connection.RemotePort) : null;
        return Actor.Of(context.Caller().Principal!, context.TraceIdentifier, new Peer(address, "https"));
    }

    private static bool? FromEarliest(string? from) => from switch
    {
        null => null,
        "latest" => false,
        "earliest" => true,
        _ => throw new HubException(HubErrors.ArgumentInvalid, "from is 'earliest' or 'latest'"),
    };

    private static async Task<ConnectionRequestJson> ReadAsync(HttpContext context)
    {
        try
        {
            return await JsonSerializer.DeserializeAsync(context.Request.Body, ConnectionWire.Json.ConnectionRequestJson, context.RequestAborted)
                ?? throw new HubException(HubErrors.FormatError, "the body is null");
        }
        catch (JsonException e)
        {
            // The parser's words may repeat the body, which holds a secret.
            throw new HubException(HubErrors.FormatError, $"the body is not {{kind, connectionString, table, from}}: line {e.LineNumber + 1 ?? 1}, byte {e.BytePositionInLine + 1 ?? 1}");
        }
    }

    private static Task WriteAsync<T>(HttpContext context, T value, JsonTypeInfo<T> type)
    {
        context.Response.ContentType = "application/json; charset=utf-8";
        return JsonSerializer.SerializeAsync(context.Response.Body, value, type, context.RequestAborted);
    }
}
