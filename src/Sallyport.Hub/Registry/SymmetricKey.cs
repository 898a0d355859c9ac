using System.Buffers;
using System.Security.Cryptography;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Registry;

/// <summary>Keys of identities: base64, canonical, 16 to 64 bytes.</summary>
internal static class SymmetricKey
{
    private const int NewKeyBytes = 32;
    private static readonly SearchValues<char> Hex = SearchValues.Create("0123456789abcdefABCDEF");

    public static string New()
    {
        Span<byte> key = stackalloc byte[NewKeyBytes];
        RandomNumberGenerator.Fill(key);
        return Convert.ToBase64String(key);
    }

    /// <summary>Non-canonical base64 (white space, stray bits) is refused: two texts must never be one key.</summary>
    public static bool IsValid(string base64)
    {
        Span<byte> key = stackalloc byte[CredentialDraft.MaxKeyBytes];
        return Convert.TryFromBase64String(base64, key, out var length)
            && length >= CredentialDraft.MinKeyBytes
            && Convert.ToBase64String(key[..length]) == base64;
    }

    /// <exception cref="HubException">400: the identity has no keys.</exception>
    public static IdentityRecord Renew(IdentityRecord record, KeyRenewal renewal)
    {
        if (record.Authentication is not IdentityAuthentication.Sas)
            throw IdentityDraft.Invalid("authentication.type", "only an identity of type sas has keys to renew");

        return renewal switch
        {
            KeyRenewal.Primary => record with { PrimaryKey = New() },
            KeyRenewal.Secondary => record with { SecondaryKey = New() },
            KeyRenewal.Both => record with { PrimaryKey = New(), SecondaryKey = New() },
            _ => record with { PrimaryKey = record.SecondaryKey, SecondaryKey = record.PrimaryKey },
        };
    }

    public static bool ContainsOnlyHex(this ReadOnlySpan<char> text) => !text.ContainsAnyExcept(Hex);
}
