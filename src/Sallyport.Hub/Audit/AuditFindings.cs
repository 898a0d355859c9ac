using System.Globalization;

namespace Sallyport.Hub.Audit;

/// <summary>Collects findings while a trail is read, and says at its end which missing entries stand elsewhere. Bounded. Not thread-safe.</summary>
internal sealed class AuditFindings
{
    private readonly List<Found> _found = [];
    private readonly List<(string File, long Line, long Sequence)> _backward = [];
    private int _sinceGenuine;
    private bool _mayBeTorn;

    public List<AuditFinding> Kept { get; private set; } = [];

    public long More { get; private set; }

    /// <param name="isTorn">A crash may have left it, when nothing genuine comes after it.</param>
    public void Add(AuditFinding finding, bool isTorn = false) => Add(new Found(finding, isTorn, 0));

    /// <summary>Numbers that were passed over before a line.</summary>
    public void AddGap(string file, long line, long from, long to) => Add(new Found(new AuditFinding(AuditFault.Removed, file, line, from, ""), false, to));

    /// <summary>A genuine entry with a number that was passed already.</summary>
    public void AddBackward(string file, long line, long sequence)
    {
        if (_backward.Count < AuditVerifier.MaxFindings)
            _backward.Add((file, line, sequence));
        else
            More++;
    }

    /// <summary>From here on a crash may have left an unfinished line.</summary>
    public void BeginEnd() => (_mayBeTorn, _sinceGenuine) = (true, _found.Count);

    /// <summary>A line that the hub wrote: what was found before it is no torn end.</summary>
    public void SeeGenuine() => _sinceGenuine = _found.Count;

    /// <summary>The last so many lines stand in nobody's place.</summary>
    public void WereInserted(int lines)
    {
        for (var i = _found.Count - 1; i >= 0 && lines > 0 && _found[i].Finding.Fault is AuditFault.Changed or AuditFault.Unsigned; i--, lines--)
            _found[i] = _found[i] with { Finding = _found[i].Finding with { Fault = AuditFault.Inserted, What = "The line was put in: the hub did not write it." } };
    }

    /// <summary>True when nothing but what a crash may leave was found since the last genuine line; then it is found no more.</summary>
    public bool ForgiveTornEnd()
    {
        var isTorn = _mayBeTorn && _found.Count > _sinceGenuine && _found[_sinceGenuine..].All(found => found.IsTorn);
        if (isTorn)
            _found.RemoveRange(_sinceGenuine, _found.Count - _sinceGenuine);
        _mayBeTorn = false;
        return isTorn;
    }

    /// <summary>Tells moved entries from removed and from doubled ones.</summary>
    public void Finish()
    {
        foreach (var (file, line, sequence) in _backward)
        {
            var gap = _found.FindIndex(found => found.Finding.Fault == AuditFault.Removed && sequence >= found.Finding.Sequence && sequence <= found.To && !found.Elsewhere.Contains(sequence));
            if (gap >= 0)
                _found[gap].Elsewhere.Add(sequence);
            Add(new AuditFinding(
                gap >= 0 ? AuditFault.Moved : AuditFault.Repeated, file, line, sequence,
                gap >= 0 ? "The entry does not stand where it was written." : "The entry stands there a second time."));
        }

        Kept = [.. _found.Select(Said).OfType<AuditFinding>().OrderBy(finding => finding.File, StringComparer.Ordinal).ThenBy(finding => finding.Line)];
    }

    private void Add(Found found)
    {
        if (_found.Count < AuditVerifier.MaxFindings)
            _found.Add(found);
        else
            More++;
    }

    private static AuditFinding? Said(Found found)
    {
        if (found.To == 0)
            return found.Finding;

        var missing = found.To - found.Finding.Sequence + 1 - found.Elsewhere.Count;
        return missing <= 0 ? null : found.Finding with
        {
            What = string.Create(CultureInfo.InvariantCulture, $"{(missing == 1 ? "An entry is" : $"{missing} entries are")} missing before this line, between {found.Finding.Sequence} and {found.To}."),
        };
    }

    /// <param name="To">Of a gap: the last number that was passed over; else 0.</param>
    private sealed record Found(AuditFinding Finding, bool IsTorn, long To)
    {
        public HashSet<long> Elsewhere { get; } = [];
    }
}
