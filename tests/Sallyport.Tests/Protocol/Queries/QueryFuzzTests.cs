using System.Globalization;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Queries;

namespace Sallyport.Tests.Protocol.Queries;

/// <summary>
/// Seeded random texts, words and damaged queries. Whatever comes, the answer is a query that can be evaluated, or the refusal that says where.
/// <c>SALLYPORT_FUZZ_RUNS</c> sets how many seeds are tried.
/// </summary>
public sealed class QueryFuzzTests
{
    private static readonly int Runs = int.TryParse(Environment.GetEnvironmentVariable("SALLYPORT_FUZZ_RUNS"), CultureInfo.InvariantCulture, out var runs) ? runs : 5000;

    private static readonly string[] Words =
    [
        "SELECT", "TOP", "3", "*", "FROM", "devices", ".", "modules", "jobs", "WHERE", "GROUP", "BY", "AS", "tags", "properties", "reported", "desired", "$version", "deviceId", "status", "a", "[[b c]]", "[[", "]]", "[", "]", "(", ")", ",",
        "=", "!=", "<>", "<", "<=", ">", ">=", "AND", "OR", "NOT", "IN", "NIN", "+", "-", "/", "%", "'text'", "\"text\"", "'\\u0041'", "'\\", "'", "0x1F", "1.5", "1e5", "1e999", "true", "null", "undefined", "IS_DEFINED", "CONTAINS", "COUNT",
        "SUM", "AVG", "SUBSTRING", "CONCAT", "\n", "\t", "\0", "\ud800", "ORDER", ";",
    ];

    private static readonly string[] Good =
    [
        "SELECT * FROM devices WHERE tags.location.region = 'US' AND properties.reported.telemetryConfig.sendFrequencyInSecs >= 60",
        "SELECT properties.reported.telemetryConfig.status AS status, COUNT() AS numberOfDevices FROM devices GROUP BY properties.reported.telemetryConfig.status",
        "SELECT TOP 10 deviceId, tags.[[my-tag]] FROM devices.modules WHERE NOT (IS_DEFINED(tags.a) OR tags.b IN ['x', -1, null]) AND SUBSTRING(tags.c, 1, 2) <> \"\\u00e4\"",
        "SELECT * FROM devices.jobs WHERE devices.jobs.jobId = 'myJobId' AND devices.jobs.createdTimeUtc > '2016-09-01'",
    ];

    [Fact]
    public void Query_OfAnyText_IsReadOrRefusedWithItsPlace()
    {
        for (var seed = 0; seed < Runs; seed++)
        {
            var text = Text(new Random(seed));
            try
            {
                var query = QueryParser.Parse(text);
                var values = new QueryValue[query.Slots.Count];
                query.Admits(values);
                values.AsSpan().Fill(QueryValue.Of("text"));
                query.Admits(values);
                values.AsSpan().Fill(QueryValue.Of(seed));
                query.Admits(values);
            }
            catch (HubException refusal)
            {
                Assert.True(refusal.Error == HubErrors.ArgumentInvalid && refusal.Message.StartsWith("query, line ", StringComparison.Ordinal), $"seed {seed}: {refusal.Message}");
                Assert.DoesNotContain(refusal.Message, char.IsControl);
            }
        }
    }

    private static string Text(Random random)
    {
        switch (random.Next(4))
        {
            case 0:
                return new string([.. Enumerable.Range(0, random.Next(60)).Select(_ => (char)random.Next(random.Next(2) == 0 ? 128 : 65536))]);
            case 1:
                return string.Join(random.Next(3) == 0 ? "" : " ", Enumerable.Range(0, random.Next(40)).Select(_ => random.GetItems(Words, 1)[0]));
            default:
                var text = random.GetItems(Good, 1)[0];
                for (var times = random.Next(4); times > 0; times--)
                {
                    var (at, word) = (random.Next(text.Length), random.GetItems(Words, 1)[0]);
                    text = random.Next(3) switch
                    {
                        0 => text.Insert(at, word),
                        1 => text.Remove(at, Math.Min(random.Next(8), text.Length - at)) + " ",
                        _ => text[..at] + word + text[Math.Min(text.Length, at + word.Length)..],
                    };
                }

                return text;
        }
    }
}
