using System.Globalization;

namespace Sallyport.Settings;

/// <summary>
/// A loosened defence: who answers for it, why, and until when. In development it may be only <c>true</c>; production refuses one without all
/// three, and one whose time is over. Immutable.
/// </summary>
/// <param name="Until">The last day (UTC) on which it may be in force; null: none was given.</param>
internal sealed record InsecureSwitch(string Owner, string Reason, DateOnly? Until)
{
    public const string Syntax = "false, true (in development), or \"OWNER; REASON; YYYY-MM-DD\"";

    /// <param name="on">Null when the text says <c>false</c>.</param>
    public static bool TryParse(string text, out InsecureSwitch? on)
    {
        on = null;
        if (bool.TryParse(text, out var isOn))
        {
            on = isOn ? new InsecureSwitch("", "", null) : null;
            return true;
        }

        var parts = text.Split(';', StringSplitOptions.TrimEntries);
        if (parts.Length != 3 || parts.Any(part => part.Length == 0)
            || !DateOnly.TryParseExact(parts[2], "yyyy-MM-dd", CultureInfo.InvariantCulture, DateTimeStyles.None, out var until))
        {
            return false;
        }

        on = new InsecureSwitch(parts[0], parts[1], until);
        return true;
    }

    /// <summary>What is missing for production; null when nothing is.</summary>
    public string? Objection(DateTimeOffset now) =>
        Until is null ? "it names no owner, reason and last day"
        : IsOver(now) ? $"its last day was {Until:yyyy-MM-dd}"
        : null;

    public bool IsOver(DateTimeOffset now) => Until < DateOnly.FromDateTime(now.UtcDateTime);

    /// <summary>As it is written in settings.</summary>
    public override string ToString() => Until is null ? "true" : string.Create(CultureInfo.InvariantCulture, $"{Owner}; {Reason}; {Until:yyyy-MM-dd}");
}
