using System.Buffers;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Twins;

namespace Sallyport.Tests.Protocol.Twins;

public sealed class TwinSectionTests
{
    private static readonly DateTime Start = new(2026, 1, 2, 3, 4, 5, DateTimeKind.Utc);

    [Theory]
    [InlineData("""{"a":1}""", """{"b":2}""", """{"a":1,"b":2}""")]
    [InlineData("""{"a":1,"b":2}""", """{"a":null}""", """{"b":2}""")]
    [InlineData("""{"a":{"b":1,"c":2}}""", """{"a":{"b":null}}""", """{"a":{"c":2}}""")]
    [InlineData("""{"a":{"b":1}}""", """{"a":{"b":null}}""", """{"a":{}}""")]
    [InlineData("{}", """{"a":{"b":null}}""", """{"a":{}}""")]
    [InlineData("""{"a":{"b":1}}""", """{"a":3}""", """{"a":3}""")]
    [InlineData("""{"a":3}""", """{"a":{"b":null,"c":1}}""", """{"a":{"c":1}}""")]
    [InlineData("""{"a":[1,2,3]}""", """{"a":[4]}""", """{"a":[4]}""")]
    [InlineData("""{"a":[{"b":1}]}""", """{"a":[{"b":null}]}""", """{"a":[{"b":null}]}""")]
    [InlineData("""{"a":1}""", "{}", """{"a":1}""")]
    [InlineData("{}", """{"a":null}""", "{}")]
    public void Patched_MergesAsIoTHubDoes(string before, string patch, string after)
    {
        var section = Of(before).Patched(Read(patch), TwinLimits.Reported, Start.AddMinutes(1));

        Assert.Equal(after, Encoding.UTF8.GetString(section.EncodeJson()));
        Assert.Equal(3, section.Version);
    }

    [Fact]
    public void Metadata_IsAtEveryLevelOfWhatAPatchTouched()
    {
        var section = Of("""{"a":{"b":1,"c":2},"d":3}""").Patched(Read("""{"a":{"b":9}}"""), TwinLimits.Desired, Start.AddMinutes(1));

        const string old = """
            "$lastUpdated":"2026-01-02T03:04:05.0000000Z","$lastUpdatedVersion":2
            """;
        const string now = """
            "$lastUpdated":"2026-01-02T03:05:05.0000000Z","$lastUpdatedVersion":3
            """;
        Assert.Equal(
            """{"a":{"b":9,"c":2},"d":3,"$metadata":{NOW,"a":{NOW,"b":{NOW},"c":{OLD}},"d":{OLD}},"$version":3}""".Replace("NOW", now, StringComparison.Ordinal).Replace("OLD", old, StringComparison.Ordinal),
            Text(section.WriteTo));
    }

    [Fact]
    public void Metadata_OfADeletion_TouchesWhatHeldIt()
    {
        var section = Of("""{"a":{"b":1,"c":2}}""").Patched(Read("""{"a":{"b":null}}"""), TwinLimits.Desired, Start.AddMinutes(1));

        Assert.Equal((3L, 3L, 2L), (section.Root.Stamp.Version, section.Root["a"]!.Stamp.Version, section.Root["a"]!["c"]!.Stamp.Version));
    }

    [Fact]
    public void WriteChangeTo_TellsOfThePatchOnly()
    {
        var patch = Read("""{"a":{"b":9},"d":null}""");
        var section = Of("""{"a":{"b":1,"c":2},"d":3}""").Patched(patch, TwinLimits.Desired, Start);

        const string now = """
            "$lastUpdated":"2026-01-02T03:04:05.0000000Z","$lastUpdatedVersion":3
            """;
        Assert.Equal(
            """{"a":{"b":9},"d":null,"$metadata":{NOW,"a":{NOW,"b":{NOW}}},"$version":3}""".Replace("NOW", now, StringComparison.Ordinal),
            Text(json => section.WriteChangeTo(json, patch)));
    }

    [Fact]
    public void Patched_MoreThanItMay_SaysHowMuch()
    {
        var section = Of($$"""{"a":"{{new string('x', 4000)}}"}""");
        var patch = string.Join(',', Enumerable.Range(0, 8).Select(i => $"\"b{i}\":\"{new string('y', 4096)}\""));

        var refusal = Assert.Throws<HubException>(() => section.Patched(Read("{" + patch + "}"), TwinLimits.Reported, Start));

        Assert.Equal($"properties.reported: would have {4001 + (8 * 4098)} bytes of keys and values; at most 32768 are allowed", refusal.Message);
    }

