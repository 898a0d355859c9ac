using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Diagnosis;
using Sallyport.Hub.Limits;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;

namespace Sallyport.Heads.Http;

/// <summary>Why somebody was refused, for who may read the registry; each reading is in the audit trail.</summary>
internal sealed class DiagnosisRoutes(
    IdentityCache identities, ConnectedDevices connected, Quotas quotas, FailureBackoff backoff, Attempts attempts, Policies policies, IAuditTrail audit)
{
    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/manage/v1/devices/{id}/diagnosis", OfIdentityAsync).Requires(Rights.RegistryRead)
            .Describe("The last 50 attempts of a device to connect, and why they ended as they did; of a name that does not exist, what strangers tried under it.", answer: HttpJson.Wire.DiagnosisJson);
        routes.MapGet("/manage/v1/devices/{id}/modules/{moduleId}/diagnosis", OfIdentityAsync).Requires(Rights.RegistryRead)
            .Describe("The same for a module.", answer: HttpJson.Wire.DiagnosisJson);
        routes.MapGet("/manage/v1/policies/{name}/diagnosis", OfPolicyAsync).Requires(Rights.AccessManage)
            .Describe("The last 50 refusals of tokens of a policy.", answer: HttpJson.Wire.ListAttemptJson);
        routes.MapGet("/manage/v1/operators/{name}/diagnosis", OfOperatorAsync).Requires(Rights.AccessManage)
            .Describe("The last 50 refusals of an operator's credential.", answer: HttpJson.Wire.ListAttemptJson);
        routes.MapGet("/manage/v1/diagnosis/strangers", OfStrangersAsync).Requires(Rights.RegistryRead)
            .Describe("What was tried last under names that do not exist, or under none.", answer: HttpJson.Wire.ListAttemptJson);
    }

    private async Task OfIdentityAsync(HttpContext context)
    {
        var identity = context.RouteIdentity();
        await audit.RequireAsync(context.Actor().Done("device diagnose", identity.ToString()), context.RequestAborted);
        var diagnosis = DeviceDiagnosis.Of(identity, identities, connected, quotas, backoff, attempts);
        await context.WriteJsonAsync(DiagnosisJson.Of(diagnosis, identity.DeviceId, identity.ModuleId), HttpJson.Wire.DiagnosisJson);
    }

    private Task OfPolicyAsync(HttpContext context)
    {
        var name = context.RouteId("name")!;
        if (policies.List().All(policy => policy.Name != name))
            throw new HubException(HubErrors.NotFound, $"there is no policy {name}");

        return AnswerAsync(context, "policy diagnose", name);
    }

    private Task OfOperatorAsync(HttpContext context) => AnswerAsync(context, "operator diagnose", policies.FindOperator(context.RouteId("name")!).Name);

    private async Task AnswerAsync(HttpContext context, string action, string name)
    {
        await audit.RequireAsync(context.Actor().Done(action, name), context.RequestAborted);
        await context.WriteJsonAsync([.. attempts.Of(KnownSubjects.OfPolicy(name)).Select(AttemptJson.Of)], HttpJson.Wire.ListAttemptJson);
    }

    private async Task OfStrangersAsync(HttpContext context)
    {
        await audit.RequireAsync(context.Actor().Done("device diagnose", "strangers"), context.RequestAborted);
        await context.WriteJsonAsync([.. attempts.OfStrangers().Select(AttemptJson.Of)], HttpJson.Wire.ListAttemptJson);
    }
}

/// <param name="Authentication">How it has to prove itself; null when it is not registered.</param>
/// <param name="Through">The gateway that brought it (<c>edge/$edgeHub</c>); null when it came by itself.</param>
/// <param name="Throttled">How often the hub's limits held it back since it was seen first.</param>
/// <param name="ClockSkewSeconds">The latest estimate; negative: its clock is behind. Null: nothing gave it away.</param>
internal sealed record DiagnosisJson(
    string DeviceId,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] string? ModuleId,
    string Summary,
    bool Registered,
    bool? Enabled,
    string? Authentication,
    bool Connected,
    DateTime? ConnectedSince,
    string? Protocol,
    string? Peer,
    string? Through,
    double? ClockSkewSeconds,
    List<DuelJson> Duels,
    long Throttled,
    DateTime? LastThrottled,
    List<FailingJson> FailingAddresses,
    List<AttemptJson> Attempts)
{
    public static DiagnosisJson Of(DeviceDiagnosis diagnosis, string deviceId, string? moduleId) => new(
        deviceId, moduleId, diagnosis.Summary, diagnosis.IsRegistered, diagnosis.IsEnabled, AuthenticationJson.NameOf(diagnosis.Authentication),
        diagnosis.Link is not null, diagnosis.ConnectedSince?.UtcDateTime, diagnosis.Link?.Peer.Protocol, diagnosis.Link?.Peer.Address?.ToString(), diagnosis.Through,
        diagnosis.ClockSkew?.TotalSeconds, [.. diagnosis.Duels.Select(DuelJson.Of)], diagnosis.Throttling.Throttled,
        diagnosis.Throttling.LastThrottled?.UtcDateTime, [.. diagnosis.Failing.Select(FailingJson.Of)], [.. diagnosis.Attempts.Select(AttemptJson.Of)]);
}

internal sealed record DuelJson(string One, string Other, long TakeOvers, DateTime First, DateTime Last)
{
    public static DuelJson Of(Duel duel) => new(duel.One.ToString(), duel.Other.ToString(), duel.TakeOvers, duel.First.UtcDateTime, duel.Last.UtcDateTime);
}

/// <param name="Failures">Fading with time.</param>
/// <param name="RefusedForSeconds">How much longer the address is not answered when it names this identity; 0: it is.</param>
internal sealed record FailingJson(string Address, double Failures, double RefusedForSeconds)
{
    public static FailingJson Of(FailingAddress failing) => new(failing.Address.ToString(), failing.Failures, failing.RefusedFor.TotalSeconds);
}

/// <param name="Time">When it happened last.</param>
/// <param name="First">When it happened first, when <paramref name="Count"/> is more than 1.</param>
/// <param name="Outcome"><c>admitted</c>, <c>refused</c>, <c>closed</c> or <c>takenOver</c>.</param>
/// <param name="Code">The error code of the wire; 0: none.</param>
/// <param name="Credential">The fingerprint.</param>
/// <param name="Certificates">The chain as presented, leaf first, a line each.</param>
internal sealed record AttemptJson(
    DateTime Time,
    DateTime First,
    long Count,
    string Subject,
    string Protocol,
    string? Peer,
    string Outcome,
    int Code,
    string Reason,
    string Credential,
    DateTime? AcceptedUntil,
    double? ClockSkewSeconds,
    string? TakenOverBy,
    string Certificates)
{
    public static AttemptJson Of(Attempt attempt) => new(
        attempt.Last.UtcDateTime, attempt.First.UtcDateTime, attempt.Count, attempt.Subject, attempt.Peer.Protocol, attempt.Peer.Address?.ToString(),
        attempt.Outcome switch
        {
            AttemptOutcome.Admitted => "admitted",
            AttemptOutcome.Refused => "refused",
            AttemptOutcome.Closed => "closed",
            _ => "takenOver",
        },
        attempt.Code, attempt.Reason, attempt.Fingerprint, attempt.AcceptedUntil?.UtcDateTime, attempt.ClockSkew?.TotalSeconds,
        attempt.TakenOverBy?.ToString(), attempt.Certificates);
}
