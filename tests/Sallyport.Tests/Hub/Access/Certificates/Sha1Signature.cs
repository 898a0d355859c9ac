using System.Formats.Asn1;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Sallyport.Tests.Hub.Access.Certificates;

/// <summary>Signs certificates with ECDSA and SHA-1, whatever hash is asked for: .NET itself makes no such certificate any more.</summary>
internal sealed class Sha1Signature(ECDsa key) : X509SignatureGenerator
{
    public override byte[] GetSignatureAlgorithmIdentifier(HashAlgorithmName hashAlgorithm)
    {
        var identifier = new AsnWriter(AsnEncodingRules.DER);
        using (identifier.PushSequence())
            identifier.WriteObjectIdentifier("1.2.840.10045.4.1"); // ecdsa-with-SHA1, RFC 3279, 2.2.3
        return identifier.Encode();
    }

#pragma warning disable CA5350 // It is bad on purpose.
    public override byte[] SignData(byte[] data, HashAlgorithmName hashAlgorithm) => key.SignData(data, HashAlgorithmName.SHA1, DSASignatureFormat.Rfc3279DerSequence);
#pragma warning restore CA5350

    protected override PublicKey BuildPublicKey() => new(key);
}
