using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Routing;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using Sallyport.Heads.Http;
using Sallyport.Hub.Access;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Commands;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Diagnosis;
using Sallyport.Hub.Jobs;
using Sallyport.Hub.Physical;
using Sallyport.Hub.Uploads;
using Sallyport.Protocol.Sas;
using Sallyport.Storage.Blobs;
using Sallyport.Storage.EventLog;
using Sallyport.Storage.Metadata;
using Sallyport.Storage.Secrets;
using Sallyport.Tests.Hub.Audit;
using Sallyport.Tests.Hub.Telemetry;
using Sallyport.Tests.Storage;
using Sallyport.Tests.Storage.Metadata;

namespace Sallyport.Tests.Heads.Http;

/// <summary>The HTTP head on a loopback socket, over a real store and with real tokens.</summary>
internal sealed class HttpHeadHost : IAsyncDisposable
{
    public const string HostName = "hub.test";

    private readonly SqliteFixture _files;
    private readonly KeyRing _ring = new(MasterKey.Random());
    private readonly AuditKeys _keys = new("0123456789abcdef", new KeyRing(MasterKey.Random()));
    private readonly TemporaryDirectory _trail = new();
    private readonly WebApplication _server;
    private readonly HttpClient _client = new();

    private HttpHeadHost(SqliteFixture files, IMetadata metadata, KnownTags tags, Policies policies, AuditList audit, FakeTimeProvider time)
    {
        _files = files;
        Metadata = metadata;
        Policies = policies;
        Audit = audit;
        Time = time;

        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        builder.Services
            .AddSingleton<TimeProvider>(time)
            .AddSingleton(metadata)
            .AddSingleton(policies)
            .AddSingleton(tags)
            .AddSingleton<IAuditTrail>(audit)
            .AddSingleton(_keys)
            .AddSingleton(new BlobFiles(_trail["blobs"]))
            .AddSingleton(new BlobSignature(() => _ring, time))
            .AddSingleton(new AuditReader(_trail["audit"]))
            .AddSingleton(AuditTrail.Open(_trail["audit"], _keys, new AuditTrailOptions(), time, NullLogger.Instance))
            .AddSingleton(new HubNames([HostName]))
            .AddSingleton<IdentityCache>(services => new IdentityCache(services.GetRequiredService<IMetadata>()))
            .AddSingleton<KnownSubjects>()
            .AddSingleton<RevokedTokens>()
            .AddSingleton(new TokenOptions())
            .AddSingleton<TokenCheck>()
            .AddSingleton<Attempts>(services => new Attempts(services.GetRequiredService<KnownSubjects>().Exists, time))
            .AddSingleton<ConnectedDevices>()
            .AddSingleton<FetchRevocationList>((_, _) => throw new IOException("nothing is there"))
            .AddSingleton<IReadOnlyList<X509Certificate2>>([])
            .AddSingleton<CertificateAuthorities>()
            .AddSingleton<IEventLog, ScriptedLog>()
            .AddSingleton<ISettingsInForce, SomeSettings>()
            .AddSingleton<IServiceAuthentication, ServiceAuthenticator>()
            .AddSingleton<IDeviceAuthentication, DeviceAuthenticator>()
            .AddHttpHead();
        _server = builder.Build();
        _server.UseRouteAccess();
        _server.MapHttpHead();
    }

    public FakeTimeProvider Time { get; }
    public AuditList Audit { get; }
    public IMetadata Metadata { get; }
    public Policies Policies { get; }

    public IEnumerable<RouteEndpoint> Routes => _server.Services.GetRequiredService<EndpointDataSource>().Endpoints.OfType<RouteEndpoint>();

    public CommandQueues Commands => _server.Services.GetRequiredService<CommandQueues>();

    public ScheduledJobs Jobs => _server.Services.GetRequiredService<ScheduledJobs>();

    public QuarantineLine Line => _server.Services.GetRequiredService<QuarantineLine>();

    public ConnectedDevices Connected => _server.Services.GetRequiredService<ConnectedDevices>();

    public static async Task<HttpHeadHost> StartAsync()
    {
        var files = new SqliteFixture();
        var metadata = await files.OpenAsync();
        var time = new FakeTimeProvider(new DateTimeOffset(2026, 1, 2, 12, 0, 0, TimeSpan.Zero));
        var audit = new AuditList();
        var tags = new KnownTags(metadata);
        var host = new HttpHeadHost(files, metadata, tags, await Policies.OpenAsync(metadata, tags, audit, time, CancellationToken.None), audit, time);
        await host._server.StartAsync();
        host._client.BaseAddress = new Uri(host._server.Urls.Single());
        return host;
    }

