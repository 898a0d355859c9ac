using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Sallyport.Hub.Registry;

/// <summary>
/// Identities as JSON, where it is no head that reads and writes it. As on the wire: reading ignores the case of names and what it does not know, and
/// refuses doubled names.
/// </summary>
[JsonSerializable(typeof(IdentityJson))]
[JsonSerializable(typeof(IdentityRequestJson))]
internal sealed partial class RegistryJson : JsonSerializerContext
{
    public static readonly RegistryJson Wire = new(new JsonSerializerOptions
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        PropertyNameCaseInsensitive = true,
        AllowDuplicateProperties = false,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    });
}
