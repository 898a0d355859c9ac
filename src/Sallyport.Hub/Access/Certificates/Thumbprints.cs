using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Sallyport.Hub.Access.Certificates;

/// <summary>The thumbprints that an identity is registered with, SHA-1 or SHA-256; either one opens. Immutable; never printed.</summary>
internal sealed class Thumbprints
{
    private readonly byte[]?[] _registered;

    private Thumbprints(params byte[]?[] registered) => _registered = registered;

    /// <param name="primary">40 or 64 hex digits; null for none.</param>
    public static Thumbprints Of(string? primary, string? secondary) => new(Decode(primary), Decode(secondary));

    /// <summary>Whether the certificate has one of them. Takes the same time whichever differs, and wherever.</summary>
    public bool Match(X509Certificate2 certificate)
    {
        Span<byte> sha1 = stackalloc byte[SHA1.HashSizeInBytes];
        Span<byte> sha256 = stackalloc byte[SHA256.HashSizeInBytes];
        // SHA-1 is what IoT Hub's devices are registered with; the certificate is pinned by somebody who had it in hand.
#pragma warning disable CA5350
        SHA1.HashData(certificate.RawDataMemory.Span, sha1);
#pragma warning restore CA5350
        SHA256.HashData(certificate.RawDataMemory.Span, sha256);

        var matches = false;
        foreach (var registered in _registered)
            matches |= registered is not null && CryptographicOperations.FixedTimeEquals(registered, registered.Length == sha1.Length ? sha1 : sha256);
        return matches;
    }

    public override string ToString() => "thumbprints";

    private static byte[]? Decode(string? thumbprint) => thumbprint is null ? null : Convert.FromHexString(thumbprint);
}
