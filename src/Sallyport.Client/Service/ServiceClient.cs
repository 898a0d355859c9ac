using System.Net;
using System.Net.Http.Headers;
using System.Net.Security;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Sallyport.Client.Access;
using Sallyport.Protocol.ConnectionStrings;

namespace Sallyport.Client.Service;

/// <summary>
/// Calls a hub's REST surface with a shared access policy, making and renewing its tokens by itself, or with an operator's certificate. Resources are JSON as on the
/// wire, so that a field this client does not know survives reading, changing and writing back. Thread-safe.
/// </summary>
public sealed partial class ServiceClient : IDisposable
{
    /// <summary>Sent with every request; the hub accepts any.</summary>
    public const string ApiVersion = "2021-04-12";

    // An event wraps a payload that may itself be as deep as JSON usually gets (64).
    private static readonly JsonDocumentOptions Line = new() { MaxDepth = 128 };

    private const string ErrorCodeHeader = "iothub-errorcode";
    private const string ContinuationHeader = "x-ms-continuation";

    private const int MaxErrorBytes = 64 * 1024;

    private readonly HttpClient _http;
    private readonly TokenSource? _tokens;
    private readonly TimeSpan _timeout;
    private readonly TimeProvider _time;

    /// <param name="connectionString">Of a policy: <c>HostName=…;SharedAccessKeyName=…;SharedAccessKey=…</c>.</param>
    /// <exception cref="FormatException">It is not a policy's connection string.</exception>
    /// <exception cref="IOException">The CA file cannot be read.</exception>
    public ServiceClient(string connectionString, ServiceClientOptions? options = null)
        : this(PolicyOf(connectionString), options ?? new ServiceClientOptions())
    {
    }

    private ServiceClient(ConnectionString policy, ServiceClientOptions options)
        : this(policy.HostName, new TokenSource(policy.HostName, policy.SharedAccessKey!, policy.SharedAccessKeyName, options.TokenLifetime, options.Time), null, options)
    {
    }

    private ServiceClient(string hostName, TokenSource? tokens, X509Certificate2Collection? shown, ServiceClientOptions options)
    {
        HostName = hostName;

        _timeout = options.Timeout;
        _time = options.Time;
        _tokens = tokens;
        var handler = new SocketsHttpHandler
        {
            SslOptions = ServerTrust.Options(HostName, options.CaFile),
            AllowAutoRedirect = false,
            UseCookies = false,
            ConnectTimeout = options.Timeout,
            PooledConnectionLifetime = TimeSpan.FromMinutes(5),
        };
        if (shown is not null)
            handler.SslOptions.ClientCertificateContext = SslStreamCertificateContext.Create(shown[0], [.. shown.Skip(1)], offline: true);
        if (options.Address is { } address)
            handler.ConnectCallback = async (context, cancel) => await ConnectAsync(new IPEndPoint(IPAddress.Parse(address), context.DnsEndPoint.Port), cancel).ConfigureAwait(false);
        _http = new HttpClient(handler)
        {
            BaseAddress = new UriBuilder("https", HostName, options.Port).Uri,
            // Streams live longer; each request has its own bound below.
            Timeout = Timeout.InfiniteTimeSpan,
        };
    }

    /// <summary>The hub's.</summary>
    public string HostName { get; }

    /// <summary>Calls as the operator whose certificate <see cref="ServiceClientOptions.ClientCertificateFile"/> is, without any token.</summary>
    /// <param name="hostName">The hub's, which it has to prove.</param>
    /// <exception cref="IOException">A file cannot be read.</exception>
    /// <exception cref="System.Security.Cryptography.CryptographicException">A file holds no certificate, or no key of it in the clear.</exception>
    public static ServiceClient OfOperator(string hostName, ServiceClientOptions options)
    {
        var certificates = File.ReadAllText(options.ClientCertificateFile ?? throw new ArgumentException("the certificate's file is needed", nameof(options)));
        var shown = new X509Certificate2Collection { X509Certificate2.CreateFromPem(certificates, options.ClientKeyFile is null ? certificates : File.ReadAllText(options.ClientKeyFile)) };
        var all = new X509Certificate2Collection();
        all.ImportFromPem(certificates);
        shown.AddRange(all.Skip(1).ToArray());
        return new ServiceClient(hostName, null, shown, options);
    }

    /// <summary>Sends any request and gives the answer's JSON; null when the answer has no body.</summary>
    /// <param name="path">With query, without leading host: <c>devices/d1</c>. Ids in it must be escaped.</param>
    /// <param name="ifMatch">An ETag as the hub gave it, or <c>*</c>; null sends none.</param>
    /// <exception cref="ServiceException">The hub answered with an error.</exception>
    /// <exception cref="HttpRequestException">The hub could not be reached, or did not prove who it is.</exception>
    /// <exception cref="TimeoutException">The hub did not answer within <see cref="ServiceClientOptions.Timeout"/>.</exception>
    public async Task<JsonNode?> SendAsync(HttpMethod method, string path, JsonNode? body = null, string? ifMatch = null, CancellationToken cancel = default) =>
        (await ExchangeAsync(() => Request(method, path, body, ifMatch), _timeout, cancel).ConfigureAwait(false)).Answer;