    /// <summary>A token of a policy, good for an hour.</summary>
    public string TokenOf(string policy, string host = HostName, TimeSpan? lifetime = null) => SharedAccessSignature.Create(
        host, Policies.List().Single(record => record.Name == policy).PrimaryKey, Time.GetUtcNow() + (lifetime ?? TimeSpan.FromHours(1)), policy);

    /// <summary>Sends as <paramref name="policy"/>, with the headers given as pairs.</summary>
    public Task<Answer> SendAsync(string policy, HttpMethod method, string path, string? body = null, params (string Name, string Value)[] headers) =>
        SendAsync(method, path, TokenOf(policy), body, headers);

    public Task<Answer> OwnerAsync(HttpMethod method, string path, string? body = null, params (string Name, string Value)[] headers) =>
        SendAsync(Policies.Owner, method, path, body, headers);

    public async Task<Answer> SendAsync(HttpMethod method, string path, string? token, string? body, params (string Name, string Value)[] headers)
    {
        using var request = Request(method, path, token);
        if (body is not null)
            request.Content = new StringContent(body, Encoding.UTF8, "application/json");
        foreach (var (name, value) in headers)
            request.Headers.TryAddWithoutValidation(name, value);
        using var response = await _client.SendAsync(request);
        return new Answer(response.StatusCode, response.Headers, await response.Content.ReadAsStringAsync());
    }

    /// <summary>Sends without a body and waits for the head of the answer only: some answers do not end.</summary>
    public async Task<Answer> KnockAsync(HttpMethod method, string path, string? token)
    {
        using var request = Request(method, path, token);
        using var response = await _client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        return new Answer(response.StatusCode, response.Headers, "");
    }

    /// <summary>Sends the head, does something once the hub has let the caller in and waits for the body, then sends that.</summary>
    /// <returns>The first line of the answer.</returns>
    public async Task<string?> SendSlowlyAsync(string method, string path, string token, string body, Func<Task> meanwhile)
    {
        using var tcp = new TcpClient();
        await tcp.ConnectAsync(IPAddress.Loopback, _client.BaseAddress!.Port);
        using var reader = new StreamReader(tcp.GetStream());
        await using var writer = new StreamWriter(tcp.GetStream()) { NewLine = "\r\n", AutoFlush = true };
        await writer.WriteAsync($"{method} {path} HTTP/1.1\r\nHost: {HostName}\r\nAuthorization: {token}\r\nContent-Length: {body.Length}\r\nExpect: 100-continue\r\n\r\n");
        Assert.Equal("HTTP/1.1 100 Continue", await reader.ReadLineAsync());
        await reader.ReadLineAsync();
        await meanwhile();
        await writer.WriteAsync(body);
        return await reader.ReadLineAsync();
    }

    private static HttpRequestMessage Request(HttpMethod method, string path, string? token)
    {
        var request = new HttpRequestMessage(method, path);
        request.Headers.Host = HostName;
        if (token is not null)
            request.Headers.TryAddWithoutValidation("Authorization", token);
        return request;
    }

    public async ValueTask DisposeAsync()
    {
        _client.Dispose();
        await _server.DisposeAsync();
        Policies.Dispose();
        await Metadata.DisposeAsync();
        _files.Dispose();
        _trail.Dispose();
    }

    private sealed class SomeSettings : ISettingsInForce
    {
        public JsonObject Describe() => new() { ["Hub"] = new JsonObject { ["Hosts"] = new JsonArray(HostName) } };
    }
}

/// <summary>What came back.</summary>
internal sealed record Answer(HttpStatusCode Status, HttpResponseHeaders Headers, string Body)
{
    public JsonNode Json => JsonNode.Parse(Body)!;

    public string? ErrorCode => Headers.TryGetValues("iothub-errorcode", out var values) ? values.Single() : null;

    public string? Header(string name) => Headers.TryGetValues(name, out var values) ? values.Single() : null;

    /// <summary>The error's name out of the body, the way the SDKs take it.</summary>
    public string BodyErrorCode => Json["Message"]!.GetValue<string>().Split(';')[0].Split(':')[1];
}
