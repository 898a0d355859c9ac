using System.Text.Json;
using System.Text.Json.Serialization;

namespace Sallyport.Certificates;

/// <summary>JSON of the development root's route.</summary>
[JsonSerializable(typeof(IssueRequestJson))]
[JsonSerializable(typeof(IssuedJson))]
internal sealed partial class DevelopmentRootWire : JsonSerializerContext
{
    public static readonly DevelopmentRootWire Json = new(new JsonSerializerOptions(JsonSerializerDefaults.Web) { AllowDuplicateProperties = false });
}

/// <param name="CertificateRequest">PKCS #10 in PEM; proves that who asks holds the key.</param>
/// <param name="Days">How long the certificate is valid; null: 365.</param>
internal sealed record IssueRequestJson(string? DeviceId, string? ModuleId, string? CertificateRequest, int? Days);

/// <param name="Certificate">PEM.</param>
internal sealed record IssuedJson(string CommonName, string Certificate, string Sha1Thumbprint, string Sha256Thumbprint, DateTime NotAfter);