    [Fact]
    public void Patched_WhatCountsNothing_HasABoundToo()
    {
        var patch = Read($$"""{"a":[{{string.Join(',', Enumerable.Repeat("{}", 60_000))}}]}""");

        Assert.Contains("bytes of JSON; at most 131072 are allowed", Assert.Throws<HubException>(() => Of("{}").Patched(patch, TwinLimits.Reported, Start)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Encode_Decode_IsTheSame()
    {
        var section = Of("""{"a":{"b":1,"c":{"d":"x"}},"e":[1,{"f":2}]}""").Patched(Read("""{"a":{"c":{"d":"y"}}}"""), TwinLimits.Reported, Start.AddDays(1));

        var decoded = TwinSection.Decode(section.EncodeJson(), section.EncodeStamps(), section.Version);

        Assert.Equal(Text(section.WriteTo), Text(decoded.WriteTo));
        Assert.Equal(section.Root.SizeBytes, decoded.Root.SizeBytes);
    }

    [Theory]
    [InlineData("", "{}")]
    [InlineData("01", "{}")]
    [InlineData("02", "{}")]
    [InlineData("0108D9000000000000", "{}")]
    [InlineData("0108D900000000000001FF", "{}")]
    [InlineData("0108D900000000000001", """{"a":1}""")]
    [InlineData("0108D900000000000001", "nonsense")]
    [InlineData("01FFFFFFFFFFFFFFFF01", "{}")]
    public void Decode_WhatWasNeverEncoded_IsRefused(string stamps, string json) =>
        Assert.Throws<FormatException>(() => TwinSection.Decode(Encoding.UTF8.GetBytes(json), Convert.FromHexString(stamps), 1));

    [Theory]
    [InlineData("""{"a":1,"b":2}""", """{"a":3}""", """{"a":3,"b":null}""")]
    [InlineData("""{"a":{"b":1,"c":2}}""", """{"a":{"b":1}}""", """{"a":{"b":1,"c":null}}""")]
    [InlineData("""{"a":{"b":1}}""", """{"a":1}""", """{"a":1}""")]
    [InlineData("""{"a":1}""", """{"a":{"b":1}}""", """{"a":{"b":1}}""")]
    public void Replacement_NamesWhatIsGone(string before, string after, string told) =>
        Assert.Equal(told, Encoding.UTF8.GetString(TwinSection.Encode(TwinNode.Replacement(Read(before), Read(after)))));

    // Against a second implementation (JsonNode): whatever is merged, the tree is right, each stamp is that of the last patch that touched the
    // path, and what a device merges of what it is told gives what it would read.
    [Fact]
    public void AnyPatches_TreeMetadataAndNotificationsAgree()
    {
        var random = new Random(20260102);
        for (var run = 0; run < 100; run++)
        {
            var section = TwinSection.New(Start);
            JsonObject model = [], device = [];
            Dictionary<string, long> touched = new() { [""] = 1 };
            for (var step = 0; step < 25; step++)
            {
                var patch = RandomObject(random, 0, nulls: true);
                var node = Read(patch.ToJsonString());
                var before = section;
                var replaces = random.Next(6) == 0;
                section = replaces ? section.Replaced(node, TwinLimits.Reported, Start.AddSeconds(step)) : section.Patched(node, TwinLimits.Reported, Start.AddSeconds(step));
                if (replaces)
                {
                    model = [];
                    touched.Clear();
                }

                Merge(model, patch, touched, "", section.Version);
                Merge(device, JsonNode.Parse(TwinSection.Encode(replaces ? TwinNode.Replacement(before.Root, section.Root) : node))!.AsObject(), [], "", 0);
                section = TwinSection.Decode(section.EncodeJson(), section.EncodeStamps(), section.Version);

                Assert.True(JsonNode.DeepEquals(model, JsonNode.Parse(section.EncodeJson())), $"run {run}, step {step}");
                Assert.True(JsonNode.DeepEquals(model, device), $"device, run {run}, step {step}");
                CheckStamps(section.Root, "", touched);
            }
        }
    }

    private static void CheckStamps(TwinNode node, string path, Dictionary<string, long> touched)
    {
        Assert.Equal(touched[path], node.Stamp.Version);
        foreach (var (name, value) in node.Members)
            CheckStamps(value, $"{path}/{name}", touched);
    }

    private static void Merge(JsonObject into, JsonObject patch, Dictionary<string, long> touched, string path, long version)
    {
        touched[path] = version;
        foreach (var (name, value) in patch)
        {
            var at = $"{path}/{name}";
            if (value is null)
            {
                into.Remove(name);
            }
            else if (value is JsonObject inner)
            {
                if (into[name] is not JsonObject there)
                    into[name] = there = [];
                Merge(there, inner, touched, at, version);
            }
            else
            {
                into[name] = value.DeepClone();
                touched[at] = version;
            }
        }
    }

    private static JsonObject RandomObject(Random random, int depth, bool nulls)
    {
        var members = new JsonObject();
        for (var i = random.Next(4); i > 0; i--)
        {
            members[$"k{random.Next(4)}"] = random.Next(depth < 4 ? 5 : 4) switch
            {
                0 when nulls => null,
                1 => JsonValue.Create(random.Next()),
                2 => JsonValue.Create($"v{random.Next(100)}ü\n"),
                3 => new JsonArray(1, random.Next(9), new JsonObject { ["x"] = null }),
                _ => RandomObject(random, depth + 1, nulls),
            };
        }

        return members;
    }

    private static string Text(Action<Utf8JsonWriter> write)
    {
        var text = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(text))
            write(json);
        return Encoding.UTF8.GetString(text.WrittenSpan);
    }

    // Version 2.
    private static TwinSection Of(string json) => TwinSection.New(Start).Patched(Read(json), TwinLimits.Reported, Start);

    private static TwinNode Read(string json) => TwinReader.Read(Encoding.UTF8.GetBytes(json), TwinLimits.Reported);
}
