using System.Text.Json.Serialization;

namespace Sallyport.Hub.Audit;

/// <summary>What somebody did to a trail. The names are part of what <c>audit verify</c> prints.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<AuditFault>))]
public enum AuditFault
{
    /// <summary>A line is not what was written.</summary>
    Changed,

    /// <summary>Entries are missing between two others.</summary>
    Removed,

    /// <summary>An entry stands elsewhere than it was written.</summary>
    Moved,

    /// <summary>An entry stands there twice.</summary>
    Repeated,

    /// <summary>A line was put in that the hub did not write.</summary>
    Inserted,

    /// <summary>A genuine entry of another history: an older copy of this trail, or another one signed with the same key.</summary>
    Spliced,

    /// <summary>The chain holds, but whoever wrote it did not hold the key.</summary>
    Unsigned,

    /// <summary>A file names a key that is not here.</summary>
    UnknownKey,

    FileMissing,

    /// <summary>A file has the name of another.</summary>
    FileMisplaced,

    /// <summary>What an anchor has seen is there no more: cut off at the end, or an older copy was put back.</summary>
    CutOff,

    /// <summary>Another line stands where an anchor has seen one.</summary>
    Rewritten,

    /// <summary>Anchors were given, and none is of this hub.</summary>
    NotAnchored,
}

/// <summary>One thing that is not as it was written.</summary>
/// <param name="Line">1 is the file's first line; 0 when it is about the whole file.</param>
/// <param name="Sequence">The number of the entry, or the first of several; 0 for a file's first line.</param>
/// <param name="What">One sentence.</param>
public sealed record AuditFinding(AuditFault Fault, string File, long Line, long Sequence, string What);

/// <summary>What verifying a trail found. Immutable.</summary>
/// <param name="Findings">In the order of the trail; the first is where to begin looking. At most <see cref="AuditVerifier.MaxFindings"/>.</param>
/// <param name="MoreFindings">How many more there were.</param>
/// <param name="Notes">What is worth knowing and no fault: an unfinished line after a crash, archived files.</param>
/// <param name="NotExcluded">What may have been done all the same, each in a sentence that says how to exclude it.</param>
/// <param name="Head">The last line that was found; null when there is none. Kept elsewhere it is an anchor.</param>
/// <param name="Anchors">How many of the given anchors were found in their places.</param>
public sealed record AuditVerification(
    IReadOnlyList<AuditFinding> Findings, long MoreFindings, IReadOnlyList<string> Notes, IReadOnlyList<string> NotExcluded, int Files, long Entries, AuditAnchor? Head, int Anchors)
{
    public bool IsSound => Findings.Count == 0;
}
