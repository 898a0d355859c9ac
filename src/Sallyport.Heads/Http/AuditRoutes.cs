using System.Globalization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Errors;

namespace Sallyport.Heads.Http;

/// <summary>The audit trail over REST (<c>docs/audit.md</c>): list, export, verify, anchor. Each read is itself in the trail before it is answered.</summary>
internal sealed class AuditRoutes(IAuditTrail audit, AuditTrail trail, AuditReader reader, AuditKeys keys)
{
    /// <summary>Requests that read files at once; more are refused with 503. Each reads with one thread at the disk's pace.</summary>
    public const int MaxReaders = 4;

    /// <summary>Lines go out in pieces of about this size, in bytes.</summary>
    private const int FlushBytes = 64 * 1024;

    private static readonly string[] Names = ["principal", "action", "target", "result", "since", "until", "from", "to", "top", "api-version"];

    private int _readers;

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/manage/v1/audit", ListAsync).Requires(Rights.AuditRead)
            .Describe("Entries of the audit trail, newest first: principal, action, target, result, since, until, from, to, top.", answer: HttpJson.Wire.AuditPage);
        routes.MapGet("/manage/v1/audit/export", ExportAsync).Requires(Rights.AuditRead)
            .Describe("Entries of the audit trail, oldest first, as newline-delimited JSON: principal, action, target, result, since, until, from, to.");
        routes.MapPost("/manage/v1/audit/verify", VerifyAsync).Requires(Rights.AuditRead)
            .Describe("Checks the audit trail against its chain, its key and the given anchors.", HttpJson.Wire.AuditAnchorsJson, AuditJson.Wire.AuditVerification);
        routes.MapGet("/manage/v1/audit/anchor", AnchorAsync).Requires(Rights.AuditRead)
            .Describe("The head of the audit trail, to be kept where the hub cannot reach it.", answer: HttpJson.Wire.JsonObject);
    }

    private Task ListAsync(HttpContext context) => ReadAsync(context, "audit list", ParseTop(context, out var top), query =>
        context.WriteJsonAsync(reader.List(query, top, context.RequestAborted), HttpJson.Wire.AuditPage));

    private Task ExportAsync(HttpContext context) => ReadAsync(context, "audit export", Parse(context), async query =>
    {
        context.Response.ContentType = "application/x-ndjson";
        context.Response.Headers.CacheControl = "no-store";
        var output = context.Response.BodyWriter;
        var unflushed = 0;

        // What comes from now on, this read's own followers too, is not part of it.
        foreach (var line in reader.Export(query with { To = Math.Min(query.To, trail.Head.Sequence) }))
        {
            // Asked for whole: what Kestrel gives unasked may be an empty rest.
            var text = output.GetSpan(line.Length + 1);
            line.Span.CopyTo(text);
            text[line.Length] = (byte)'\n';
            output.Advance(line.Length + 1);
            unflushed += line.Length + 1;
            if (unflushed < FlushBytes)
                continue;
            await output.FlushAsync(context.RequestAborted);
            unflushed = 0;
        }

        await output.FlushAsync(context.RequestAborted);
    });

    private async Task VerifyAsync(HttpContext context)
    {
        var request = await context.ReadJsonAsync(HttpJson.Wire.AuditAnchorsJson);
        IReadOnlyList<AuditAnchor> anchors;
        try
        {
            anchors = AuditAnchor.ReadAll(string.Join('\n', request.Anchors ?? []));
        }
        catch (FormatException e)
        {
            throw new HubException(HubErrors.ArgumentInvalid, $"anchors: {e.Message}");
        }

        await ReadAsync(context, "audit verify", new AuditQuery(), _ =>
            context.WriteJsonAsync(AuditVerifier.Verify(reader.Directory, keys, anchors, context.RequestAborted), AuditJson.Wire.AuditVerification));
    }

    private Task AnchorAsync(HttpContext context) => ReadAsync(context, "audit anchor", new AuditQuery(), _ =>
    {
        context.Response.ContentType = "application/json; charset=utf-8";
        return context.Response.WriteAsync(trail.Head.ToJson(), context.RequestAborted);
    });

    private async Task ReadAsync(HttpContext context, string action, AuditQuery query, Func<AuditQuery, Task> read)
    {
        if (Interlocked.Increment(ref _readers) > MaxReaders)
        {
            Interlocked.Decrement(ref _readers);
            throw new HubException(HubErrors.ServiceUnavailable, $"{MaxReaders} requests read the audit trail already, which is the bound; retry later");
        }

        try
        {
            await audit.RequireAsync(context.Actor().Done(action, query.ToString()), context.RequestAborted);
            await read(query);
        }
        finally
        {
            Interlocked.Decrement(ref _readers);
        }
    }

    private static AuditQuery ParseTop(HttpContext context, out int top)
    {
        var text = context.Request.Query["top"].ToString();
        top = text.Length == 0 ? 100 : (int)Number("top", text, AuditReader.MaxTop);
        return Parse(context);
    }

    private static AuditQuery Parse(HttpContext context)
    {
        var query = context.Request.Query;
        if (query.FirstOrDefault(given => !Names.Contains(given.Key) || given.Value.Count != 1) is { Key: not null } wrong)
            throw new HubException(HubErrors.ArgumentInvalid, Names.Contains(wrong.Key) ? $"{wrong.Key}: may be given once" : "the parameters are principal, action, target, result, since, until, from, to and top; another one was given");

        return new AuditQuery(Text("principal"), Text("action"), Text("target"), Text("result"), Time("since"), Time("until"))
        {
            From = Text("from") is { } from ? Number("from", from, long.MaxValue) : 1,
            To = Text("to") is { } to ? Number("to", to, long.MaxValue) : long.MaxValue,
        };

        string? Text(string name) => query.TryGetValue(name, out var value) ? value.ToString() : null;

        DateTimeOffset? Time(string name) => Text(name) is not { } text ? null
            : IsoTime.TryParse(text, out var time) ? time
            : throw new HubException(HubErrors.ArgumentInvalid, $"{name}: a time such as 2026-08-01T12:00:00Z");
    }

    private static long Number(string name, string text, long max) =>
        long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= 1 && number <= max
            ? number
            : throw new HubException(HubErrors.ArgumentInvalid, max == long.MaxValue ? $"{name}: a number from 1 on" : $"{name}: 1 to {max}");
}

/// <param name="Anchors">Each as <c>audit anchor</c> prints it, or a collected line that holds one.</param>
internal sealed record AuditAnchorsJson(List<string>? Anchors);
