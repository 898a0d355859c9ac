using System.Formats.Asn1;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Sallyport.Hub.Access.Certificates;

/// <summary>
/// The signature of what a certificate authority signs: certificates and revocation lists have the same frame
/// <c>SEQUENCE { tbs, algorithm, BIT STRING }</c> (RFC 5280, 4.1 and 5.1). RSA (PKCS #1) and ECDSA with SHA-256, -384 or -512. Pure.
/// </summary>
internal static class DerSignature
{
    /// <summary>Whether <paramref name="signer"/>'s key signed it; false too when the algorithm is another, or it is malformed.</summary>
    public static bool IsBy(X509Certificate2 signer, ReadOnlyMemory<byte> der)
    {
        try
        {
            var frame = new AsnReader(der, AsnEncodingRules.DER).ReadSequence();
            var signed = frame.ReadEncodedValue();
            var algorithm = frame.ReadSequence().ReadObjectIdentifier();
            var signature = frame.ReadBitString(out _);
            if (HashOf(algorithm) is not { } hash)
                return false;

            if (algorithm.StartsWith("1.2.840.10045.", StringComparison.Ordinal))
            {
                using var key = signer.GetECDsaPublicKey();
                return key?.VerifyData(signed.Span, signature, hash, DSASignatureFormat.Rfc3279DerSequence) == true;
            }

            using var rsa = signer.GetRSAPublicKey();
            return rsa?.VerifyData(signed.Span, signature, hash, RSASignaturePadding.Pkcs1) == true;
        }
        catch (Exception malformed) when (malformed is AsnContentException or CryptographicException)
        {
            return false;
        }
    }

    private static HashAlgorithmName? HashOf(string algorithm) => algorithm switch
    {
        "1.2.840.113549.1.1.11" or "1.2.840.10045.4.3.2" => HashAlgorithmName.SHA256,
        "1.2.840.113549.1.1.12" or "1.2.840.10045.4.3.3" => HashAlgorithmName.SHA384,
        "1.2.840.113549.1.1.13" or "1.2.840.10045.4.3.4" => HashAlgorithmName.SHA512,
        _ => null,
    };
}
