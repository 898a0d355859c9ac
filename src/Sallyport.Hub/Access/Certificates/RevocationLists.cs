using System.Security.Cryptography.X509Certificates;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Access.Certificates;

/// <summary>The revocation lists of one authority and of those below it. Immutable; thread-safe.</summary>
internal sealed class RevocationLists
{
    /// <summary>How far the clock of who signs a list may be ahead.</summary>
    private static readonly TimeSpan ClockSkew = TimeSpan.FromMinutes(5);

    private readonly IReadOnlyList<RevocationList> _lists;

    private RevocationLists(IReadOnlyList<RevocationList> lists) => _lists = lists;

    public static RevocationLists None { get; } = new([]);

    /// <summary>When the first of them ends; null when there is none.</summary>
    public DateTimeOffset? NextUpdate => _lists.Count == 0 ? null : _lists.Min(list => list.NextUpdate ?? DateTimeOffset.MinValue);

    public int RevokedCount => _lists.Sum(list => list.Serials.Count);

    /// <summary>Reads what was stored; it was <see cref="Take">taken</see> once.</summary>
    /// <exception cref="FormatException">It is not what was stored.</exception>
    public static RevocationLists Read(byte[] stored) => new(RevocationList.ReadAll(stored));

    /// <summary>Reads what somebody gives or a URL answered, to follow <paramref name="before"/>.</summary>
    /// <exception cref="FormatException">It may not be taken; says why.</exception>
    public static RevocationLists Take(byte[] given, X509Certificate2 authority, RevocationLists before, DateTimeOffset now)
    {
        if (given.Length > CertificateAuthorities.MaxRevocationListBytes)
            throw new FormatException($"it has more than {CertificateAuthorities.MaxRevocationListBytes / 1024 / 1024} MiB");

        var lists = RevocationList.ReadAll(given);
        if (!lists.Any(list => list.IsOf(authority)))
            throw new FormatException("no list in it is issued and signed by the authority");

        foreach (var list in lists)
        {
            // Lists of issuers in between are checked against them once a device shows them.
            if (list.Issuer.Span.SequenceEqual(authority.SubjectName.RawData) && !list.IsOf(authority))
                throw new FormatException("a list in it bears the authority's name, but not its signature");
            if (list.ThisUpdate > now + ClockSkew)
                throw new FormatException($"a list in it begins at {list.ThisUpdate:u} only");
            if (!list.IsInForce(now))
                throw new FormatException(list.NextUpdate is { } ended ? $"a list in it ended at {ended:u}" : "a list in it does not say when the next one is due");
            if (before._lists.FirstOrDefault(older => older.Issuer.Span.SequenceEqual(list.Issuer.Span)) is { } previous && IsOlder(list, previous))
                throw new FormatException("a list in it is older than the one in force");
        }

        return new RevocationLists(lists);
    }

    /// <summary>Why the chain is refused; null when it is not.</summary>
    public string? Fault(VerifiedChain chain, RevocationCheck check, DateTimeOffset now)
    {
        if (check is RevocationCheck.Off)
            return null;

        foreach (var link in chain.Links)
        {
            var list = _lists.FirstOrDefault(list => list.IsOf(link.Issuer));
            if (list?.Serials.Contains(link.SerialNumber) == true)
                return $"the certificate with the serial number {link.SerialNumber} is revoked by {LeafRules.Shown(link.Issuer.Subject)}";
            if (check is not RevocationCheck.HardFail)
                continue;
            if (list is null)
                return $"there is no revocation list of {LeafRules.Shown(link.Issuer.Subject)}, and the authority is set to hard-fail";
            if (!list.IsInForce(now))
                return $"the revocation list of {LeafRules.Shown(link.Issuer.Subject)} ended at {list.NextUpdate:u}, and the authority is set to hard-fail";
        }

        return null;
    }

    private static bool IsOlder(RevocationList list, RevocationList previous) =>
        list.Number is { } number && previous.Number is { } before ? number < before : list.ThisUpdate < previous.ThisUpdate;
}
