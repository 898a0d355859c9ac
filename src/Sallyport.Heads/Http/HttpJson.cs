using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Http;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Diagnosis;
using Sallyport.Hub.Jobs;
using Sallyport.Hub.Registry;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Errors;

namespace Sallyport.Heads.Http;

/// <summary>
/// JSON of the HTTP head. Reading ignores the case of names and what it does not know (later SDKs send more), and refuses
/// doubled names; writing keeps <c>+</c> in keys readable (the content type is never HTML).
/// </summary>
[JsonSerializable(typeof(AuditAnchorsJson))]
[JsonSerializable(typeof(AuditPage))]
[JsonSerializable(typeof(CertificateListJson))]
[JsonSerializable(typeof(CertificateProofJson))]
[JsonSerializable(typeof(CertificateRequestJson))]
[JsonSerializable(typeof(List<AttemptJson>))]
[JsonSerializable(typeof(CheckpointJson))]
[JsonSerializable(typeof(CommandJson))]
[JsonSerializable(typeof(List<CommandJson>))]
[JsonSerializable(typeof(CommandRequestJson))]
[JsonSerializable(typeof(CommandSentJson))]
[JsonSerializable(typeof(PurgeJson))]
[JsonSerializable(typeof(ConsumerGroupJson))]
[JsonSerializable(typeof(List<ConsumerGroupJson>))]
[JsonSerializable(typeof(LimitsJson))]
[JsonSerializable(typeof(DeviceLimitsJson))]
[JsonSerializable(typeof(IpFilterJson))]
[JsonSerializable(typeof(DiagnosisJson))]
[JsonSerializable(typeof(List<DigitalTwinOperation>))]
[JsonSerializable(typeof(ErrorJson))]
[JsonSerializable(typeof(IdentityJson))]
[JsonSerializable(typeof(List<IdentityJson>))]
[JsonSerializable(typeof(IdentityRequestJson))]
[JsonSerializable(typeof(List<IdentityRequestJson>))]
[JsonSerializable(typeof(BulkResultJson))]
[JsonSerializable(typeof(KeyRenewalRequestJson))]
[JsonSerializable(typeof(KeyRenewalResultJson))]
[JsonSerializable(typeof(JobRequest))]
[JsonSerializable(typeof(JobJson))]
[JsonSerializable(typeof(List<JobJson>))]
[JsonSerializable(typeof(OtherJobJson))]
[JsonSerializable(typeof(JsonObject))]
[JsonSerializable(typeof(MethodCallJson))]
[JsonSerializable(typeof(MethodResultJson))]
[JsonSerializable(typeof(KeyChoiceJson))]
[JsonSerializable(typeof(List<OperatorJson>))]
[JsonSerializable(typeof(OperatorRequestJson))]
[JsonSerializable(typeof(OperatorStatusJson))]
[JsonSerializable(typeof(List<PolicyAdviceJson>))]
[JsonSerializable(typeof(List<PolicyJson>))]
[JsonSerializable(typeof(PolicyRequestJson))]
[JsonSerializable(typeof(PostureJson))]
[JsonSerializable(typeof(QuarantineJson))]
[JsonSerializable(typeof(List<QuarantineJson>))]
[JsonSerializable(typeof(QuarantineRequestJson))]
[JsonSerializable(typeof(QueryRequestJson))]
[JsonSerializable(typeof(List<JsonObject>))]
[JsonSerializable(typeof(RevocationRequestJson))]
[JsonSerializable(typeof(RotationJson))]
[JsonSerializable(typeof(RegistryJobPropertiesJson))]
[JsonSerializable(typeof(List<RegistryJobPropertiesJson>))]
[JsonSerializable(typeof(RegistryJobRequestJson))]
[JsonSerializable(typeof(ScopeResultJson))]
[JsonSerializable(typeof(TargetScopeRequestJson))]
[JsonSerializable(typeof(OnBehalfRequestJson))]
[JsonSerializable(typeof(SecretsJson))]
[JsonSerializable(typeof(StatusJson))]
[JsonSerializable(typeof(RegistryStatisticsJson))]
[JsonSerializable(typeof(RevokedJson))]
[JsonSerializable(typeof(ServiceStatisticsJson))]
[JsonSerializable(typeof(UploadRequestJson))]
[JsonSerializable(typeof(UploadJson))]
[JsonSerializable(typeof(UploadEndJson))]
[JsonSerializable(typeof(List<DeviceFileJson>))]
[JsonSerializable(typeof(List<OpenUploadJson>))]
[JsonSerializable(typeof(FileReadRequestJson))]
[JsonSerializable(typeof(FileReadJson))]
[JsonSerializable(typeof(TokenExplanation))]
[JsonSerializable(typeof(TokenRequestJson))]
[JsonSerializable(typeof(TokenResetJson))]
internal sealed partial class HttpJson : JsonSerializerContext
{
    public static readonly HttpJson Wire = new(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        PropertyNameCaseInsensitive = true,
        AllowDuplicateProperties = false,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });
}

public static class HttpJsonBody
{
    /// <summary>PEM as it is, or base64 of DER (or of PEM, as <c>az</c> sends it): a certificate, or a revocation list.</summary>
    /// <returns>Null when there is none.</returns>
    /// <exception cref="HubException">400: it is neither.</exception>
    public static byte[]? PemOrDer(string field, string? text)
    {
        if (string.IsNullOrWhiteSpace(text))
            return null;
        if (text.Contains("-----BEGIN", StringComparison.Ordinal))
            return System.Text.Encoding.UTF8.GetBytes(text);

        try
        {
            return Convert.FromBase64String(text);
        }
        catch (FormatException)
        {
            throw new HubException(HubErrors.ArgumentInvalid, $"{field}: neither PEM nor base64");
        }
    }

    /// <summary>Reads the body as JSON, and asks again who called (<see cref="RouteAccess.ConfirmCallerAsync"/>).</summary>
    /// <exception cref="HubException">400: it is empty or not what the request needs; says where, repeats nothing of it. 401: the caller is let in no more.</exception>
    public static async ValueTask<T> ReadJsonAsync<T>(this HttpContext context, JsonTypeInfo<T> type)
    {
        try
        {
            var body = await JsonSerializer.DeserializeAsync(context.Request.Body, type, context.RequestAborted)
                ?? throw new HubException(HubErrors.FormatError, "the body is null");
            await context.ConfirmCallerAsync();
            return body;
        }
        catch (JsonException e)
        {
            throw new HubException(
                HubErrors.FormatError,
                $"the body is not the JSON that this request needs: at {e.Path ?? "$"}, line {e.LineNumber + 1 ?? 1}, byte {e.BytePositionInLine + 1 ?? 1}");
        }
    }

    /// <summary>Reads one of the enum's names in any case; a number is none.</summary>
    public static bool TryName<T>(string? text, out T value)
        where T : struct, Enum
    {
        value = default;
        return Enum.GetNames<T>().Contains(text, StringComparer.OrdinalIgnoreCase) && Enum.TryParse(text, ignoreCase: true, out value);
    }

    public static Task WriteJsonAsync<T>(this HttpContext context, T value, JsonTypeInfo<T> type)
    {
        context.Response.ContentType = "application/json; charset=utf-8";
        return JsonSerializer.SerializeAsync(context.Response.Body, value, type, context.RequestAborted);
    }
}
