using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Sallyport.Hub.Audit;

/// <summary>
/// The head of a trail at a moment: kept where the hub cannot reach it, it shows later that nothing before it was changed, cut off or
/// written anew. Holds no secret. Immutable.
/// </summary>
/// <param name="Hub">The id of the data directory.</param>
/// <param name="Time">When the line was written, as the hub's clock said.</param>
/// <param name="File">The number of the file.</param>
/// <param name="Line">The last line in it; 1 is the file's first line.</param>
/// <param name="Sequence">Of the last entry so far.</param>
/// <param name="Hash">Of that line: 64 hex digits.</param>
public sealed record AuditAnchor(string Hub, DateTimeOffset Time, int File, long Line, long Sequence, string Hash)
{
    private const string Start = "{\"format\":\"sallyport-audit-anchor\"";

    /// <summary>One line of JSON, the same everywhere: in a file, in a syslog message, as the body of a webhook.</summary>
    public string ToJson() => string.Create(
        CultureInfo.InvariantCulture,
        $"{Start},\"version\":1,\"hub\":\"{Hub}\",\"time\":\"{Time.UtcDateTime:yyyy-MM-ddTHH:mm:ss.fffffffZ}\",\"file\":{File},\"line\":{Line},\"sequence\":{Sequence},\"hash\":\"{Hash}\"}}");

    /// <summary>Finds the anchors in what was collected: a file of anchors, a syslog file, the bodies that a webhook was sent. What is around them is passed over.</summary>
    /// <exception cref="FormatException">An anchor is of a newer version, or is damaged.</exception>
    public static IReadOnlyList<AuditAnchor> ReadAll(string text)
    {
        var anchors = new List<AuditAnchor>();
        for (var at = text.IndexOf(Start, StringComparison.Ordinal); at >= 0; at = text.IndexOf(Start, at + Start.Length, StringComparison.Ordinal))
        {
            // No anchor is longer.
            var json = new Utf8JsonReader(Encoding.UTF8.GetBytes(text, at, Math.Min(1024, text.Length - at)));
            try
            {
                var read = JsonSerializer.Deserialize(ref json, AuditAnchorJson.Default.Written);
                anchors.Add(read is { Version: 1 } ? read.ToAnchor() : throw new FormatException("an anchor is of a newer version: use a newer program"));
            }
            catch (JsonException damaged)
            {
                throw new FormatException($"the anchor at character {at} is damaged", damaged);
            }
        }

        return anchors;
    }

    internal sealed record Written(int Version, string Hub, DateTimeOffset Time, int File, long Line, long Sequence, string Hash)
    {
        public AuditAnchor ToAnchor() => File > 0 && Line > 0 && Sequence >= 0 && Hash.Length == 2 * AuditSeal.HashLength && Hash.All(char.IsAsciiHexDigitLower) && Hub.All(char.IsAsciiLetterOrDigit)
            ? new AuditAnchor(Hub, Time, File, Line, Sequence, Hash)
            : throw new FormatException("an anchor is damaged: its numbers begin at 1, and its hash has 64 hex digits");
    }
}
