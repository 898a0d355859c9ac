using System.Net.Security;
using System.Security.Authentication;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging;
using Sallyport.Hub.Access.Certificates;

namespace Sallyport.Certificates;

/// <param name="Leaf">With its private key.</param>
/// <param name="Intermediates">Sent after it.</param>
internal sealed record ServerCertificateFiles(X509Certificate2 Leaf, X509Certificate2Collection Intermediates);

/// <summary>Where the server's certificate comes from: made here (<see cref="TlsDirectory"/>) or given (<see cref="GivenCertificate"/>).</summary>
internal interface IServerCertificateSource
{
    ServerCertificateFiles Load();

    /// <summary>A newer one than the last that was loaded; null when there is none.</summary>
    ServerCertificateFiles? LoadIfChanged();
}

/// <summary>
/// The certificate that listeners show, and their TLS rules. Looks for a newer one every <see cref="Interval"/> and when asked to;
/// handshakes from then on show it, open connections go on. Without SNI, or with an unknown name, it is the same certificate.
/// Thread-safe.
/// </summary>
internal sealed class ServerCertificate : IDisposable
{
    public static readonly TimeSpan Interval = TimeSpan.FromMinutes(1);

    private readonly IServerCertificateSource _source;
    private readonly ILogger _log;
    private readonly Lock _reload = new();
    private readonly ITimer _timer;
    private volatile Handshakes _handshakes;

    /// <exception cref="IOException">The certificate could not be read.</exception>
    /// <exception cref="System.Security.Cryptography.CryptographicException">What was read is not a certificate with its key.</exception>
    public ServerCertificate(IServerCertificateSource source, TimeProvider time, ILogger log)
    {
        _source = source;
        _log = log;
        _handshakes = Handshakes.With(source.Load());
        _timer = time.CreateTimer(_ => Reload(), null, Interval, Interval);
    }

    /// <summary>What a handshake on the HTTPS port uses. One object for all handshakes of a certificate: sessions resume only within it.</summary>
    public SslServerAuthenticationOptions Https => _handshakes.Https;

    /// <summary>What a handshake on a port without application protocols uses: whatever a client offers by ALPN is passed over.</summary>
    public SslServerAuthenticationOptions Mqtts => _handshakes.Mqtts;

    /// <summary>When the certificate in force ends.</summary>
    public DateTimeOffset Ends => new(Mqtts.ServerCertificateContext!.TargetCertificate.NotAfter.ToUniversalTime(), TimeSpan.Zero);

    /// <summary>Takes a newer certificate if there is one. A failure is logged and the present one stays: it may be valid for weeks.</summary>
    public void Reload()
    {
        lock (_reload)
        {
            try
            {
                if (_source.LoadIfChanged() is { } files)
                {
                    _handshakes = Handshakes.With(files);
                    _log.ServerCertificateInForce(files.Leaf.Subject, files.Leaf.NotAfter.ToUniversalTime());
                }
            }
            catch (Exception failed) when (failed is IOException or UnauthorizedAccessException or System.Security.Cryptography.CryptographicException)
            {
                _log.ServerCertificateNotReloaded(Ends.UtcDateTime, failed.Message);
            }
        }
    }

    public void Dispose() => _timer.Dispose();

    private sealed record Handshakes(SslServerAuthenticationOptions Https, SslServerAuthenticationOptions Mqtts)
    {
        public static Handshakes With(ServerCertificateFiles files)
        {
            var context = SslStreamCertificateContext.Create(files.Leaf, files.Intermediates, offline: true);
            return new Handshakes(Options(context, [SslApplicationProtocol.Http11]), Options(context, []));
        }

        private static SslServerAuthenticationOptions Options(SslStreamCertificateContext context, List<SslApplicationProtocol> protocols) => new()
        {
            ServerCertificateContext = context,
            ApplicationProtocols = protocols,
            EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
            AllowTlsResume = true,
            AllowRenegotiation = false,

            // Asked for, never required, and no list of acceptable issuers is sent, because .NET devices pick their certificate by it.
            // Whoever shows one that proves nothing is told so by the protocol: SDKs retry a failed handshake for minutes.
            ClientCertificateRequired = true,
#pragma warning disable CA5359 // It is a client's certificate, and the identity it names decides about it.
            RemoteCertificateValidationCallback = NoteIntermediates,
#pragma warning restore CA5359

            // What a peer shows must not make the hub fetch anything.
            CertificateChainPolicy = new X509ChainPolicy
            {
                DisableCertificateDownloads = true,
                RevocationMode = X509RevocationMode.NoCheck,
                TrustMode = X509ChainTrustMode.CustomRootTrust,
            },
        };

        /// <summary>Lets everybody on, and keeps what was shown beside the certificate for whoever decides.</summary>
        private static bool NoteIntermediates(object connection, X509Certificate? shown, X509Chain? chain, SslPolicyErrors errors)
        {
            if (shown is X509Certificate2 leaf && chain is not null)
                PresentedCertificate.Note(connection, leaf, chain.ChainPolicy.ExtraStore);
            return true;
        }
    }
}
