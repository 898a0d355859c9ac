using System.Globalization;
using System.Net;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json.Nodes;
using Sallyport.Protocol.Sas;
using Sallyport.Tests.Protocol.Amqp;

namespace Sallyport.Tests.Executable.Bounds;

/// <summary>Devices of a whole hub: registers them, connects them, and reads what they sent.</summary>
internal sealed class TestDevices(TestHub hub, StepTime time)
{
    private readonly Dictionary<string, string> _keys = [];

    public async Task RegisterAsync(params string[] ids)
    {
        using var owner = hub.Owner();
        foreach (var id in ids)
            _keys[id] = (string)(await owner.PutDeviceAsync(id))["authentication"]!["symmetricKey"]!["primaryKey"]!;
    }

    /// <param name="tokenLife">Default: a day.</param>
    public async Task<WireDevice> ConnectAsync(string id, string transport = "MQTT", TimeSpan? tokenLife = null)
    {
        var device = await WireDevice.OpenAsync(hub.Endpoints, transport, id);
        await device.ConnectAsync(_keys[id], time.GetUtcNow() + (tokenLife ?? TimeSpan.FromDays(1)));
        return device;
    }

    /// <summary>The same over AMQP: it may send on handle 2.</summary>
    /// <param name="transport"><c>AMQP</c> or <c>AMQP-WS</c>.</param>
    public async Task<WireAmqp> ConnectAmqpAsync(string id, string transport = "AMQP", TimeSpan? tokenLife = null)
    {
        var device = await WireAmqp.OpenAsync(hub.Endpoints, transport);
        await device.OpenAsync("localhost");
        await device.AttachCbsAsync();
        Assert.Equal(200, await device.PutAsync($"localhost/devices/{id}", Token(id, tokenLife)));
        await device.SendAsync(Frames.AttachSender(2, "up", $"devices/{id}/messages/events"));
        await device.ExpectAsync("attach", "flow");
        return device;
    }

    public string Token(string id, TimeSpan? life = null) =>
        SharedAccessSignature.Create($"localhost/devices/{id}", _keys[id], time.GetUtcNow() + (life ?? TimeSpan.FromDays(1)));

    /// <summary>The newest thing that diagnosis knows of a device.</summary>
    public async Task<JsonNode> NewestAsync(string id)
    {
        using var owner = hub.Owner();
        return (await owner.SendAsync(HttpMethod.Get, $"manage/v1/devices/{id}/diagnosis"))!["attempts"]![0]!;
    }

    /// <summary>Sends a message over HTTPS; returns the status and <c>iothub-errorcode</c>.</summary>
    /// <param name="signer">Whose key signs, if not the sender's.</param>
    public async Task<(HttpStatusCode Status, string? Error)> PostAsync(
        string id, string body, string? signer = null, params (string Name, string Value)[] headers)
    {
        using var handler = new SocketsHttpHandler();
        handler.SslOptions.CertificateChainPolicy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
        handler.SslOptions.CertificateChainPolicy.CustomTrustStore.ImportFromPemFile(hub.Endpoints.CaFile!);
        using var http = new HttpClient(handler);
        using var request = new HttpRequestMessage(
            HttpMethod.Post, string.Create(CultureInfo.InvariantCulture, $"https://localhost:{hub.Endpoints.HttpsPort}/devices/{id}/messages/events?api-version=2021-04-12"));
        request.Content = new StringContent(body);
        request.Headers.TryAddWithoutValidation(
            "Authorization", SharedAccessSignature.Create($"localhost/devices/{signer ?? id}", _keys[signer ?? id], time.GetUtcNow().AddHours(1)));
        foreach (var (name, value) in headers)
            request.Headers.TryAddWithoutValidation(name, value);
        using var response = await http.SendAsync(request);
        return (response.StatusCode, response.Headers.TryGetValues("iothub-errorcode", out var errors) ? errors.Single() : null);
    }

    /// <summary>Everything that is on disk, in order of each partition.</summary>
    public async Task<JsonObject[]> EventsAsync()
    {
        var (status, lines) = await hub.GetAsync("manage/v1/events?from=earliest&follow=false", hub.Endpoints.OwnerConnectionString);
        Assert.Equal(HttpStatusCode.OK, status);
        return [.. lines.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(line => JsonNode.Parse(line)!.AsObject())
            .Where(line => (string?)line["source"] == "Telemetry")];
    }

    /// <summary>The hub's refusals: principal, target and reason. Stops the hub.</summary>
    public async Task<IReadOnlyList<(string Principal, string Action, string Reason)>> RefusalsAsync()
    {
        await hub.StopAsync();
        return
        [
            .. Directory.EnumerateFiles(Path.Combine(hub.Data, "audit")).Order().SelectMany(File.ReadLines)
                .Select(line => JsonNode.Parse(line)!)
                .Where(line => (string?)line["result"] == "refused")
                .Select(line => ((string)line["principal"]!, (string)line["action"]!, (string)line["reason"]!)),
        ];
    }
}
