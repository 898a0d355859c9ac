using System.Buffers;
using System.Text.Json;
using Sallyport.Storage;

namespace Sallyport.Hub.Audit;

/// <summary>The lines of an audit file (<c>docs/formats/audit.md</c>): JSON, ASCII only, so that no name that a stranger made up steers a terminal.</summary>
internal static class AuditLine
{
    /// <summary>Longer texts are cut, in characters: they come from outside.</summary>
    public const int MaxTextLength = 512;

    private const string FormatName = "sallyport-audit";
    private const int FormatVersion = 1;

    public static ReadOnlySpan<byte> Header(int number, long firstSequence)
    {
        var line = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(line))
        {
            json.WriteStartObject();
            json.WriteString("format", FormatName);
            json.WriteNumber("version", FormatVersion);
            json.WriteNumber("file", number);
            json.WriteNumber("firstSequence", firstSequence);
            json.WriteEndObject();
        }

        line.Write("\n"u8);
        return line.WrittenSpan;
    }

    public static void Write(IBufferWriter<byte> lines, AuditEntry entry, long count, DateTimeOffset time, long sequence)
    {
        using (var json = new Utf8JsonWriter(lines))
        {
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

        lines.Write("\n"u8);
    }

    /// <summary>Reads a file through.</summary>
    /// <returns>The highest sequence number in it (the one before its first when it has none), and whether every line could be read.</returns>
    /// <exception cref="UnusableDataException">It is of a newer format or not an audit file.</exception>
    public static (long LastSequence, bool IsWhole) Scan(string path)
    {
        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        using var lines = new StreamReader(file);
        var last = ReadHeader(path, lines.ReadLine());
        var isWhole = true;
        while (lines.ReadLine() is { } line)
        {
            if (TryReadNumber(line, "sequence", out var sequence) && sequence == last + 1)
                last = sequence;
            else
                (isWhole, last) = (false, Math.Max(last, sequence));
        }

        file.Position = file.Length - 1;
        return (last, isWhole && file.ReadByte() == '\n');
    }

    private static long ReadHeader(string path, string? line)
    {
        if (line is null || !line.Contains(FormatName, StringComparison.Ordinal)
            || !TryReadNumber(line, "version", out var version) || !TryReadNumber(line, "firstSequence", out var firstSequence))
        {
            throw new UnusableDataException($"'{path}' is not an audit file: move it out of the directory, or restore it from a backup.");
        }

        return version <= FormatVersion
            ? firstSequence - 1
            : throw new UnusableDataException($"'{path}' has format {version}, newer than this program's {FormatVersion}: use a newer program.");
    }

    private static bool TryReadNumber(string line, string name, out long number)
    {
        number = 0;
        try
        {
            using var json = JsonDocument.Parse(line);
            return json.RootElement.ValueKind is JsonValueKind.Object
                && json.RootElement.TryGetProperty(name, out var value)
                && value.ValueKind is JsonValueKind.Number
                && value.TryGetInt64(out number);
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static void WriteText(Utf8JsonWriter json, string name, string text) =>
        json.WriteString(name, text.Length <= MaxTextLength ? text : string.Concat(text.AsSpan(0, MaxTextLength), "..."));
}