    /// <summary>Reads newline-delimited JSON as it comes, until the hub ends it or <paramref name="cancel"/>.</summary>
    /// <inheritdoc cref="SendAsync" path="/exception"/>
    public async IAsyncEnumerable<JsonObject> StreamAsync(string path, [EnumeratorCancellation] CancellationToken cancel = default)
    {
        using var request = Request(HttpMethod.Get, path, null, null);
        using var response = await HeadersAsync(request, cancel).ConfigureAwait(false);
        await ThrowOnErrorAsync(response, cancel).ConfigureAwait(false);
        var stream = await response.Content.ReadAsStreamAsync(cancel).ConfigureAwait(false);
        await using var _ = stream.ConfigureAwait(false);
        using var reader = new StreamReader(stream, Encoding.UTF8);
        while (await reader.ReadLineAsync(cancel).ConfigureAwait(false) is { } line)
        {
            // An empty line keeps the connection alive.
            if (line.Length > 0)
                yield return JsonNode.Parse(line, documentOptions: Line)!.AsObject();
        }
    }

    public void Dispose() => _http.Dispose();

    private static ConnectionString PolicyOf(string connectionString)
    {
        var parsed = ConnectionString.Parse(connectionString);
        return parsed.SharedAccessKeyName is null ? throw new FormatException("the connection string is of a device; a policy's is needed, with SharedAccessKeyName") : parsed;
    }

    private async Task<(JsonNode? Answer, HttpResponseHeaders Headers)> ExchangeAsync(Func<HttpRequestMessage> make, TimeSpan timeout, CancellationToken cancel)
    {
        using var bound = new CancellationTokenSource(timeout, _time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(cancel, bound.Token);
        try
        {
            using var request = make();
            using var response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, both.Token).ConfigureAwait(false);
            await ThrowOnErrorAsync(response, both.Token).ConfigureAwait(false);
            var content = await response.Content.ReadAsByteArrayAsync(both.Token).ConfigureAwait(false);
            return (content.Length == 0 ? null : JsonNode.Parse(content), response.Headers);
        }
        catch (OperationCanceledException) when (bound.IsCancellationRequested && !cancel.IsCancellationRequested)
        {
            throw new TimeoutException($"{HostName} did not answer within {timeout.TotalSeconds:0} s");
        }
    }

    private static string? Header(HttpResponseHeaders headers, string name) => headers.TryGetValues(name, out var values) ? values.First() : null;

    private async Task<HttpResponseMessage> HeadersAsync(HttpRequestMessage request, CancellationToken cancel)
    {
        using var bound = new CancellationTokenSource(_timeout, _time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(cancel, bound.Token);
        try
        {
            return await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, both.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (bound.IsCancellationRequested && !cancel.IsCancellationRequested)
        {
            throw new TimeoutException($"{HostName} did not answer within {_timeout.TotalSeconds:0} s");
        }
    }

    private static async Task<NetworkStream> ConnectAsync(IPEndPoint endPoint, CancellationToken cancel)
    {
        var socket = new Socket(endPoint.AddressFamily, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(endPoint, cancel).ConfigureAwait(false);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private HttpRequestMessage Request(HttpMethod method, string path, JsonNode? body, string? ifMatch)
    {
        var separator = path.Contains('?', StringComparison.Ordinal) ? '&' : '?';
        var request = new HttpRequestMessage(method, new Uri($"{path}{separator}api-version={ApiVersion}", UriKind.Relative));
        if (_tokens is not null)
            request.Headers.TryAddWithoutValidation("Authorization", _tokens.Current());
        request.Headers.UserAgent.Add(new ProductInfoHeaderValue("Sallyport.Client", "0.1"));
        if (ifMatch is not null)
            request.Headers.TryAddWithoutValidation("If-Match", ifMatch == "*" || ifMatch.StartsWith('"') ? ifMatch : $"\"{ifMatch}\"");
        if (body is not null)
            request.Content = new StringContent(body.ToJsonString(), Encoding.UTF8, "application/json");
        return request;
    }

    /// <summary>Errors have the shape of IoT Hub's: <c>{"Message":"ErrorCode:…;text","ExceptionMessage":"Tracking ID:…"}</c>.</summary>
    private static async Task ThrowOnErrorAsync(HttpResponseMessage response, CancellationToken cancel)
    {
        if (response.IsSuccessStatusCode)
            return;

        await response.Content.LoadIntoBufferAsync(MaxErrorBytes, cancel).ConfigureAwait(false);
        var text = await response.Content.ReadAsStringAsync(cancel).ConfigureAwait(false);
        var message = text;
        try
        {
            if (JsonNode.Parse(text) is JsonObject body && (body["Message"] ?? body["message"])?.GetValue<string>() is { } said)
                message = said;
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // Not ours (a proxy's page, say): its text is all there is to say.
            message = text;
        }

        var code = response.Headers.TryGetValues(ErrorCodeHeader, out var codes) ? codes.First() : "";
        if (message.Length == 0)
            message = response.StatusCode == HttpStatusCode.Unauthorized ? "the hub refused the credential" : $"the hub answered {(int)response.StatusCode}";
        throw new ServiceException(response.StatusCode, code, message);
    }
}
