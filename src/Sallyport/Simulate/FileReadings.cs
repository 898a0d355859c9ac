using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using CsvHelper;
using CsvHelper.Configuration;

namespace Sallyport.Simulate;

/// <summary>A row that is not a reading: where it is and what is wrong with it.</summary>
internal readonly record struct BadRow(long Line, string Problem);

/// <summary>
/// Measured data out of a file: CSV with a header (RFC 4180) or a JSON object per line. Rows that cannot be read are told and
/// passed over.
/// </summary>
/// <param name="timeColumn">The column or member that says when a row was measured: ISO 8601, or Unix time in seconds or milliseconds; null when there is none.</param>
/// <param name="bad">Told of each row that is passed over.</param>
internal sealed partial class FileReadings(string path, string? timeColumn, Action<BadRow> bad) : IReadings
{
    /// <summary>What a hub takes; a longer field is not a reading.</summary>
    private const int MaxFieldChars = 262_144;

    // The year 5138 in seconds, 1973 in milliseconds: what is larger is milliseconds.
    private const double LargestSeconds = 100_000_000_000;

    /// <exception cref="FormatException">Neither <c>.csv</c> nor <c>.jsonl</c>.</exception>
    public static FileReadings Open(string path, string? timeColumn, Action<BadRow> bad) =>
        Path.GetExtension(path).ToUpperInvariant() is ".CSV" or ".JSONL" or ".NDJSON"
            ? new FileReadings(path, timeColumn, bad)
            : throw new FormatException($"{path} is neither .csv nor .jsonl");

    /// <exception cref="FormatException">The file has no header, or no column of that name.</exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    public IAsyncEnumerable<Reading> AllAsync(CancellationToken cancel) =>
        Path.GetExtension(path).Equals(".csv", StringComparison.OrdinalIgnoreCase) ? CsvAsync(cancel) : JsonLinesAsync(cancel);

    private async IAsyncEnumerable<Reading> CsvAsync([EnumeratorCancellation] CancellationToken cancel)
    {
        string? badField = null;
        using var text = new StreamReader(path);
        using var csv = new CsvParser(text, new CsvConfiguration(CultureInfo.InvariantCulture)
        {
            BadDataFound = found => badField = found.Field,
            MaxFieldSize = MaxFieldChars,
            IgnoreBlankLines = true,
        });
        if (!await csv.ReadAsync())
            throw new FormatException($"{path} is empty; its first line must name the columns");

        var header = csv.Record!;
        var timeAt = timeColumn is null ? -1 : Array.IndexOf(header, timeColumn);
        if (timeColumn is not null && timeAt < 0)
            throw new FormatException($"{path} has no column '{timeColumn}'; it has {string.Join(", ", header)}");

        while (true)
        {
            cancel.ThrowIfCancellationRequested();
            badField = null;
            if (!await csv.ReadAsync())
                yield break;

            var fields = csv.Record!;
            DateTimeOffset time = default;
            if (badField is not null)
                bad(new BadRow(csv.RawRow, "a quote is open or in the wrong place"));
            else if (fields.Length != header.Length)
                bad(new BadRow(csv.RawRow, $"it has {fields.Length} fields and the header {header.Length}"));
            else if (timeAt >= 0 && !TryReadTime(fields[timeAt], out time))
                bad(new BadRow(csv.RawRow, $"'{fields[timeAt]}' is not a time"));
            else
                yield return new Reading(timeAt >= 0 ? time : null, ToJson(header, fields));
        }
    }

    private async IAsyncEnumerable<Reading> JsonLinesAsync([EnumeratorCancellation] CancellationToken cancel)
    {
        var number = 0L;
        await foreach (var line in File.ReadLinesAsync(path, cancel))
        {
            number++;
            if (string.IsNullOrWhiteSpace(line))
                continue;

            var (reading, problem) = FromJson(line);
            if (problem is not null)
                bad(new BadRow(number, problem));
            else
                yield return reading;
        }
    }

    private (Reading Reading, string? Problem) FromJson(string line)
    {
        JsonDocument parsed;
        try
        {
            parsed = JsonDocument.Parse(line);
        }
        catch (JsonException)
        {
            return (default, "it is not JSON");
        }

        // Not a JsonObject, which fails when a member is named twice.
        using var row = parsed;
        if (row.RootElement.ValueKind != JsonValueKind.Object)
            return (default, "it is not a JSON object");

        var json = Encoding.UTF8.GetBytes(line);
        if (timeColumn is null)
            return (new Reading(null, json), null);
        return row.RootElement.TryGetProperty(timeColumn, out var value) && TryReadTime(value.ToString(), out var time)
            ? (new Reading(time, json), null)
            : (default, $"its '{timeColumn}' is not a time");
    }

    /// <summary>Numbers stay digit for digit what they are, empty fields become null, all else text (also <c>007</c>).</summary>
    private static byte[] ToJson(string[] header, string[] fields)
    {
        var row = new JsonObject();
        for (var i = 0; i < header.Length; i++)
        {
            row[header[i]] = fields[i].Length == 0 ? null
                : JsonNumber().IsMatch(fields[i]) ? JsonNode.Parse(fields[i])
                : JsonValue.Create(fields[i]);
        }

        return Encoding.UTF8.GetBytes(row.ToJsonString());
    }

    private static bool TryReadTime(string text, out DateTimeOffset time)
    {
        if (double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out var unix))
        {
            var milliseconds = Math.Abs(unix) <= LargestSeconds ? unix * 1000 : unix;
            var isInRange = milliseconds is >= -62_135_596_800_000 and <= 253_402_300_799_999;
            time = isInRange ? DateTimeOffset.FromUnixTimeMilliseconds((long)milliseconds) : default;
            return isInRange;
        }

        return DateTimeOffset.TryParse(text, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out time);
    }

    [GeneratedRegex(@"\A-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?\z", RegexOptions.CultureInvariant)]
    private static partial Regex JsonNumber();
}
