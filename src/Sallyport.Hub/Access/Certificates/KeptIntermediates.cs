using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Access.Certificates;

/// <summary>
/// Certificates between an authority and its devices, kept from chains that were verified: on a resumed TLS session a device's own
/// certificate comes without them. They prove nothing by being here; a chain through them is checked as any other.
/// Bounded per authority: at the bound the oldest is forgotten, and its devices need a full handshake. Thread-safe.
/// </summary>
internal sealed class KeptIntermediates
{
    public const int MaxPerAuthority = 64;

    private readonly IMetadata _metadata;
    private readonly TimeProvider _time;
    private readonly ILogger _log;
    private readonly Lock _gate = new();

    // Oldest first. Replaced whole under _gate, read without it.
    private volatile Kept[] _kept;

    public KeptIntermediates(IMetadata metadata, TimeProvider time, ILogger log)
    {
        _metadata = metadata;
        _time = time;
        _log = log;
        _kept = [.. metadata.Read(metadata.CertificateAuthorities.ListIntermediates).Select(record =>
            new Kept(record.Authority, record.Thumbprint, X509CertificateLoader.LoadCertificate(record.Certificate)))];
    }

    public int Count => _kept.Length;

    /// <summary>Those that may lie above the certificate, nearest first, as many as a chain may have.</summary>
    public IEnumerable<X509Certificate2> Above(X509Certificate2 leaf)
    {
        var names = new List<byte[]> { leaf.IssuerName.RawData };
        var left = _kept;
        for (var level = 0; level < TrustedAuthorities.MaxChainLength && names.Count > 0; level++)
        {
            var found = left.Where(kept => names.Exists(name => name.AsSpan().SequenceEqual(kept.Certificate.SubjectName.RawData))).ToList();
            foreach (var kept in found)
                yield return kept.Certificate;

            left = [.. left.Except(found)];
            names = [.. found.Select(kept => kept.Certificate.IssuerName.RawData)];
        }
    }

    /// <summary>Keeps one that was verified; it is on disk a little later.</summary>
    /// <returns>The one kept, which is nobody's to dispose.</returns>
    public X509Certificate2 Keep(string authority, X509Certificate2 certificate)
    {
        var thumbprint = certificate.GetCertHashString(HashAlgorithmName.SHA256);
        Kept? dropped = null;
        Kept added;
        lock (_gate)
        {
            if (Array.Find(_kept, kept => kept.Authority == authority && kept.Thumbprint == thumbprint) is { } known)
                return known.Certificate;

            added = new Kept(authority, thumbprint, X509CertificateLoader.LoadCertificate(certificate.RawDataMemory.Span));
            if (_kept.Count(kept => kept.Authority == authority) >= MaxPerAuthority)
                dropped = _kept.First(kept => kept.Authority == authority);
            _kept = [.. _kept.Where(kept => kept != dropped), added];
        }

        _ = StoreAsync(added, dropped);
        return added.Certificate;
    }

    /// <summary>Forgets those of an authority that is deleted; the store does so by itself.</summary>
    public void Forget(string authority)
    {
        lock (_gate)
            _kept = [.. _kept.Where(kept => kept.Authority != authority)];
    }

    private async Task StoreAsync(Kept added, Kept? dropped)
    {
        try
        {
            await _metadata.WriteAsync(tx =>
            {
                if (dropped is not null)
                    _metadata.CertificateAuthorities.DeleteIntermediate(tx, dropped.Authority, dropped.Thumbprint);
                _metadata.CertificateAuthorities.PutIntermediate(
                    tx, new IntermediateRecord(added.Authority, added.Thumbprint, added.Certificate.RawData, _time.GetUtcNow()));
                return true;
            });
        }
        catch (Exception failed) when (failed is MetadataWriteException or ObjectDisposedException or InvalidOperationException)
        {
            // In memory it is kept all the same; after a restart the first full handshake brings it again.
            _log.IntermediateNotStored(failed, added.Authority);
        }
    }

    private sealed record Kept(string Authority, string Thumbprint, X509Certificate2 Certificate);
}
