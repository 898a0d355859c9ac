using System.Security.Cryptography;

namespace Sallyport.Mutants.Audit;

/// <summary>The mutant that leaves the chain out of the audit trail: each line is hashed by itself, whatever stood before it.</summary>
internal static class UnchainedLines
{
    public static void Hash(ReadOnlySpan<byte> previous, ReadOnlySpan<byte> body, Span<byte> hash) => SHA256.HashData(body, hash);
}
