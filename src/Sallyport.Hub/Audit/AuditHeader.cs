using System.Buffers;
using System.Globalization;
using System.Text.Json;
using Sallyport.Storage;

namespace Sallyport.Hub.Audit;

/// <summary>A file of version 1, which had no chain: the first file of version 2 holds its digest.</summary>
internal sealed record OlderFile(int File, string Sha256);

/// <summary>What was left at the end of the file before, because it could not be read: not part of the chain.</summary>
internal sealed record LeftEnd(long Bytes, string Sha256);

/// <summary>The first line of an audit file (<c>docs/formats/audit.md</c>). Immutable.</summary>
/// <param name="Time">When the file was begun. In version 1 it was not written, nor was what follows.</param>
/// <param name="Previous">The hash of the last line before it, in hex; zeros where the chain begins.</param>
/// <param name="KeyId">Which master key signs the lines of this file.</param>
internal sealed record AuditHeader(
    int Version, int File, long FirstSequence, DateTimeOffset Time, string HubId, string Previous, string KeyId, IReadOnlyList<OlderFile> Older, LeftEnd? Left)
{
    public const int Newest = 2;

    public static readonly string NoPrevious = new('0', 2 * AuditSeal.HashLength);

    private const string FormatName = "sallyport-audit";

    /// <summary>The JSON object without seal.</summary>
    public byte[] ToJson()
    {
        var line = new ArrayBufferWriter<byte>();
        using var json = new Utf8JsonWriter(line);
        json.WriteStartObject();
        json.WriteString("format", FormatName);
        json.WriteNumber("version", Version);
        json.WriteNumber("file", File);
        json.WriteNumber("firstSequence", FirstSequence);
        json.WriteString("time", Time.UtcDateTime);
        json.WriteString("hub", HubId);
        json.WriteString("previous", Previous);
        json.WriteString("key", KeyId);
        if (Older.Count > 0)
        {
            json.WriteStartArray("older");
            foreach (var older in Older)
            {
                json.WriteStartObject();
                json.WriteNumber("file", older.File);
                json.WriteString("sha256", older.Sha256);
                json.WriteEndObject();
            }

            json.WriteEndArray();
        }

        if (Left is not null)
        {
            json.WriteStartObject("left");
            json.WriteNumber("bytes", Left.Bytes);
            json.WriteString("sha256", Left.Sha256);
            json.WriteEndObject();
        }

        json.WriteEndObject();
        json.Flush();
        return line.WrittenSpan.ToArray();
    }

    /// <returns>Null when it is not the first line of an audit file.</returns>
    /// <exception cref="UnusableDataException">It is of a newer format.</exception>
    public static AuditHeader? TryParse(string path, ReadOnlyMemory<byte> line)
    {
        try
        {
            using var json = JsonDocument.Parse(line);
            var root = json.RootElement;
            if (root.GetProperty("format").GetString() != FormatName)
                return null;

            var version = root.GetProperty("version").GetInt32();
            if (version > Newest)
                throw new UnusableDataException($"'{path}' has format {version.ToString(CultureInfo.InvariantCulture)}, newer than this program's {Newest}: use a newer program.");
            var (file, first) = (root.GetProperty("file").GetInt32(), root.GetProperty("firstSequence").GetInt64());
            if (version < 1 || first < 1)
                return null;
            return version == 1
                ? new AuditHeader(version, file, first, default, "", NoPrevious, "", [], null)
                : new AuditHeader(
                    version, file, first, root.GetProperty("time").GetDateTimeOffset(), Text(root, "hub"), HashText(root, "previous"), Text(root, "key"),
                    root.TryGetProperty("older", out var older)
                        ? [.. older.EnumerateArray().Select(one => new OlderFile(one.GetProperty("file").GetInt32(), HashText(one, "sha256")))]
                        : [],
                    root.TryGetProperty("left", out var left) ? new LeftEnd(Positive(left.GetProperty("bytes").GetInt64()), HashText(left, "sha256")) : null);
        }
        catch (Exception other) when (other is JsonException or InvalidOperationException or KeyNotFoundException or FormatException)
        {
            return null;
        }
    }

    private static string Text(JsonElement root, string name) => root.GetProperty(name).GetString() ?? throw new FormatException();

    private static long Positive(long number) => number > 0 ? number : throw new FormatException();

    private static string HashText(JsonElement root, string name)
    {
        var text = Text(root, name);
        return text.Length == 2 * AuditSeal.HashLength && text.All(char.IsAsciiHexDigitLower) ? text : throw new FormatException();
    }
}
