using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;

namespace Sallyport.Services.Outgoing;

/// <summary>
/// Gets a small thing over HTTPS by the rules of outgoing connections: the name is resolved and checked on every connect, name and chain are
/// verified, nothing is followed, no proxy, and there is a bound on size and time. Thread-safe.
/// </summary>
public sealed class OutgoingHttps : IDisposable
{
    /// <summary>For one request, from the name to the last byte.</summary>
    public static readonly TimeSpan Timeout = TimeSpan.FromSeconds(20);

    private readonly HttpClient _http;
    private readonly TimeProvider _time;

    public OutgoingHttps(OutgoingOptions options, TimeProvider time)
    {
        _time = time;
        _http = new HttpClient(Handler(options)) { Timeout = System.Threading.Timeout.InfiniteTimeSpan };
    }

    /// <summary>What connects by these rules, for a client that brings its own requests.</summary>
    internal static SocketsHttpHandler Handler(OutgoingOptions options)
    {
        var addresses = new OutgoingAddresses(options);
        var handler = new SocketsHttpHandler
        {
            AllowAutoRedirect = false,
            UseProxy = false,
            UseCookies = false,
            PooledConnectionLifetime = TimeSpan.Zero,
            MaxResponseHeadersLength = 16,
            ConnectCallback = (context, cancel) => ConnectAsync(addresses, context.DnsEndPoint.Host, context.DnsEndPoint.Port, cancel),
        };
        if (options.RootsFile is not null)
        {
            var policy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            policy.CustomTrustStore.ImportFromPemFile(options.RootsFile);
            handler.SslOptions = new SslClientAuthenticationOptions { CertificateChainPolicy = policy };
        }

        return handler;
    }

    /// <summary>The body of what the address answers.</summary>
    /// <param name="url">https only.</param>
    /// <exception cref="IOException">It cannot be had; says why, in words that hold no secret.</exception>
    public async Task<byte[]> GetAsync(Uri url, int maxBytes, CancellationToken cancel)
    {
        if (url.Scheme != Uri.UriSchemeHttps)
            throw new IOException("only https is fetched");

        using var timeout = new CancellationTokenSource(Timeout, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancel);
        try
        {
            using var response = await _http.GetAsync(url, HttpCompletionOption.ResponseHeadersRead, either.Token);
            if (!response.IsSuccessStatusCode)
                throw new IOException($"{url.Host} answered {(int)response.StatusCode}");

            await using var body = await response.Content.ReadAsStreamAsync(either.Token);
            using var read = new MemoryStream();
            var buffer = new byte[16 * 1024];
            for (int count; (count = await body.ReadAsync(buffer, either.Token)) > 0;)
            {
                if (read.Length + count > maxBytes)
                    throw new IOException($"{url.Host} answered with more than {maxBytes} bytes");
                read.Write(buffer, 0, count);
            }

            return read.ToArray();
        }
        catch (OperationCanceledException) when (timeout.IsCancellationRequested)
        {
            throw new IOException($"{url.Host} did not answer within {Timeout.TotalSeconds:0} s");
        }
        catch (HttpRequestException failed)
        {
            throw Plain(failed);
        }
    }

    /// <summary>Posts a JSON text; a status of 2xx says that it was taken.</summary>
    /// <param name="url">https only.</param>
    /// <exception cref="IOException">It was not taken; says why, in words that hold no secret.</exception>
    public async Task PostJsonAsync(Uri url, string json, CancellationToken cancel)
    {
        if (url.Scheme != Uri.UriSchemeHttps)
            throw new IOException("only https is posted to");

        using var timeout = new CancellationTokenSource(Timeout, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancel);
        try
        {
            using var request = new HttpRequestMessage(HttpMethod.Post, url) { Content = new StringContent(json, System.Text.Encoding.UTF8, "application/json") };
            using var response = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, either.Token);
            if (!response.IsSuccessStatusCode)
                throw new IOException($"{url.Host} answered {(int)response.StatusCode}");
        }
        catch (OperationCanceledException) when (timeout.IsCancellationRequested)
        {
            throw new IOException($"{url.Host} did not answer within {Timeout.TotalSeconds:0} s");
        }
        catch (HttpRequestException failed)
        {
            throw Plain(failed);
        }
    }

    public void Dispose() => _http.Dispose();

    private static IOException Plain(HttpRequestException failed) =>
        new(failed.InnerException is TargetException or System.Security.Authentication.AuthenticationException ? failed.InnerException.Message : failed.Message, failed);

    private static async ValueTask<Stream> ConnectAsync(OutgoingAddresses addresses, string host, int port, CancellationToken cancel)
    {
        var allowed = await addresses.ResolveAsync(host, port, cancel);
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync([.. allowed], port, cancel);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }
}
