using System.Text.Json;

namespace Sallyport.Hub.Audit;

/// <summary>Reads the entries of a trail while the hub goes on writing it. Lines that are none are passed over: finding them is the verifier's work. Thread-safe.</summary>
/// <param name="directory"><c>DIR/audit</c>.</param>
public sealed class AuditReader(string directory)
{
    public const int MaxTop = 1000;

    public string Directory { get; } = directory;

    /// <summary>One page looks at no more than this, in bytes (about a full file); a page may hold fewer entries than asked for and still have a next.</summary>
    internal const long MaxScannedBytes = 64L * 1024 * 1024;

    private const int BlockBytes = 64 * 1024;

    /// <summary>Entries newest first.</summary>
    /// <param name="top">1 to <see cref="MaxTop"/>.</param>
    /// <exception cref="IOException">A file cannot be read.</exception>
    public AuditPage List(AuditQuery query, int top, CancellationToken cancel)
    {
        var entries = new List<JsonElement>();
        var scanned = 0L;
        foreach (var (path, _) in Files(query).AsEnumerable().Reverse())
        {
            foreach (var line in LinesFromEnd(path))
            {
                cancel.ThrowIfCancellationRequested();
                scanned += line.Length + 1;
                if (AuditLine.SequenceOf(line.Span) is not { } sequence || sequence > query.To)
                    continue;
                if (sequence < query.From)
                    return new AuditPage(entries, null);
                if (entries.Count == top || scanned > MaxScannedBytes)
                    return new AuditPage(entries, sequence);
                if (TryParse(line, out var entry) && query.Matches(entry))
                    entries.Add(entry);
            }
        }

        return new AuditPage(entries, null);
    }

    /// <summary>The lines of entries, oldest first, as they are in the files and without their ends.</summary>
    /// <exception cref="IOException">A file cannot be read.</exception>
    public IEnumerable<ReadOnlyMemory<byte>> Export(AuditQuery query)
    {
        foreach (var (path, _) in Files(query))
        {
            using var file = AuditFiles.OpenToRead(path);
            foreach (var line in AuditFiles.Lines(file, file.Length))
            {
                if (line.IsEnded && AuditLine.SequenceOf(line.Text.Span) is { } sequence && sequence >= query.From && sequence <= query.To
                    && TryParse(line.Text, out var entry) && query.Matches(entry))
                {
                    yield return line.Text;
                }
            }
        }
    }

    /// <summary>The files that may hold what is asked for, oldest first.</summary>
    private List<(string Path, long FirstSequence)> Files(AuditQuery query)
    {
        var files = new List<(string Path, long FirstSequence)>();
        foreach (var (path, number) in AuditFiles.List(Directory))
        {
            using var file = AuditFiles.OpenToRead(path);
            if (number > 0 && AuditFiles.Lines(file, file.Length).Select(line => AuditHeader.TryParse(path, line.Text)).FirstOrDefault() is { } header)
                files.Add((path, header.FirstSequence));
        }

        return [.. files.Where((file, i) => file.FirstSequence <= query.To && (i + 1 == files.Count || files[i + 1].FirstSequence > query.From))];
    }

    private static IEnumerable<ReadOnlyMemory<byte>> LinesFromEnd(string path)
    {
        using var file = AuditFiles.OpenToRead(path);
        var (position, rest) = (file.Length, Array.Empty<byte>());
        var isLast = true; // What comes after the last end of line is not finished.
        while (position > 0)
        {
            var block = new byte[(int)Math.Min(BlockBytes, position) + rest.Length];
            var read = block.Length - rest.Length;
            position -= read;
            file.Position = position;
            file.ReadExactly(block, 0, read);
            rest.CopyTo(block, read);
            var end = block.Length;
            for (var at = block.AsSpan(0, end).LastIndexOf((byte)'\n'); at >= 0; at = block.AsSpan(0, end).LastIndexOf((byte)'\n'))
            {
                if (!isLast)
                    yield return block.AsMemory((at + 1)..end);
                (end, isLast) = (at, false);
            }

            // A line longer than any entry is none.
            rest = end > AuditFiles.MaxLineBytes ? [] : block[..end];
        }
    }

    private static bool TryParse(ReadOnlyMemory<byte> line, out JsonElement entry)
    {
        try
        {
            using var json = JsonDocument.Parse(line);
            entry = json.RootElement.Clone();
            return entry.ValueKind is JsonValueKind.Object;
        }
        catch (JsonException)
        {
            entry = default;
            return false;
        }
    }
}
