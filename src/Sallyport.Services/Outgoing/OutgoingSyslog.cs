using System.Globalization;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using System.Text;

namespace Sallyport.Services.Outgoing;

/// <summary>
/// Sends messages to a syslog collector over TLS (RFC 5425), each on a connection of its own, by the rules of outgoing connections: the
/// name is resolved and checked on every connect, name and chain are verified. Syslog has no answer: sent means that the collector's TLS
/// took it. Thread-safe.
/// </summary>
public sealed class OutgoingSyslog(OutgoingOptions options, TimeProvider time)
{
    // Facility 13 (log audit), severity 5 (notice): RFC 5424, 6.2.1.
    private const int Priority = (13 * 8) + 5;

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    private readonly OutgoingAddresses _addresses = new(options);

    /// <param name="messageId">MSGID: printable ASCII, at most 32.</param>
    /// <param name="text">MSG: ASCII, without end of line.</param>
    /// <exception cref="IOException">It was not taken; says why.</exception>
    public async Task SendAsync(string host, int port, string messageId, string text, CancellationToken cancel)
    {
        using var timeout = new CancellationTokenSource(OutgoingHttps.Timeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancel);
        try
        {
            var allowed = await _addresses.ResolveAsync(host, port, either.Token);
            using var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            await socket.ConnectAsync([.. allowed], port, either.Token);
            await using var tls = new SslStream(new NetworkStream(socket));
            await tls.AuthenticateAsClientAsync(Tls(host), either.Token);
            await tls.WriteAsync(Frame(messageId, text), either.Token);
            await tls.FlushAsync(either.Token);

            await tls.ShutdownAsync();
            await HearAsync(tls, either.Token);
        }
        catch (OperationCanceledException) when (timeout.IsCancellationRequested)
        {
            throw new IOException($"{host} did not take it within {OutgoingHttps.Timeout.TotalSeconds:0} s");
        }
        catch (Exception failed) when (failed is TargetException or AuthenticationException or SocketException)
        {
            throw new IOException(failed.Message, failed);
        }
    }

    /// <summary>A collector says nothing but that it refuses; one that keeps the connection open after we closed our side has taken it.</summary>
    private async Task HearAsync(SslStream tls, CancellationToken cancel)
    {
        using var patience = new CancellationTokenSource(Patience, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, cancel);
        try
        {
            while (await tls.ReadAsync(new byte[256], either.Token) > 0)
            {
                // Whatever it is, it is no refusal.
            }
        }
        catch (OperationCanceledException) when (patience.IsCancellationRequested)
        {
            // It is still listening.
        }
    }

    /// <summary>RFC 5424 in the octet counting of RFC 5425, 4.3.</summary>
    internal byte[] Frame(string messageId, string text)
    {
        var message = string.Create(
            CultureInfo.InvariantCulture,
            $"<{Priority}>1 {time.GetUtcNow().UtcDateTime:yyyy-MM-ddTHH:mm:ss.ffffffZ} {Environment.MachineName} sallyport {Environment.ProcessId} {messageId} - {text}");
        return Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{message.Length} {message}"));
    }

    private SslClientAuthenticationOptions Tls(string host)
    {
        var tls = new SslClientAuthenticationOptions { TargetHost = host };
        if (options.RootsFile is not null)
        {
            tls.CertificateChainPolicy = new X509ChainPolicy { TrustMode = X509ChainTrustMode.CustomRootTrust, RevocationMode = X509RevocationMode.NoCheck };
            tls.CertificateChainPolicy.CustomTrustStore.ImportFromPemFile(options.RootsFile);
        }

        return tls;
    }
}
