namespace Sallyport.Hub.Audit;

/// <summary>How far a file of version 2 is what was written, for the one who goes on after it.</summary>
/// <param name="Head">The last line that follows from those before it.</param>
/// <param name="LastSequence">The highest number in the file, so that none is given twice.</param>
/// <param name="Left">What comes after that line; null when nothing does.</param>
internal sealed record AuditEnd(AuditAnchor Head, long LastSequence, LeftEnd? Left)
{
    /// <summary>Reads the file through.</summary>
    /// <param name="key">Null when the key that signed it is not here any more: then its hashes alone say what is whole.</param>
    public static AuditEnd Read(string path, AuditHeader header, byte[]? key, LineHash chain)
    {
        using var file = AuditFiles.OpenToRead(path);
        var (hash, number, sequence, seen, good) = (Convert.FromHexString(header.Previous), 0L, header.FirstSequence - 1, header.FirstSequence - 1, 0L);
        var (time, isWhole) = (header.Time, true);
        foreach (var line in AuditFiles.Lines(file, file.Length))
        {
            var own = line.Number == 1 ? sequence : AuditLine.SequenceOf(line.Text.Span);
            isWhole = isWhole && line.IsEnded && own == (line.Number == 1 ? sequence : sequence + 1) && AuditSeal.TryRead(line.Text.Span, out var seal)
                && seal.Follows(hash, chain) && (key is null || seal.IsSignedWith(key)) && Take(seal.Hash);
            seen = AuditLine.Highest(seen, own ?? 0);

            bool Take(byte[] next)
            {
                (hash, number, sequence, good) = (next, line.Number, own!.Value, line.Position + line.Text.Length + 1);
                time = line.Number == 1 ? header.Time : AuditLine.TimeOf(line.Text.Span);
                return true;
            }
        }

        var head = new AuditAnchor(header.HubId, time, header.File, number, sequence, Convert.ToHexStringLower(hash));
        return new AuditEnd(head, seen, good == file.Length ? null : new LeftEnd(file.Length - good, AuditFiles.DigestOf(path, good)));
    }
}
