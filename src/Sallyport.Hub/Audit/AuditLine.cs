using System.Buffers;
using System.Text.Json;
using Sallyport.Storage;

namespace Sallyport.Hub.Audit;

/// <summary>The entries of an audit file (<c>docs/formats/audit.md</c>): JSON, ASCII only, so that no name that a stranger made up steers a terminal.</summary>
internal static class AuditLine
{
    /// <summary>Longer texts are cut, in characters: they come from outside.</summary>
    public const int MaxTextLength = 512;

    /// <summary>Writes the JSON object, without seal and end of line.</summary>
    public static void Write(IBufferWriter<byte> lines, AuditEntry entry, long count, DateTimeOffset time, long sequence)
    {
        using var json = new Utf8JsonWriter(lines);
        json.WriteStartObject();
        json.WriteString("time", time.UtcDateTime);
        json.WriteNumber("sequence", sequence);
        WriteText(json, "principal", entry.Principal);
        WriteText(json, "credential", entry.CredentialFingerprint);
        WriteText(json, "action", entry.Action);
        WriteText(json, "target", entry.Target);
        WriteText(json, "result", entry.Result);
        WriteText(json, "reason", entry.Reason);
        WriteText(json, "correlationId", entry.CorrelationId);
        WriteText(json, "peer", entry.Peer);
        json.WriteNumber("count", count);
        json.WriteEndObject();
    }

    /// <summary>The number of the entry; null when the line is none.</summary>
    public static long? SequenceOf(ReadOnlySpan<byte> line)
    {
        var json = new Utf8JsonReader(line);
        try
        {
            while (json.Read())
            {
                if (json.TokenType is JsonTokenType.PropertyName && json.CurrentDepth == 1 && json.ValueTextEquals("sequence"u8))
                    return json.Read() && json.TokenType is JsonTokenType.Number && json.TryGetInt64(out var sequence) ? sequence : null;
            }
        }
        catch (JsonException)
        {
            // Not a line of ours.
        }

        return null;
    }

    /// <summary>When the entry was handed over. Only of a line that is known to be one: its time is its first member.</summary>
    public static DateTimeOffset TimeOf(ReadOnlySpan<byte> line)
    {
        var json = new Utf8JsonReader(line);
        return json.Read() && json.Read() && json.ValueTextEquals("time"u8) && json.Read() && json.TryGetDateTimeOffset(out var time) ? time : default;
    }

    /// <summary>Reads a file of version 1 through.</summary>
    /// <returns>The highest sequence number in it (the one before its first when it has none), and whether every line could be read.</returns>
    public static (long LastSequence, bool IsWhole) Scan(string path, AuditHeader header)
    {
        using var file = AuditFiles.OpenToRead(path);
        var (last, isWhole) = (header.FirstSequence - 1, true);
        foreach (var line in AuditFiles.Lines(file, file.Length).Skip(1))
        {
            var sequence = SequenceOf(line.Text.Span) ?? 0;
            isWhole &= line.IsEnded && sequence == last + 1;
            last = Highest(last, sequence);
        }

        return (last, isWhole);
    }

    /// <summary>The higher of two, unless it is so much higher that only somebody who wants the numbers to run out can have written it.</summary>
    public static long Highest(long last, long sequence) => sequence > last && sequence - last <= 100_000 ? sequence : last;

    /// <exception cref="UnusableDataException">It is of a newer format or not an audit file.</exception>
    public static AuditHeader HeaderOf(string path)
    {
        using var file = AuditFiles.OpenToRead(path);
        var first = AuditFiles.Lines(file, file.Length).FirstOrDefault();
        return AuditHeader.TryParse(path, first.Text)
            ?? throw new UnusableDataException($"'{path}' is not an audit file: move it out of the directory, or restore it from a backup.");
    }

    private static void WriteText(Utf8JsonWriter json, string name, string text) =>
        json.WriteString(name, text.Length <= MaxTextLength ? text : string.Concat(text.AsSpan(0, MaxTextLength), "..."));
}
