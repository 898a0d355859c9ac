using System.Text.Json;
using System.Text.Json.Serialization;
using Sallyport.Services.Connections;

namespace Sallyport.Connections;

/// <summary>JSON of the connection routes. A field that is not known or named twice is refused: it may be a secret in the wrong place.</summary>
[JsonSerializable(typeof(ConnectionRequestJson))]
[JsonSerializable(typeof(ConnectionJson))]
[JsonSerializable(typeof(List<ConnectionJson>))]
[JsonSerializable(typeof(ConnectionTestJson))]
internal sealed partial class ConnectionWire : JsonSerializerContext
{
    public static readonly ConnectionWire Json = new(new JsonSerializerOptions(JsonSerializerDefaults.Web)
    {
        AllowDuplicateProperties = false,
        UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow,
        Converters = { new JsonStringEnumConverter<ConnectionState>(JsonNamingPolicy.CamelCase) },
    });
}
