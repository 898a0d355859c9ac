using System.Runtime.CompilerServices;
using System.Security.Cryptography.X509Certificates;

namespace Sallyport.Hub.Access.Certificates;

/// <summary>What a peer showed in its TLS handshake. Immutable; safe to share between threads.</summary>
/// <param name="Leaf">Its own certificate; TLS has proved that it holds the key.</param>
/// <param name="Intermediates">What it sent along, unchecked, at most <see cref="MaxIntermediates"/>. Empty on a resumed session, whatever it sent at first.</param>
public sealed record PresentedCertificate(X509Certificate2 Leaf, IReadOnlyList<X509Certificate2> Intermediates)
{
    /// <summary>What is sent beyond these is not looked at.</summary>
    public const int MaxIntermediates = 8;

    // TLS hands them over once, during the handshake, and whoever asks for them knows the connection only.
    private static readonly ConditionalWeakTable<object, IReadOnlyList<X509Certificate2>> OfConnections = [];

    /// <summary>To be called in the handshake's validation callback: keeps what was sent beside the leaf until the connection is gone.</summary>
    /// <param name="connection">The TLS stream.</param>
    /// <param name="sent">The chain's extra store: the chain is the caller's to dispose, so these are copied.</param>
    public static void Note(object connection, X509Certificate2? leaf, X509Certificate2Collection sent)
    {
        List<X509Certificate2>? intermediates = null;
        foreach (var certificate in sent)
        {
            if (intermediates?.Count == MaxIntermediates)
                break;
            if (leaf is null || !certificate.RawDataMemory.Span.SequenceEqual(leaf.RawDataMemory.Span))
                (intermediates ??= []).Add(X509CertificateLoader.LoadCertificate(certificate.RawDataMemory.Span));
        }

        if (intermediates is not null)
            OfConnections.AddOrUpdate(connection, intermediates);
    }

    /// <summary>What was shown on a connection; null when nothing was.</summary>
    /// <param name="connection">The TLS stream; null when there is none.</param>
    public static PresentedCertificate? Of(X509Certificate2? leaf, object? connection)
    {
        if (leaf is null)
            return null;

        return new PresentedCertificate(leaf, connection is not null && OfConnections.TryGetValue(connection, out var intermediates) ? intermediates : []);
    }

    /// <summary>For diagnosis: a line per certificate, leaf first, of which nothing is believed yet.</summary>
    public string Describe() => string.Join('\n', Intermediates.Prepend(Leaf).Select(certificate => string.Create(
        System.Globalization.CultureInfo.InvariantCulture,
        $"{LeafRules.Shown(certificate.Subject)} sha256 {certificate.GetCertHashString(System.Security.Cryptography.HashAlgorithmName.SHA256)} {LeafRules.NotBefore(certificate):u} to {LeafRules.NotAfter(certificate):u}")));

    public override string ToString() => "certificate";
}
