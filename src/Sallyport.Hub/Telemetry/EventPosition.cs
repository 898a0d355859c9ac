using System.Globalization;
using Sallyport.Storage.EventLog;

namespace Sallyport.Hub.Telemetry;

/// <summary>
/// Where to begin, as text: <c>earliest</c>, <c>latest</c>, <c>offset:N</c> (the events after it, as Event Hubs means it),
/// <c>sequence:N</c> (from that event on), <c>time:ISO 8601</c> (from the first event enqueued then or later).
/// </summary>
public static class EventPosition
{
    public const string Syntax = "earliest, latest, offset:N, sequence:N or time:YYYY-MM-DDThh:mm:ssZ";

    public static bool TryParse(string text, out LogStart start)
    {
        start = text == "latest" ? LogStart.Latest : LogStart.Earliest;
        if (text is "latest" or "earliest")
            return true;

        var colon = text.IndexOf(':', StringComparison.Ordinal);
        var (kind, value) = colon < 0 ? (text, "") : (text[..colon], text[(colon + 1)..]);
        switch (kind)
        {
            case "offset" when TryParseNumber(value, out var offset) && offset < long.MaxValue:
                start = LogStart.FromSequence(offset + 1);
                return true;
            case "sequence" when TryParseNumber(value, out var sequence):
                start = LogStart.FromSequence(sequence);
                return true;
            case "time" when IsoTime.TryParse(value, out var time):
                start = LogStart.FromTime(time);
                return true;
            default:
                return false;
        }
    }

    private static bool TryParseNumber(string text, out long number) =>
        long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number);
}
