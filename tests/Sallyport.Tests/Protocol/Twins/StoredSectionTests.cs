using System.Buffers;
using System.Text;
using System.Text.Json;
using Sallyport.Protocol.Twins;

namespace Sallyport.Tests.Protocol.Twins;

public sealed class StoredSectionTests
{
    private static readonly DateTime Start = new(2026, 1, 2, 3, 4, 5, DateTimeKind.Utc);

    [Theory]
    [InlineData("{}", "{}")]
    [InlineData("""{"a":1}""", """{"b":2}""")]
    [InlineData("""{"a":{"b":{"c":{}}},"d":[1,{"e":null},[2]],"f":"x"}""", """{"a":{"b":{"x":"y"}}}""")]
    [InlineData("""{"\"quoted\\":"a\"b\\","üé":"ß😀","😀":{"日本":[]}}""", """{"<&>":"'+"}""")]
    [InlineData("""{"a":{"b":1,"c":2},"d":true}""", """{"a":{"b":null},"d":null}""")]
    public void Write_IsWhatTheTreeWrites(string first, string second)
    {
        var section = TwinSection.New(Start).Patched(Read(first), TwinLimits.Reported, Start).Patched(Read(second), TwinLimits.Reported, Start.AddTicks(1));

        Assert.Equal(Text(section.WriteTo), Text(json => StoredSection.Write(json, section.EncodeJson(), section.EncodeStamps(), section.Version)));
    }

    [Fact]
    public void Write_ManyValuesAndLargeNumbers_HaveRoom()
    {
        var section = new TwinSection(TwinSection.New(Start).Root, long.MaxValue - 2);
        for (var i = 0; i < 2; i++)
            section = section.Patched(Read("{" + string.Join(',', Enumerable.Range(0, 900).Select(n => $"\"{n}\":{{}}")) + "}"), TwinLimits.Reported, new DateTime(DateTime.MaxValue.Ticks, DateTimeKind.Utc));

        Assert.Equal(Text(section.WriteTo), Text(json => StoredSection.Write(json, section.EncodeJson(), section.EncodeStamps(), section.Version)));
    }

    [Theory]
    [InlineData("""{"a":1,"b":2}""")]
    [InlineData("{}")]
    [InlineData("""{"a":""")]
    public void Write_OfOtherStamps_IsAMistake(string json)
    {
        var stamps = TwinSection.New(Start).Patched(Read("""{"a":1}"""), TwinLimits.Reported, Start).EncodeStamps();

        Assert.Throws<FormatException>(() => Text(writer => StoredSection.Write(writer, Encoding.UTF8.GetBytes(json), stamps, 2)));
    }

    private static TwinNode Read(string json) => TwinReader.Read(Encoding.UTF8.GetBytes(json), TwinLimits.Reported);

    private static string Text(Action<Utf8JsonWriter> write)
    {
        var text = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(text, CompactJson.Options))
            write(json);
        return Encoding.UTF8.GetString(text.WrittenSpan);
    }
}
