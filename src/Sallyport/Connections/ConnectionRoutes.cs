using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Heads;
using Sallyport.Heads.Http;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Protocol.Errors;
using Sallyport.Services.Connections;
using Sallyport.Storage.EventLog;

namespace Sallyport.Connections;

/// <summary>
/// <c>/manage/v1/connections</c>: service connections over REST (<c>docs/connections-sql.md</c>). Composed here because heads do not
/// see services. Every act is in the audit trail before it takes effect. Answers never hold a connection string.
/// </summary>
internal sealed class ConnectionRoutes(ServiceConnections connections, IAuditTrail audit, PrivilegedReads reads)
{
    private const string All = "/manage/v1/connections";
    private const string One = "/manage/v1/connections/{name}";

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet(All, ListAsync).Requires(Rights.ConnectionManage)
            .Describe("Lists the service connections and how far each is behind.", answer: ConnectionWire.Json.ListConnectionJson);
        routes.MapGet(One, ShowAsync).Requires(Rights.ConnectionManage)
            .Describe("Shows a service connection and how far it is behind.", answer: ConnectionWire.Json.ConnectionJson);
        routes.MapPut(One, PutAsync).Requires(Rights.ConnectionManage)
            .Describe("Creates a service connection, or replaces its connection string and hold policy.", ConnectionWire.Json.ConnectionRequestJson, ConnectionWire.Json.ConnectionJson);
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
        await reads.RecordAsync(ActorOf(context), "connection list", "*", context.RequestAborted);
        var all = await connections.ListAsync(context.RequestAborted);
        await WriteAsync(context, [.. all.Select(ConnectionJson.Of)], ConnectionWire.Json.ListConnectionJson);
    }

    private async Task ShowAsync(HttpContext context)
    {
        Require(NameOf(context));
        await reads.RecordAsync(ActorOf(context), "connection show", NameOf(context), context.RequestAborted);
        await AnswerAsync(context);
    }

    private async Task PutAsync(HttpContext context)
    {
        var body = await ReadAsync(context);
        var actor = ActorOf(context);
        var name = NameOf(context);
        var existing = await connections.FindAsync(name, context.RequestAborted);
        // What is left out stays as it is, so that a new password needs nothing but the new connection string.
        var definition = new ConnectionDefinition(
            name, body.Kind ?? existing?.Kind ?? ConnectionDefinition.Sql, body.ConnectionString ?? "", body.Table ?? existing?.Table ?? "telemetry",
            FromEarliest(body.From) ?? existing?.FromEarliest ?? true, Hold(body.Hold) ?? existing?.Hold ?? HoldPolicy.Skip);

        await ActAsync(
            context, "connection put",
            () =>
            {
                // It would run with the rights of its creator.
                if (!actor.Rights.HasFlag(Rights.TelemetryRead))
                    throw new HubException(HubErrors.UnauthorizedAccess, "a connection reads telemetry, and the policy does not hold that right");
                connections.Validate(definition);
            },
            () => connections.PutAsync(definition, actor.Principal, (long)actor.Rights, CancellationToken.None));
        context.Response.StatusCode = existing is null ? StatusCodes.Status201Created : StatusCodes.Status200OK;
        await AnswerAsync(context);
    }

    private async Task DeleteAsync(HttpContext context)
    {
        var name = NameOf(context);
        await ActAsync(context, "connection delete", () => Require(name), () => connections.DeleteAsync(name, CancellationToken.None));
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task PauseAsync(HttpContext context)
    {
        var name = NameOf(context);
        await ActAsync(context, "connection pause", () => Require(name), () => connections.PauseAsync(name, CancellationToken.None));
        await AnswerAsync(context);
    }

    private async Task ResumeAsync(HttpContext context)
    {
        var name = NameOf(context);
        await ActAsync(context, "connection resume", () => Require(name), () => connections.ResumeAsync(name, CancellationToken.None));
        await AnswerAsync(context);
    }

    private async Task TestAsync(HttpContext context)
    {
        var name = NameOf(context);
        string? problem = null;
        await ActAsync(context, "connection test", () => Require(name), async () => problem = await connections.TestAsync(name, context.RequestAborted));
        await WriteAsync(context, new ConnectionTestJson(problem is null, problem), ConnectionWire.Json.ConnectionTestJson);
    }

    /// <summary>Checks, records, acts. What was refused is noted; what was recorded and then not done is taken back.</summary>
    private async Task ActAsync(HttpContext context, string action, Action check, Func<Task> act)
    {
        var actor = ActorOf(context);
        var name = NameOf(context);
        try
        {
            check();
            await audit.RequireAsync(actor.Done(action, name), context.RequestAborted);
            await act();
        }
        catch (Exception e)
        {
            audit.Note(actor.Refused(action, name, e is HubException ? e.Message : $"not done: {e.GetType().Name}"));
            throw;
        }
    }

    private void Require(string name)
    {
        if (!connections.Exists(name))
            throw new HubException(HubErrors.NotFound, $"there is no connection '{name}'");
    }

    private async Task AnswerAsync(HttpContext context)
    {
        var name = NameOf(context);
        var one = await connections.FindAsync(name, context.RequestAborted) ?? throw new HubException(HubErrors.NotFound, $"there is no connection '{name}'");
        await WriteAsync(context, ConnectionJson.Of(one), ConnectionWire.Json.ConnectionJson);
    }

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

    private static HoldPolicy? Hold(string? hold) => hold switch
    {
        null => null,
        "skip" => HoldPolicy.Skip,
        "refuse-ingest" => HoldPolicy.RefuseIngest,
        _ => throw new HubException(HubErrors.ArgumentInvalid, "hold is 'skip' or 'refuse-ingest'"),
    };

    private static async Task<ConnectionRequestJson> ReadAsync(HttpContext context)
    {
        try
        {
            var body = await JsonSerializer.DeserializeAsync(context.Request.Body, ConnectionWire.Json.ConnectionRequestJson, context.RequestAborted)
                ?? throw new HubException(HubErrors.FormatError, "the body is null");
            await context.ConfirmCallerAsync();
            return body;
        }
        catch (JsonException e)
        {
            // The parser's words may repeat the body, which holds a secret.
            throw new HubException(HubErrors.FormatError, $"the body is not {{kind, connectionString, table, from, hold}}: line {e.LineNumber + 1 ?? 1}, byte {e.BytePositionInLine + 1 ?? 1}");
        }
    }

    private static Task WriteAsync<T>(HttpContext context, T value, JsonTypeInfo<T> type)
    {
        context.Response.ContentType = "application/json; charset=utf-8";
        return JsonSerializer.SerializeAsync(context.Response.Body, value, type, context.RequestAborted);
    }
}
