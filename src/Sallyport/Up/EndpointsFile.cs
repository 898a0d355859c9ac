using System.Text.Json;
using System.Text.Json.Serialization;
using Sallyport.Certificates;
using Sallyport.Heads.Amqp;
using Sallyport.Hub.Access;
using Sallyport.Settings;
using Sallyport.Storage;

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

    /// <summary>Of a hub whose listeners have their ports.</summary>
    public static EndpointsFile Of(HubSettings settings, DataDirectory data, ListenSockets sockets, Policies policies)
    {
        var eventsPort = (sockets.ServiceAmqps.Count > 0 ? sockets.ServiceAmqps : sockets.Amqps)[0].Port;

        // A secret on disk in the clear is for development only.
        string? ConnectionString(string name) => settings.Hub.Production ? null : policies.List().FirstOrDefault(policy => policy.Name == name) is { } policy
            ? $"HostName={settings.Hub.Hosts[0]};SharedAccessKeyName={policy.Name};SharedAccessKey={policy.PrimaryKey}"
            : null;

        return new EndpointsFile
        {
            HostName = settings.Hub.Hosts[0],
            HttpsPort = sockets.Https[0].Port,
            MqttsPort = sockets.Mqtts[0].Port,
            AmqpsPort = sockets.Amqps[0].Port,
            ServiceAmqpsPort = sockets.ServiceAmqps.Count == 0 ? null : sockets.ServiceAmqps[0].Port,
            ServiceAddress = settings.Listeners.ServiceBind,
            ServicePort = sockets.Services.Count == 0 ? null : sockets.Services[0].Port,
            CaFile = settings.Tls.CertificateFile is null ? TlsDirectory.CaFileOf(data.Path) : settings.Tls.CaFile,
            OwnerConnectionString = ConnectionString(Policies.Owner),
            ServiceConnectionString = ConnectionString("service"),
            EventHubConnectionString = settings.Hub.Production ? null : policies.List().FirstOrDefault(policy => policy.Name == "service") is { } reader
                ? EventHubName.ConnectionString(settings.Hub.Hosts[0], eventsPort, reader.Name, reader.PrimaryKey)
                : null,
        };
    }

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
