using System.Collections.Concurrent;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Sallyport.Protocol.Certificates;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Access.Certificates;

/// <summary>An authority as it is remembered. Immutable.</summary>
internal sealed record CertificateAuthority(CertificateAuthorityRecord Record, X509Certificate2 Certificate, RevocationLists Lists, DateTimeOffset? ListsTakenTime)
{
    /// <summary>The devices that it vouches for.</summary>
    public required Scope Devices { get; init; }

    /// <summary>Why its list could not be renewed lately; null when it could.</summary>
    public string? RenewalFault { get; init; }
}

/// <summary>
/// The authorities as of one moment, and which certificates lead to one of them. Only the verified ones are trusted; the machine's roots are
/// not, and nothing is fetched. Thread-safe.
/// </summary>
internal sealed class TrustedAuthorities(IReadOnlyList<CertificateAuthority> all, KeptIntermediates kept)
{
    /// <summary>Certificates from the leaf to the authority, both counted.</summary>
    public const int MaxChainLength = 5;

    /// <summary>Verified chains that are remembered, about 500 bytes each; at the bound all are forgotten and verified again.</summary>
    public const int MaxRemembered = 10_000;

    private const string ClientAuthentication = "1.3.6.1.5.5.7.3.2";

    private readonly ConcurrentDictionary<Thumbprint, VerifiedChain> _verified = new();

    public IReadOnlyList<CertificateAuthority> All { get; } = all;

    public CertificateAuthority? Find(string name) => All.FirstOrDefault(authority => authority.Record.Name == name);

    /// <summary>Looks for the way from the certificate to a verified authority. Costs a few signatures, the first time.</summary>
    /// <param name="fault">Why there is none, in words.</param>
    /// <exception cref="CryptographicException">A certificate is malformed.</exception>
    public VerifiedChain? Verify(PresentedCertificate shown, DateTimeOffset now, out string fault)
    {
        fault = "";
        var thumbprint = Thumbprint.Of(shown.Leaf);
        if (_verified.TryGetValue(thumbprint, out var known))
            return known;

        using var chain = new X509Chain { ChainPolicy = Policy(shown, now) };
        chain.Build(shown.Leaf);
        var elements = chain.ChainElements;
        try
        {
            var top = IndexOfAuthority(elements);
            fault = top < 0 ? NoAuthority(elements) : FaultBelow(elements, top, now) ?? "";
            if (fault.Length > 0)
                return null;

            var verified = Verified(elements, top);
            if (_verified.Count >= MaxRemembered)
                _verified.Clear();
            _verified.TryAdd(thumbprint, verified);
            return verified;
        }
        finally
        {
            foreach (var element in elements)
                element.Certificate.Dispose();
        }
    }

    private X509ChainPolicy Policy(PresentedCertificate shown, DateTimeOffset now)
    {
        var policy = new X509ChainPolicy
        {
            TrustMode = X509ChainTrustMode.CustomRootTrust,
            RevocationMode = X509RevocationMode.NoCheck,
            DisableCertificateDownloads = true,
            VerificationTime = now.UtcDateTime,

            // An authority that is registered may be signed by another one that is not. What the chain lacks above it is
            // nothing to us; below it nothing may be lacking, and that is looked at element by element.
            VerificationFlags = X509VerificationFlags.AllowUnknownCertificateAuthority,
        };
        policy.ApplicationPolicy.Add(new Oid(ClientAuthentication));
        foreach (var authority in All.Where(authority => authority.Record.Verified))
            policy.CustomTrustStore.Add(authority.Certificate);
        foreach (var intermediate in shown.Intermediates.Concat(kept.Above(shown.Leaf)))
            policy.ExtraStore.Add(intermediate);
        return policy;
    }

    private int IndexOfAuthority(X509ChainElementCollection elements)
    {
        for (var i = 1; i < elements.Count; i++)
        {
            if (Trusted(elements[i].Certificate) is not null)
                return i;
        }

        return -1;
    }

    private CertificateAuthority? Trusted(X509Certificate2 certificate) =>
        All.FirstOrDefault(authority => authority.Record.Verified && IsSame(authority.Certificate, certificate));

    private static bool IsSame(X509Certificate2 one, X509Certificate2 other) => one.RawDataMemory.Span.SequenceEqual(other.RawDataMemory.Span);

