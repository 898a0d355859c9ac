using System.Text;
using Sallyport.Protocol.Twins;

namespace Sallyport.Tests.Protocol.Twins;

public sealed class TwinPathsTests
{
    [Theory]
    [InlineData("""{"a":1}""", "", """{"b":2}""", """{"b":2}""")]
    [InlineData("""{"a":1}""", "b", "2", """{"a":1,"b":2}""")]
    [InlineData("""{"a":1}""", "a.b.c", "2", """{"a":{"b":{"c":2}}}""")]
    [InlineData("""{"a":{"b":1,"c":1}}""", "a.b", """{"d":1}""", """{"a":{"b":{"d":1},"c":1}}""")]
    public void With_PutsAValueInAPlace(string root, string path, string value, string after) => Assert.Equal(after, Text(TwinPaths.With(Read(root), Names(path), Value(value))));

    [Theory]
    [InlineData("""{"a":1}""", "", "{}")]
    [InlineData("""{"a":1}""", "b", """{"a":1}""")]
    [InlineData("""{"a":1}""", "a.b", """{"a":1}""")]
    [InlineData("""{"a":{"b":{"c":1}},"d":1}""", "a.b.c", """{"d":1}""")]
    [InlineData("""{"a":{"b":{"c":1},"e":{}}}""", "a.b.c", """{"a":{"e":{}}}""")]
    public void Without_TakesItAway_WithWhatBecomesEmpty(string root, string path, string after) => Assert.Equal(after, Text(TwinPaths.Without(Read(root), Names(path))));

    [Theory]
    [InlineData("""{"a":1,"b":{"c":[1]}}""", """{"b":{"c":[1]},"a":1}""", null)]
    [InlineData("{}", """{"a":{}}""", """{"a":{}}""")]
    [InlineData("""{"a":1}""", """{"a":{}}""", """{"a":{}}""")]
    [InlineData("""{"a":{"x":1}}""", """{"a":{}}""", """{"a":{"x":null}}""")]
    [InlineData("""{"a":{"x":1}}""", """{"a":2}""", """{"a":2}""")]
    [InlineData("""{"a":1,"b":1}""", """{"a":1.0}""", """{"a":1.0,"b":null}""")]
    public void Difference_IsThePatchBetween(string before, string after, string? patch) =>
        Assert.Equal(patch, TwinPaths.Difference(Read(before), Read(after)) is { } difference ? Text(difference) : null);

    [Fact]
    public void Difference_OfAnyTwo_Merged_GivesTheOther()
    {
        var random = new Random(7);
        for (var i = 0; i < 3000; i++)
        {
            TwinNode before = Read(Any(random, 3)), after = Read(Any(random, 3));
            var patch = TwinPaths.Difference(before, after);
            var merged = patch is null ? before : TwinNode.Merge(before, patch, default);
            Assert.Null(TwinPaths.Difference(merged, after));
            Assert.Null(TwinPaths.Difference(after, merged));
        }
    }

    private static string Any(Random random, int depth) => "{" + string.Join(',', Enumerable.Range(0, 4).Where(_ => random.Next(2) == 0).Select(i =>
        $"\"k{i}\":{(depth > 0 && random.Next(2) == 0 ? Any(random, depth - 1) : random.Next(3) switch { 0 => "1", 1 => "\"t\"", _ => "[1,null]" })}")) + "}";

    private static string[] Names(string path) => path.Length == 0 ? [] : path.Split('.');

    private static TwinNode Read(string json) => TwinReader.Read(Encoding.UTF8.GetBytes(json), TwinLimits.Desired);

    private static TwinNode Value(string json) => Read("{\"v\":" + json + "}")["v"]!;

    private static string Text(TwinNode node) => Encoding.UTF8.GetString(TwinSection.Encode(node));
}
