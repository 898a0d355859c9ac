using System.Text.Json.Serialization;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Metadata;
using Microsoft.AspNetCore.Routing;
using Sallyport.Hub.Access;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Heads.Http;

/// <summary>
/// The certificate authorities of devices. Names and shape are those of <c>az iot hub certificate</c> (Azure's <c>CertificateDescription</c>);
/// prefix, tags and revocation are ours.
/// </summary>
internal sealed class CertificateRoutes(CertificateAuthorities authorities)
{
    private const string One = "/manage/v1/certificates/{name}";

    public void Map(IEndpointRouteBuilder routes)
    {
        routes.MapGet("/manage/v1/certificates", ListAsync).Requires(Rights.AccessManage)
            .Describe("Lists the certificate authorities of devices.", answer: HttpJson.Wire.CertificateListJson);
        routes.MapGet(One, GetAsync).Requires(Rights.AccessManage)
            .Describe("Shows a certificate authority, with its verification code when one was asked for.", answer: HttpJson.Wire.CertificateJson);
        routes.MapPut(One, PutAsync).Requires(Rights.AccessManage)
            .Describe("Registers a certificate authority; with If-Match changes it.", HttpJson.Wire.CertificateRequestJson, HttpJson.Wire.CertificateJson);
        routes.MapDelete(One, DeleteAsync).Requires(Rights.AccessManage)
            .Describe("Deletes a certificate authority; the connections of devices that it vouches for end.");
        routes.MapPost($"{One}/generateVerificationCode", GenerateAsync).Requires(Rights.AccessManage)
            .Describe("Makes a new verification code, the common name of the certificate that proves possession of the authority's key.", answer: HttpJson.Wire.CertificateJson);
        routes.MapPost($"{One}/verify", VerifyAsync).Requires(Rights.AccessManage)
            .Describe("Verifies a certificate authority by the certificate that it signed.", HttpJson.Wire.CertificateProofJson, HttpJson.Wire.CertificateJson);
        routes.MapPut($"{One}/revocation", SetRevocationAsync).Requires(Rights.AccessManage).WithMetadata(new LargeBody())
            .Describe("Says what is done about revoked certificates: off, soft-fail or hard-fail, by a list that is given or at a url.", HttpJson.Wire.RevocationRequestJson, HttpJson.Wire.CertificateJson);
    }

    private Task ListAsync(HttpContext context) => context.WriteJsonAsync(
        new CertificateListJson([.. authorities.List().Select(CertificateJson.Of)]), HttpJson.Wire.CertificateListJson);

    private Task GetAsync(HttpContext context) => Answer(context, authorities.Show(NameOf(context)));

    private async Task PutAsync(HttpContext context)
    {
        var request = await context.ReadJsonAsync(HttpJson.Wire.CertificateRequestJson);
        await Answer(context, await authorities.PutAsync(
            context.Actor(), NameOf(context), HttpJsonBody.PemOrDer("certificate", request.Properties?.Certificate), request.Properties?.IsVerified, request.Properties?.IdPrefix, request.Properties?.DeviceTags,
            ConditionOf(context), context.RequestAborted));
    }

    private async Task DeleteAsync(HttpContext context)
    {
        await authorities.DeleteAsync(context.Actor(), NameOf(context), ConditionOf(context) ?? EntityTagCondition.Any, context.RequestAborted);
        context.Response.StatusCode = StatusCodes.Status204NoContent;
    }

    private async Task GenerateAsync(HttpContext context) => await Answer(context, await authorities.GenerateVerificationCodeAsync(
        context.Actor(), NameOf(context), ConditionOf(context) ?? EntityTagCondition.Any, context.RequestAborted));

    private async Task VerifyAsync(HttpContext context)
    {
        var request = await context.ReadJsonAsync(HttpJson.Wire.CertificateProofJson);
        var proof = HttpJsonBody.PemOrDer("certificate", request.Certificate) ?? throw new HubException(HubErrors.ArgumentInvalid, "certificate: PEM or base64 of DER is needed");
        await Answer(context, await authorities.VerifyAsync(
            context.Actor(), NameOf(context), proof, ConditionOf(context) ?? EntityTagCondition.Any, context.RequestAborted));
    }

