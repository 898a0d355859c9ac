using System.Globalization;

namespace Sallyport.Hub.Telemetry;

/// <summary>A time as senders and readers write it: ISO 8601 in full, fraction and offset optional; UTC when it has no offset.</summary>
public static class IsoTime
{
    public const int MaxLength = 40;

    public static bool TryParse(ReadOnlySpan<char> text, out DateTimeOffset time) => DateTimeOffset.TryParseExact(
        text, "yyyy-MM-dd'T'HH:mm:ss.FFFFFFFK", CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out time);
}
