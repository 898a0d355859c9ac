using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.Hosting;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.EventLog;

namespace Sallyport.Heads.Http;

/// <summary>
/// The streaming read of the built-in endpoint: <c>GET /manage/v1/events</c> answers newline-delimited JSON, an event a line
/// (<see cref="EventJson"/>), until the client goes, <c>maxEvents</c> is reached, or with <c>follow=false</c> the end.
/// Lines with <c>control</c> are the hub's:
/// <list type="bullet">
/// <item><c>{"control":"start","positions":{"0":17}}</c>: first, when <c>positions</c> was given, also empty: which sequence number comes next, per
/// partition. A reader that keeps them up to date and gives them back goes on exactly where it was.</item>
/// <item><c>{"control":"skipped","partition":0,"count":12}</c>: that many events before the next one are gone. A position before the oldest
/// event starts at the oldest and says so here, as does a reader that retention overtakes; both look the same to whoever counts.</item>
/// <item><c>{"control":"heartbeat"}</c>: nothing came for a while, all is well.</item>
/// <item><c>{"control":"end","reason":"…"}</c>: the hub ends the stream, because the token expired or was revoked, its policy was deleted or got a new key,
/// the consumer group was deleted, or the hub stops.</item>
/// </list>
/// </summary>
internal sealed class EventRoutes(
    EventReader reader, Checkpoints checkpoints, ConsumerGroups groups, EventReadOptions options, PrivilegedReads reads, RevokedTokens revoked, TimeProvider time, IHostApplicationLifetime lifetime)
{
    // CancellationTokenSource takes no longer delays; a token that lives longer is looked at again by its next request.
    private static readonly TimeSpan LongestLife = TimeSpan.FromDays(49);

    private int _readers;

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/manage/v1/events", context => ReadAsync(context, StreamId.Events)).Requires(Rights.TelemetryRead).KeepsToScope()
            .Describe("Events of the built-in endpoint as newline-delimited JSON: consumerGroup, partition, from, deviceId, checkpoint, positions, follow, maxEvents.");

        routes.MapGet("/manage/v1/changes", context => ReadAsync(context, StreamId.Changes)).Requires(Rights.TwinRead | Rights.RegistryRead).KeepsToScope()
            .Describe("What happened to twins and identities, as newline-delimited JSON: partition, from, deviceId, positions, follow, maxEvents.");

        // Data that must not be taken for the truth is for those who look into what happened.
        routes.MapGet("/manage/v1/quarantine/events", context => ReadAsync(context, StreamId.Quarantine)).Requires(Rights.TelemetryRead | Rights.AuditRead).KeepsToScope()
            .Describe("What devices in quarantine report, as newline-delimited JSON: partition, from, deviceId, positions, follow, maxEvents.");
    }

    private async Task ReadAsync(HttpContext context, StreamId stream)
    {
        var request = EventReadRequest.Parse(context.Request.Query, reader.PartitionCount);
        // Groups and their checkpoints are positions in the stream events.
        if (stream != StreamId.Events && (request.Checkpoint is not null || context.Request.Query.ContainsKey("consumerGroup")))
            throw new HubException(HubErrors.ArgumentInvalid, "consumerGroup and checkpoint: only telemetry has them; go on with positions or from");
        var group = groups.Require(context, request.ConsumerGroup).Name;
        if (Interlocked.Increment(ref _readers) > options.MaxReaders)
        {
            Interlocked.Decrement(ref _readers);
            throw new HubException(HubErrors.ServiceUnavailable, $"{options.MaxReaders} requests read events already, which is the bound; retry later");
        }

        try
        {
            reads.Note(context.Actor(), stream == StreamId.Quarantine ? "quarantine read" : stream == StreamId.Changes ? "changes read" : "event read", $"{group}/{(request.Partition is { } partition ? $"{partition}" : "*")}");
            await StreamAsync(context, stream, request, group);
        }
        finally
        {
            Interlocked.Decrement(ref _readers);
        }
    }

    private async Task StreamAsync(HttpContext context, StreamId stream, EventReadRequest request, string group)
    {
        var caller = context.Caller().Principal!;
        using var watch = new ConsumerGroupWatch(groups, group);
        var query = new EventQuery
        {
            Stream = stream, Starts = StartsOf(request, group), Devices = request.Devices, Scope = caller.Scope, Follow = request.Follow, Heartbeat = options.Heartbeat,
        };
        var left = caller.Expires - time.GetUtcNow();
        using var expired = new CancellationTokenSource(left < TimeSpan.Zero ? TimeSpan.Zero : left < LongestLife ? left : LongestLife, time);
        using var revocation = new RevocationWatch(revoked, caller.CredentialFingerprint);
        using var end = CancellationTokenSource.CreateLinkedTokenSource(
            context.RequestAborted, lifetime.ApplicationStopping, expired.Token, caller.Withdrawn, revocation.Revoked, watch.Deleted);

        using var reading = reader.Open(query);

        context.Response.ContentType = "application/x-ndjson";
        context.Response.Headers.CacheControl = "no-store";
        await using var lines = new EventLines(context.Response.BodyWriter);
        if (request.Positions is not null)
            lines.WriteStart(reading.Positions);
        await lines.FlushAsync(context.RequestAborted); // The answer's head must not wait for the first event.
        try
        {
            await foreach (var page in reading.ReadAsync(end.Token))
            {
                lines.Write(page, request.MaxEvents - lines.Events);
                await lines.FlushAsync(context.RequestAborted);
                if (lines.Events == request.MaxEvents)
                    return;
            }
        }
        catch (OperationCanceledException) when (end.IsCancellationRequested && !context.RequestAborted.IsCancellationRequested)
        {
            lines.WriteEnd(
                lifetime.ApplicationStopping.IsCancellationRequested ? "the hub is stopping"
                : caller.Withdrawn.IsCancellationRequested ? "the policy was deleted or got a new key"
                : revocation.Revoked.IsCancellationRequested ? "the token was revoked"
                : watch.Deleted.IsCancellationRequested ? "the consumer group was deleted"
                : "the token expired");
            await lines.FlushAsync(context.RequestAborted);
        }
    }

    private Dictionary<int, LogStart> StartsOf(EventReadRequest request, string group)
    {
        var saved = request.Checkpoint is { } name ? checkpoints.Find(group, name) : new Dictionary<int, long>();
        return reader.Starts(request.From, request.Partition).ToDictionary(
            start => start.Key,
            start => request.Positions?.TryGetValue(start.Key, out var next) is true || saved.TryGetValue(start.Key, out next)
                ? LogStart.FromSequence(next)
                : start.Value);
    }
}