    private async Task SetRevocationAsync(HttpContext context)
    {
        var request = await context.ReadJsonAsync(HttpJson.Wire.RevocationRequestJson);
        var check = request.Mode switch
        {
            "off" => RevocationCheck.Off,
            "soft-fail" => RevocationCheck.SoftFail,
            "hard-fail" => RevocationCheck.HardFail,
            _ => throw new HubException(HubErrors.ArgumentInvalid, "mode: off, soft-fail or hard-fail"),
        };
        await Answer(context, await authorities.SetRevocationAsync(
            context.Actor(), NameOf(context), check, HttpJsonBody.PemOrDer("crl", request.Crl), request.CrlUrl, ConditionOf(context) ?? EntityTagCondition.Any, context.RequestAborted));
    }

    private static string NameOf(HttpContext context) => context.RouteId("name")!;

    private static EntityTagCondition? ConditionOf(HttpContext context) =>
        context.Request.Headers.IfMatch is { Count: > 0 } header ? EntityTagCondition.Parse(header.ToString()) : null;

    private static Task Answer(HttpContext context, CertificateAuthorityState state) => context.WriteJsonAsync(CertificateJson.Of(state), HttpJson.Wire.CertificateJson);

    // Revocation lists in base64.
    private sealed class LargeBody : IRequestSizeLimitMetadata
    {
        public long? MaxRequestBodySize => CertificateAuthorities.MaxRevocationListBytes * 3 / 2;
    }
}

internal sealed record CertificateListJson(IReadOnlyList<CertificateJson> Value);

internal sealed record CertificateJson(string Name, string Etag, CertificatePropertiesJson Properties)
{
    public static CertificateJson Of(CertificateAuthorityState state) => new(
        state.Record.Name,
        EntityTag.Format(state.Record.ETag),
        new CertificatePropertiesJson
        {
            Subject = state.Certificate.Subject,
            Expiry = state.Certificate.NotAfter.ToUniversalTime(),
            Thumbprint = state.Certificate.Thumbprint,
            IsVerified = state.Record.Verified,
            Created = state.Record.CreatedTime.UtcDateTime,
            Updated = state.Record.UpdatedTime.UtcDateTime,
            Certificate = Convert.ToBase64String(state.Record.Certificate),
            VerificationCode = state.Record.VerificationCode,
            IdPrefix = state.Record.IdPrefix,
            DeviceTags = GrantJson.TagsOf(Scope.Of(state.Record)),
            Revocation = new RevocationJson(
                state.Record.Revocation switch { RevocationCheck.SoftFail => "soft-fail", RevocationCheck.HardFail => "hard-fail", _ => "off" },
                state.Record.CrlUrl, state.ListsTakenTime?.UtcDateTime, state.NextUpdate?.UtcDateTime, state.RevokedCount, state.RenewalFault),
        });
}

internal sealed class CertificatePropertiesJson
{
    public required string Subject { get; init; }
    public required DateTime Expiry { get; init; }

    /// <summary>SHA-1, as in Azure.</summary>
    public required string Thumbprint { get; init; }

    public required bool IsVerified { get; init; }
    public required DateTime Created { get; init; }
    public required DateTime Updated { get; init; }

    /// <summary>Base64 of DER.</summary>
    public required string Certificate { get; init; }

    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public string? VerificationCode { get; init; }

    public required string IdPrefix { get; init; }

    /// <summary>As <see cref="DeviceTag.Syntax"/> says; empty for all devices.</summary>
    public required string[] DeviceTags { get; init; }

    public required RevocationJson Revocation { get; init; }
}

/// <param name="TakenTime">When the list was given or fetched; null when there is none.</param>
/// <param name="NextUpdate">Until when it is in force.</param>
/// <param name="Problem">Why it could not be fetched anew lately; null when it could.</param>
internal sealed record RevocationJson(string Mode, string? CrlUrl, DateTime? TakenTime, DateTime? NextUpdate, int RevokedCount, string? Problem);

internal sealed record CertificateRequestJson(CertificateRequestPropertiesJson? Properties);

internal sealed record CertificateRequestPropertiesJson(string? Certificate, bool? IsVerified, string? IdPrefix, string[]? DeviceTags);

internal sealed record CertificateProofJson(string? Certificate);

internal sealed record RevocationRequestJson(string? Mode, string? Crl, string? CrlUrl);
