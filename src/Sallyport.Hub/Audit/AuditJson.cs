using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Sallyport.Hub.Audit;

/// <summary>How REST and command line show what verifying found: names in camelCase, faults as words, quotes in sentences readable.</summary>
[JsonSerializable(typeof(AuditVerification))]
public sealed partial class AuditJson : JsonSerializerContext
{
    public static readonly AuditJson Wire = new(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });
}

[JsonSourceGenerationOptions(JsonSerializerDefaults.Web, RespectRequiredConstructorParameters = true, RespectNullableAnnotations = true)]
[JsonSerializable(typeof(AuditAnchor.Written))]
internal sealed partial class AuditAnchorJson : JsonSerializerContext;
