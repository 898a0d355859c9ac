using System.Text;
using System.Text.Json;

namespace Sallyport.Tests.Executable.Bounds;

/// <summary>Makes up, from a seed, what nobody who means well sends.</summary>
internal static class HostileJson
{
    // Numbers that are none of a time-out: a method would wait for it.
    private static readonly string[] Values =
    [
        "null", "true", "0", "-1", "1e400", "-0", "9223372036854775808", "1.5e-7", "\"\"", "\"\\u0000\"", "\"\\ud800\"", "\"'\"", "\"\\\"; DROP TABLE twin; --\"", "\"../../etc/passwd\"", "\"%00\"", "\"ü€😀\"",
        "[]", "{}", "[[[[[[[[[[[[[]]]]]]]]]]]]]", "{\"$version\":1}", "{\"a.b\":1}", "{\"\":1}", "{\"a\":1,\"a\":2}", "\"2026-13-45T99:99:99Z\"", "\"" + new string('x', 5000) + "\"",
    ];

    private static readonly string[] Tags = ["*", "\"*\"", "\"AAAAAAAAAAE=\"", "AAAAAAAAAAE=", "\"\"", "W/\"x\"", "\"x\", \"y\"", new string('x', 2000)];

    private static readonly string[] Queries =
        ["?top=-1", "?top=x", "?top=99999999999999999999", "?top=1&top=2", "?api-version=", "?from=time:never", "?from=offset:-1&follow=false", "?partition=999", "?after=%00", "?positions=0:x", "?maxEvents=0", "?deviceId=%ff", "?%", "?reason=" + new string('x', 300)];

    public static string Query(Random random) => Queries[random.Next(Queries.Length)];

    public static string EntityTag(Random random) => Tags[random.Next(Tags.Length)];

    /// <summary>The body with one to three things changed, as JSON or as bytes.</summary>
    public static byte[] Mutate(Random random, string json)
    {
        var text = json;
        if (random.Next(5) > 0)
        {
            for (var turns = random.Next(1, 4); turns > 0; turns--)
            {
                var slots = Slots(text);
                var (start, length) = slots[random.Next(slots.Count)];
                text = text[..start] + Values[random.Next(Values.Length)] + text[(start + length)..];
                if (!IsJson(text))
                    break;
            }
        }

        var bytes = Encoding.UTF8.GetBytes(text);
        if (random.Next(4) == 0)
        {
            for (var turns = random.Next(1, 4); turns > 0 && bytes.Length > 0; turns--)
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
        }

        return random.Next(12) == 0 ? bytes[..random.Next(bytes.Length + 1)] : bytes;
    }

    /// <summary>The body once for each of its values, with this one in its place.</summary>
    public static IEnumerable<byte[]> Replaced(string json, string value) =>
        Slots(json).Select(slot => Encoding.UTF8.GetBytes(json[..slot.Start] + value + json[(slot.Start + slot.Length)..]));

    /// <summary>Where values are in it: each member's and each element's, and itself.</summary>
    private static List<(int Start, int Length)> Slots(string json)
    {
        var bytes = Encoding.UTF8.GetBytes(json);
        var reader = new Utf8JsonReader(bytes);
        List<(int, int)> slots = [];
        var open = new Stack<int>();
        while (reader.Read())
        {
            var start = (int)reader.TokenStartIndex;
            switch (reader.TokenType)
            {
                case JsonTokenType.PropertyName:
                    break;
                case JsonTokenType.StartObject or JsonTokenType.StartArray:
                    open.Push(start);
                    break;
                case JsonTokenType.EndObject or JsonTokenType.EndArray:
                    var from = open.Pop();
                    slots.Add((CharsIn(bytes, from), CharsIn(bytes, (int)reader.BytesConsumed) - CharsIn(bytes, from)));
                    break;
                default:
                    slots.Add((CharsIn(bytes, start), CharsIn(bytes, (int)reader.BytesConsumed) - CharsIn(bytes, start)));
                    break;
            }
        }

        return slots;
    }

    private static int CharsIn(byte[] bytes, int length) => Encoding.UTF8.GetCharCount(bytes, 0, length);

    private static bool IsJson(string text)
    {
        try
        {
            Slots(text);
            return true;
        }
        catch (JsonException)
        {
            return false;
        }
    }
}
