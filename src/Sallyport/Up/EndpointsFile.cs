using System.Text.Json;
using System.Text.Json.Serialization;

namespace Sallyport.Up;

/// <summary>
/// How to reach a running hub: <c>DIR/endpoints.json</c>, mode 0600. Written when every listener in it accepts, gone when the hub stops.
/// What is absent is not there. Its connection strings are secrets: never printed.
/// </summary>
internal sealed record EndpointsFile
{
    /// <summary>Without port.</summary>
    public required string HostName { get; init; }
    public required int HttpsPort { get; init; }
    public int? MqttsPort { get; init; }
    public int? AmqpsPort { get; init; }

    /// <summary>Where services and management are, under the same <see cref="HostName"/>; absent when they are where devices are.</summary>
    public string? ServiceAddress { get; init; }

    /// <summary>With <see cref="ServiceAddress"/>.</summary>
    public int? ServicePort { get; init; }

    /// <summary>AMQP for services, with <see cref="ServiceAddress"/>.</summary>
    public int? ServiceAmqpsPort { get; init; }

    /// <summary>The root to trust; absent when clients trust the certificate's issuer already.</summary>
    public string? CaFile { get; init; }

    /// <summary>Of <c>iothubowner</c>; never in production.</summary>
    public string? OwnerConnectionString { get; init; }

    /// <summary>Of <c>service</c>; never in production.</summary>
    public string? ServiceConnectionString { get; init; }

    /// <summary>Of the Event Hubs-compatible endpoint, with the key of <c>service</c>; never in production.</summary>
    public string? EventHubConnectionString { get; init; }

    public static string PathIn(string dataDirectory) => Path.Combine(dataDirectory, "endpoints.json");

    /// <exception cref="IOException">It cannot be written.</exception>
    public void Write(string dataDirectory) =>
        WholeFile.Replace(PathIn(dataDirectory), JsonSerializer.Serialize(this, EndpointsJson.Default.EndpointsFile) + "\n", WholeFile.OwnerOnly);

    /// <returns>Null when there is none.</returns>
    /// <exception cref="IOException">It cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">It belongs to somebody else.</exception>
    /// <exception cref="JsonException">It is not such a file.</exception>
    public static EndpointsFile? TryRead(string path)
    {
        try
        {
            return JsonSerializer.Deserialize(File.ReadAllBytes(path), EndpointsJson.Default.EndpointsFile);
        }
        catch (Exception missing) when (missing is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
    }

    public override string ToString() => $"{HostName}:{HttpsPort}";
}

[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, WriteIndented = true)]
[JsonSerializable(typeof(EndpointsFile))]
internal sealed partial class EndpointsJson : JsonSerializerContext;
