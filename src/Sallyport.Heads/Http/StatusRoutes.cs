using System.Reflection;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Physical;
using Sallyport.Storage.EventLog;

namespace Sallyport.Heads.Http;

/// <summary>What runs here, and how far the log has come.</summary>
internal sealed class StatusRoutes(IServer server, IEventLog log, ConnectedDevices connected, Quarantine quarantine, ISettingsInForce settings, TimeProvider time, AnchorSender? anchors = null)
{
    private readonly long _started = time.GetTimestamp();

    private static readonly (string Name, StreamId Id)[] Streams =
        [("events", StreamId.Events), ("routed", StreamId.Routed), ("changes", StreamId.Changes), ("quarantine", StreamId.Quarantine)];

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/manage/v1/status", StatusAsync).Requires(Rights.AuditRead)
            .Describe("Version, uptime, listeners and the head of the log per stream and partition.", answer: HttpJson.Wire.StatusJson);
        routes.MapGet("/manage/v1/config", ConfigAsync).Requires(Rights.AuditRead)
            .Describe("The settings in force, without secrets.", answer: HttpJson.Wire.JsonObject);
    }

    private Task StatusAsync(HttpContext context)
    {
        var heads =
            from stream in Streams
            from partition in Enumerable.Range(0, log.PartitionCount)
            let head = log.Describe(stream.Id, partition)
            select new PartitionJson(stream.Name, partition, head.FirstSequence, head.NextSequence, head.LastEnqueuedTime.UtcDateTime);
        var status = new StatusJson(
            VersionOf(typeof(StatusRoutes).Assembly),
            (long)time.GetElapsedTime(_started).TotalSeconds,
            [.. server.Features.Get<IServerAddressesFeature>()?.Addresses ?? []],
            connected.Count,
            quarantine.Count,
            [.. heads],
            anchors?.Status ?? []);
        return context.WriteJsonAsync(status, HttpJson.Wire.StatusJson);
    }

    private Task ConfigAsync(HttpContext context) => context.WriteJsonAsync(settings.Describe(), HttpJson.Wire.JsonObject);

    private static string VersionOf(Assembly assembly) =>
        assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? assembly.GetName().Version!.ToString();
}

/// <param name="Listeners">Addresses that accept connections.</param>
internal sealed record StatusJson(
    string Version, long UptimeSeconds, IReadOnlyList<string> Listeners, int ConnectedDevices, int QuarantinedDevices, IReadOnlyList<PartitionJson> Log, IReadOnlyList<AnchorTargetStatus> AnchorTargets);

/// <param name="NextSequence">What the next record gets; equal to the first when there is none.</param>
internal sealed record PartitionJson(string Stream, int Partition, long FirstSequence, long NextSequence, DateTime LastEnqueuedTime);