    private string NoAuthority(X509ChainElementCollection elements)
    {
        var last = elements[^1].Certificate;
        if (All.FirstOrDefault(authority => IsSame(authority.Certificate, last) || authority.Certificate.SubjectName.RawData.AsSpan().SequenceEqual(last.IssuerName.RawData)) is { } near)
        {
            return near.Record.Verified
                ? $"the chain ends below the authority {near.Record.Name}, whose key did not sign it"
                : $"the authority {near.Record.Name} is registered, but possession of its key is not proved";
        }

        return last.SubjectName.RawData.AsSpan().SequenceEqual(last.IssuerName.RawData)
            ? $"the chain ends at {LeafRules.Shown(last.Subject)}, which is no registered authority"
            : $"the chain lacks {LeafRules.Shown(last.Issuer)}, which was neither shown nor is registered";
    }

    private static string? FaultBelow(X509ChainElementCollection elements, int top, DateTimeOffset now)
    {
        if (top >= MaxChainLength)
            return $"the chain has {top + 1} certificates, more than {MaxChainLength}";

        for (var i = 0; i <= top; i++)
        {
            var certificate = elements[i].Certificate;
            var which = i == 0 ? "the certificate" : $"the issuer {LeafRules.Shown(certificate.Subject)}";
            if (LeafRules.ValidityFault(certificate, now, which) is { } invalid)
                return invalid;
            if (i < top && WeakHash.Of(certificate) is { } hash)
                return $"{which} is signed with {hash}, under which signatures can be forged";

            var status = elements[i].ChainElementStatus.FirstOrDefault(status => i < top || status.Status is not (X509ChainStatusFlags.UntrustedRoot or X509ChainStatusFlags.PartialChain)).Status;
            if (status is not X509ChainStatusFlags.NoError)
                return $"{which} {Words(status)}";

            // The platform has checked this too, in most cases: not in every one when a chain goes on above the authority.
            if (i < top && !DerSignature.IsBy(elements[i + 1].Certificate, certificate.RawDataMemory))
                return $"{which} is not signed by {LeafRules.Shown(elements[i + 1].Certificate.Subject)}, or not with RSA or ECDSA and SHA-256, -384 or -512";
            if (i > 0 && !IsAuthority(certificate, below: i - 1))
                return $"{which} may not issue certificates, or not so far above the device";
        }

        return null;
    }

    /// <param name="below">How many issuers are between it and the leaf.</param>
    private static bool IsAuthority(X509Certificate2 certificate, int below) =>
        certificate.Extensions.OfType<X509BasicConstraintsExtension>().Any(constraints =>
            constraints.CertificateAuthority && (!constraints.HasPathLengthConstraint || constraints.PathLengthConstraint >= below))
        && !certificate.Extensions.OfType<X509KeyUsageExtension>().Any(usage => !usage.KeyUsages.HasFlag(X509KeyUsageFlags.KeyCertSign));

    private static string Words(X509ChainStatusFlags status) => status switch
    {
        X509ChainStatusFlags.NotSignatureValid => "does not bear the signature of its issuer",
        X509ChainStatusFlags.NotValidForUsage => "is not for client authentication",
        X509ChainStatusFlags.InvalidBasicConstraints => "may not issue certificates, or not so far above the device",
        X509ChainStatusFlags.InvalidNameConstraints or X509ChainStatusFlags.HasNotPermittedNameConstraint or X509ChainStatusFlags.HasExcludedNameConstraint
            or X509ChainStatusFlags.HasNotDefinedNameConstraint or X509ChainStatusFlags.HasNotSupportedNameConstraint => "is outside the names that its issuers may sign for",
        X509ChainStatusFlags.HasNotSupportedCriticalExtension => "has a critical extension that is not understood",
        X509ChainStatusFlags.PartialChain => "has no issuer among what was shown",
        _ => $"was refused by the platform ({status})",
    };

    private VerifiedChain Verified(X509ChainElementCollection elements, int top)
    {
        var authority = Trusted(elements[top].Certificate)!;
        var links = new List<ChainLink>(top);
        for (var i = 0; i < top; i++)
        {
            var issuer = i + 1 == top ? authority.Certificate : kept.Keep(authority.Record.Name, elements[i + 1].Certificate);
            links.Add(new ChainLink(ChainLink.SerialText(elements[i].Certificate.SerialNumberBytes.Span), issuer));
        }

        return new VerifiedChain(authority.Record.Name, links);
    }

    /// <summary>SHA-256 of a certificate, as a key of a table.</summary>
    private readonly record struct Thumbprint(UInt128 High, UInt128 Low)
    {
        public static Thumbprint Of(X509Certificate2 certificate)
        {
            Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
            SHA256.HashData(certificate.RawDataMemory.Span, hash);
            return new Thumbprint(System.Buffers.Binary.BinaryPrimitives.ReadUInt128BigEndian(hash), System.Buffers.Binary.BinaryPrimitives.ReadUInt128BigEndian(hash[16..]));
        }
    }
}
