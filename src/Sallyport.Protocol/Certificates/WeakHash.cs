using System.Security.Cryptography.X509Certificates;

namespace Sallyport.Protocol.Certificates;

/// <summary>Hashes under which somebody can make two certificates with one signature. Pure.</summary>
public static class WeakHash
{
    /// <summary>The one that a certificate is signed with, in words; null when it is signed with another.</summary>
    public static string? Of(X509Certificate2 certificate) => certificate.SignatureAlgorithm.Value switch
    {
        // With RSA, ECDSA, DSA; and OIW's of RSA.
        "1.2.840.113549.1.1.5" or "1.2.840.10045.4.1" or "1.2.840.10040.4.3" or "1.3.14.3.2.29" => "SHA-1",
        "1.2.840.113549.1.1.4" => "MD5",
        "1.2.840.113549.1.1.2" => "MD2",
        _ => null,
    };
}
