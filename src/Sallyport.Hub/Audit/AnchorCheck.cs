using System.Globalization;

namespace Sallyport.Hub.Audit;

/// <summary>Compares lines with the anchors that were kept elsewhere. Not thread-safe.</summary>
internal sealed class AnchorCheck(IReadOnlyList<AuditAnchor> anchors)
{
    private readonly ILookup<(int File, long Line), AuditAnchor> _byPlace = anchors.ToLookup(anchor => (anchor.File, anchor.Line));
    private readonly HashSet<(int, long)> _seen = [];
    private bool _isRewritten;

    /// <summary>How many were found in their places.</summary>
    public int Found { get; private set; }

    /// <summary>The last one that was.</summary>
    public AuditAnchor? Newest { get; private set; }

    /// <summary>An anchor of the end of an archive says what came before the first file here.</summary>
    public bool IsStartTied { get; private set; }

    /// <param name="hash">Of the line; null when it has none that can be read.</param>
    public void See(int file, long line, byte[]? hash, string name, long sequence, AuditFindings findings)
    {
        foreach (var anchor in _byPlace[(file, line)])
        {
            _seen.Add((file, line));
            if (hash is not null && Convert.ToHexStringLower(hash) == anchor.Hash)
            {
                Found++;
                Newest = anchor;
            }
            else if (!_isRewritten)
            {
                _isRewritten = true;
                findings.Add(new AuditFinding(AuditFault.Rewritten, name, line, sequence,
                    $"Another line stood here at {Said(anchor.Time)}, as an anchor has seen it: {Since()} was written anew by somebody who holds the key, or an older copy was put back and the hub went on from it."));
            }
        }
    }

    /// <param name="first">The first line of the first file that has a chain.</param>
    /// <param name="head">The last line that was found.</param>
    public void Finish(AuditFindings findings, List<string> notes, string? hubId, HashSet<int> files, AuditHeader? first, AuditAnchor? head)
    {
        var own = anchors.Where(anchor => hubId is null || anchor.Hub == hubId).ToList();
        if (own.Count == 0 && anchors.Count > 0)
            findings.Add(new AuditFinding(AuditFault.NotAnchored, "", 0, 0, $"None of the {anchors.Count} anchors is of hub {hubId}: they are of another one, or its id was changed."));

        var before = 0;
        var isCutOff = false;
        foreach (var anchor in own.Where(anchor => !_seen.Contains((anchor.File, anchor.Line))).OrderBy(anchor => (anchor.File, anchor.Line)))
        {
            if (first is not null && anchor.File < first.File)
                TieStart(anchor, first, ref before);
            else if (!isCutOff && (files.Contains(anchor.File) || head is null || anchor.File > head.File))
            {
                isCutOff = true;
                findings.Add(new AuditFinding(AuditFault.CutOff, AuditFiles.NameOf(anchor.File), anchor.Line, anchor.Sequence,
                    $"An anchor has seen this line at {Said(anchor.Time)}, and it is not there: the end was cut off, or an older copy was put back."));
            }
        }

        if (before > 0)
            notes.Add($"{before} anchors are of files before the first one here.");
    }

    private void TieStart(AuditAnchor anchor, AuditHeader first, ref int before)
    {
        if (anchor.File != first.File - 1 || anchor.Hash != first.Previous)
        {
            before++;
            return;
        }

        IsStartTied = true;
        Found++;
        Newest ??= anchor;
    }

    private string Since() => Newest is null ? "the trail" : string.Create(CultureInfo.InvariantCulture, $"what follows entry {Newest.Sequence}");

    private static string Said(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture);
}
