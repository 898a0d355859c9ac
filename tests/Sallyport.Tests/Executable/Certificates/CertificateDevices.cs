using System.Globalization;
using System.Net;
using System.Net.Security;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Protocol.Mqtt;
using Sallyport.Tests.Executable.Bounds;
using Sallyport.Tests.Hub.Access.Certificates;

namespace Sallyport.Tests.Executable.Certificates;

/// <summary>Devices that come to a whole hub by certificate, and the authorities behind them.</summary>
internal sealed class CertificateDevices(TestHub hub)
{
    public static readonly string[] Transports = ["MQTT", "MQTT-WS", "HTTPS"];

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    /// <summary>Registers an authority that is trusted without proof.</summary>
    public async Task TrustAsync(string name, TestAuthority authority, string? idPrefix = null)
    {
        using var owner = hub.Owner();
        var properties = new JsonObject { ["certificate"] = authority.Certificate.ExportCertificatePem(), ["isVerified"] = true, ["idPrefix"] = idPrefix };
        await owner.SendAsync(HttpMethod.Put, $"manage/v1/certificates/{name}", new JsonObject { ["properties"] = properties }, cancel: Cancel);
    }

    public async Task DistrustAsync(string name)
    {
        using var owner = hub.Owner();
        await owner.SendAsync(HttpMethod.Delete, $"manage/v1/certificates/{name}", cancel: Cancel);
    }

    public async Task RevokeAsync(string name, byte[] list, string mode = "hard-fail")
    {
        using var owner = hub.Owner();
        await owner.SendAsync(
            HttpMethod.Put, $"manage/v1/certificates/{name}/revocation", new JsonObject { ["mode"] = mode, ["crl"] = Convert.ToBase64String(list) }, cancel: Cancel);
    }

    /// <param name="thumbprint">Null: certificates of an authority.</param>
    public async Task RegisterAsync(string id, string? thumbprint = null, string? ifMatch = null)
    {
        using var owner = hub.Owner();
        var authentication = thumbprint is null
            ? new JsonObject { ["type"] = "certificateAuthority" }
            : new JsonObject { ["type"] = "selfSigned", ["x509Thumbprint"] = new JsonObject { ["primaryThumbprint"] = thumbprint } };
        await owner.PutDeviceAsync(id, new JsonObject { ["authentication"] = authentication }, ifMatch, Cancel);
    }

    /// <summary>Comes over the transport, and says whether it was let in. An MQTT connection is closed again.</summary>
    public async Task<bool> ComeAsync(string transport, string id, PresentedCertificate shown)
    {
        if (transport == "HTTPS")
            return await PostAsync(id, shown) is HttpStatusCode.NoContent;

        await using var device = await OpenAsync(transport, id, shown);
        return await device.ConnectByCertificateAsync() is MqttConnectCode.Accepted;
    }

    public Task<WireDevice> OpenAsync(string transport, string id, PresentedCertificate shown) => WireDevice.OpenAsync(hub.Endpoints, transport, id, Context(shown));

    public Task<HttpStatusCode> PostAsync(string id, PresentedCertificate shown) => SendAsync(HttpMethod.Post, $"devices/{Uri.EscapeDataString(id)}/messages/events", shown);

    /// <summary>Asks for the devices there are, as an operator would.</summary>
    public Task<HttpStatusCode> AskAsync(PresentedCertificate shown) => SendAsync(HttpMethod.Get, "devices", shown);

    private async Task<HttpStatusCode> SendAsync(HttpMethod method, string path, PresentedCertificate shown)
    {
        using var handler = new SocketsHttpHandler();
        handler.SslOptions.CertificateChainPolicy = WireDevice.Trust(hub.Endpoints);
        handler.SslOptions.ClientCertificateContext = Context(shown);
        using var http = new HttpClient(handler);
        using var request = new HttpRequestMessage(method, string.Create(CultureInfo.InvariantCulture, $"https://localhost:{hub.Endpoints.HttpsPort}/{path}?api-version=2021-04-12"));
        if (method == HttpMethod.Post)
            request.Content = new StringContent("{}");
        using var response = await http.SendAsync(request, Cancel);
        return response.StatusCode;
    }

    /// <summary>The reasons of the refusals, by who it claimed to be. Stops the hub.</summary>
    public async Task<ILookup<string, string>> RefusalsAsync()
    {
        await hub.StopAsync();
        return Directory.EnumerateFiles(Path.Combine(hub.Data, "audit")).Order().SelectMany(File.ReadLines)
            .Select(line => JsonNode.Parse(line)!)
            .Where(line => (string?)line["action"] == "authentication" && (string?)line["result"] == "refused")
            .ToLookup(line => (string)line["target"]!, line => (string)line["reason"]!);
    }

    private static SslStreamCertificateContext Context(PresentedCertificate shown) =>
        SslStreamCertificateContext.Create(shown.Leaf, new X509Certificate2Collection(shown.Intermediates.ToArray()), offline: true);
}
