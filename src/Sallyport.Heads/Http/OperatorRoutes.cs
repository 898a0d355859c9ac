using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Heads.Http;

/// <summary>
/// Operators: people with a credential of their own that ends by itself, a key or a client certificate. A key is in the answer that made it, and
/// never again.
/// </summary>
internal sealed class OperatorRoutes(Policies policies, CertificateAuthorities authorities, TimeProvider time)
{
    private const string One = "/manage/v1/operators/{name}";

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/manage/v1/operators", ListAsync).Requires(Rights.AccessManage)
            .Describe("Lists the operators, without their keys.", answer: HttpJson.Wire.ListOperatorJson);
        routes.MapGet(One, GetAsync).Requires(Rights.AccessManage)
            .Describe("Shows an operator, without its key.", answer: HttpJson.Wire.OperatorJson);
        routes.MapPut(One, PutAsync).Requires(Rights.AccessManage)
            .Describe("Creates an operator; without certificate and thumbprint with a key, which this answer alone holds.", HttpJson.Wire.OperatorRequestJson, HttpJson.Wire.OperatorJson);
        routes.MapPost($"{One}/renew", RenewAsync).Requires(Rights.AccessManage)
            .Describe("Gives an operator a new key or certificate, and a new end.", HttpJson.Wire.OperatorRequestJson, HttpJson.Wire.OperatorJson);
        routes.MapPatch(One, PatchAsync).Requires(Rights.AccessManage)
            .Describe("Disables an operator, or enables it again.", HttpJson.Wire.OperatorStatusJson, HttpJson.Wire.OperatorJson);
        routes.MapDelete(One, DeleteAsync).Requires(Rights.AccessManage)
            .Describe("Deletes an operator; its credential is refused from then on.");
    }

    private Task ListAsync(HttpContext context) =>
        context.WriteJsonAsync([.. policies.ListOperators().Select(record => OperatorJson.Of(record, time, withKey: false))], HttpJson.Wire.ListOperatorJson);

    private Task GetAsync(HttpContext context) => Answer(context, policies.FindOperator(NameOf(context)), withKey: false);

    private async Task PutAsync(HttpContext context)
    {
        var request = await context.ReadJsonAsync(HttpJson.Wire.OperatorRequestJson);
        await Answer(context, await policies.CreateOperatorAsync(
            context.Actor(), NameOf(context), GrantJson.RightsOf(request.Rights ?? ""), GrantJson.ScopeOf(request.DevicePrefixes, request.DeviceTags, request.ConsumerGroups),
            LifeOf(request), CertificateOf(request), context.RequestAborted), withKey: true);
    }

    private async Task PatchAsync(HttpContext context)
    {
        var request = await context.ReadJsonAsync(HttpJson.Wire.OperatorStatusJson);
        var enabled = request.Status switch
        {
            "enabled" => true,
            "disabled" => false,
            _ => throw new HubException(HubErrors.ArgumentInvalid, "status: enabled or disabled"),
        };
        await Answer(context, await policies.EnableOperatorAsync(context.Actor(), NameOf(context), enabled, context.RequestAborted), withKey: false);
    }

    private async Task RenewAsync(HttpContext context)
    {
        var request = await context.ReadJsonAsync(HttpJson.Wire.OperatorRequestJson);
        if (request.Rights is not null || request.DevicePrefixes is not null || request.DeviceTags is not null || request.ConsumerGroups is not null)
            throw new HubException(HubErrors.ArgumentInvalid, "a renewal changes no rights: delete the operator and create it anew");

        await Answer(context, await policies.RenewOperatorAsync(context.Actor(), NameOf(context), LifeOf(request), CertificateOf(request), context.RequestAborted), withKey: true);
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

    private OperatorCertificate? CertificateOf(OperatorRequestJson request)
    {
        if (request.Certificate is not null && request.Thumbprint is not null)
            throw new HubException(HubErrors.ArgumentInvalid, "give one of certificate and thumbprint");
        if (request.Certificate is not null)
            return OperatorCertificate.Read(HttpJsonBody.PemOrDer("certificate", request.Certificate) ?? [], authorities, time.GetUtcNow());
        return request.Thumbprint is null ? null : OperatorCertificate.Of(request.Thumbprint);
    }

    private static string NameOf(HttpContext context) => context.RouteId("name")!;
}

/// <summary>Holds a key where it was just made: never printed.</summary>
internal sealed class OperatorJson
{
    public required string Name { get; init; }

    /// <summary><c>enabled</c> or <c>disabled</c>.</summary>
    public required string Status { get; init; }

    public required string Rights { get; init; }
    public required string[] DevicePrefixes { get; init; }
    public required string[] DeviceTags { get; init; }
    public required string[] ConsumerGroups { get; init; }
    public required DateTime CreatedTime { get; init; }
    public required DateTime ExpiresTime { get; init; }
    public required bool HasEnded { get; init; }

    /// <summary>What tokens of this operator are named (<c>skn</c>).</summary>
    public required string KeyName { get; init; }

    /// <summary>SHA-256 of the certificate that is its credential; left out when a key is.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? CertificateThumbprint { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? Key { get; init; }

    public static OperatorJson Of(PolicyRecord record, TimeProvider time, bool withKey) => new()
    {
        Name = record.Name[Policies.OperatorPrefix.Length..],
        Status = record.Disabled ? "disabled" : "enabled",
        Rights = RightsText.Format((Rights)record.Rights),
        DevicePrefixes = [.. Scope.Of(record).DevicePrefixes],
        DeviceTags = GrantJson.TagsOf(Scope.Of(record)),
        ConsumerGroups = [.. Scope.Of(record).ConsumerGroups],
        CreatedTime = record.CreatedTime.UtcDateTime,
        ExpiresTime = record.Expires!.Value.UtcDateTime,
        HasEnded = record.Expires <= time.GetUtcNow(),
        KeyName = record.Name,
        CertificateThumbprint = record.CertificateThumbprint,

        // Nobody knows the key of an operator with a certificate, so nobody can sign with it.
        Key = withKey && record.CertificateThumbprint is null ? record.PrimaryKey : null,
    };
}

internal sealed class OperatorRequestJson
{
    /// <summary>Names out of <see cref="RightsText.Names"/>, separated by commas.</summary>
    public string? Rights { get; init; }

    /// <summary>Beginnings of device ids; none for all devices.</summary>
    public string[]? DevicePrefixes { get; init; }

    /// <summary>As <see cref="DeviceTag.Syntax"/> says; none for all devices.</summary>
    public string[]? DeviceTags { get; init; }

    public string[]? ConsumerGroups { get; init; }

    /// <summary>300 to 2,592,000; default 28,800.</summary>
    public long? ValidForSeconds { get; init; }

    /// <summary>PEM, or base64 of DER or PEM; null and no <see cref="Thumbprint"/>: the hub makes a key.</summary>
    public string? Certificate { get; init; }

    /// <summary>SHA-256 of the certificate, 64 hex digits.</summary>
    public string? Thumbprint { get; init; }
}

/// <param name="Status"><c>enabled</c> or <c>disabled</c>.</param>
internal sealed record OperatorStatusJson(string? Status);
