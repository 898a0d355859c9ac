using System.Text;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Twins;

namespace Sallyport.Tests.Protocol.Twins;

public sealed class TwinReaderTests
{
    [Theory]
    [InlineData("""{"a":1,"b":{"c":[1,{"d":null},"x"]},"e":null,"f":true,"g":-1.5e3}""")]
    [InlineData("""{"date":"2026-01-02T03:04:05.1234567+02:00","big":4503599627370495,"small":-4503599627370496}""")]
    [InlineData("{}")]
    [InlineData("""{"ключ-with:all_the;rest@#'":"ü"}""")]
    public void Read_WhatIsAllowed_IsKeptAsItWas(string json) =>
        Assert.Equal(json, Encoding.UTF8.GetString(TwinSection.Encode(Read(json))));

    [Fact]
    public void Read_Array_LosesItsWhiteSpaceOnly() =>
        Assert.Equal("""{"a":[1,"\u0041 b",{"c":[]}]}""", Encoding.UTF8.GetString(TwinSection.Encode(Read("""{ "a" : [ 1 , "\u0041 b" , { "c" : [ ] } ] }"""))));

    [Theory]
    [InlineData("""{"a":{"b.c":1}}""", "properties.reported.a: the key 'b.c' has a character")]
    [InlineData("""{"$version":1}""", "properties.reported: the key '$version' has a character")]
    [InlineData("""{"a b":1}""", "the key 'a b' has a character")]
    [InlineData("""{"a\u0001":1}""", "the key 'a?' has a character")]
    [InlineData("""{"a\u0085":1}""", "the key 'a?' has a character")]
    [InlineData("""{"a":[{"x":{"y z":1}}]}""", "properties.reported.a.x: the key 'y z' has a character")]
    [InlineData("""{"":1}""", "a key is empty")]
    [InlineData("""{"a":1,"b":2,"a":3}""", "the key 'a' is there twice")]
    [InlineData("""{"a":1,"\u0061":3}""", "the key 'a' is there twice")]
    [InlineData("""{"a":4503599627370496}""", "properties.reported.a: the integer is not within")]
    [InlineData("""{"a":[-4503599627370497]}""", "properties.reported.a: the integer is not within")]
    [InlineData("""{"a":123456789012345678901234567890}""", "the integer is not within")]
    [InlineData("""{"a":1e999}""", "the number is too large")]
    [InlineData("[]", "properties.reported: an object is needed")]
    [InlineData("null", "properties.reported: an object is needed")]
    public void Read_WhatIsNotAllowed_NamesThePlace(string json, string says)
    {
        var refusal = Assert.Throws<HubException>(() => Read(json));

        Assert.Same(HubErrors.ArgumentInvalid, refusal.Error);
        Assert.Contains(says, refusal.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("")]
    [InlineData(" ")]
    [InlineData("{")]
    [InlineData("""{"a":1}x""")]
    [InlineData("""{"a":1,}""")]
    [InlineData("""{"a":1}{"b":2}""")]
    [InlineData("""{'a':1}""")]
    [InlineData("""{"a":NaN}""")]
    [InlineData("""{"a":"\ud800"}""")]
    [InlineData("""{"\udc00":1}""")]
    [InlineData("\uFEFF{}")]
    public void Read_NoJson_IsAFormatError(string json) =>
        Assert.Same(HubErrors.FormatError, Assert.Throws<HubException>(() => Read(json)).Error);

    [Fact]
    public void Read_InvalidUtf8_IsAFormatError()
    {
        byte[] json = [.. "{\"a\":\""u8, 0xC3, 0x28, .. "\"}"u8];

        Assert.Same(HubErrors.FormatError, Assert.Throws<HubException>(() => TwinReader.Read(json, TwinLimits.Reported)).Error);
    }

    [Theory]
    [InlineData(10, true)]
    [InlineData(11, false)]
    [InlineData(63, false)]
    [InlineData(5000, false)]
    public void Read_Depth_IsTenObjectsOrArrays(int depth, bool isAllowed)
    {
        var objects = string.Concat(Enumerable.Repeat("{\"a\":", depth)) + "{\"v\":1}" + new string('}', depth);
        var arrays = "{\"a\":" + new string('[', depth) + new string(']', depth) + "}";
        foreach (var json in (string[])[objects, arrays])
        {
            if (isAllowed)
                Read(json);
            else
                Assert.Contains("deep; at most 10 are allowed", Assert.Throws<HubException>(() => Read(json)).Message, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Read_Key_HasOneKilobyte()
    {
        Read($$"""{"{{new string('k', 1024)}}":1}""");

        var refusal = Assert.Throws<HubException>(() => Read($$"""{"{{new string('ü', 513)}}":1}"""));
        Assert.Contains("has 1026 bytes; at most 1024 are allowed", refusal.Message, StringComparison.Ordinal);
        Assert.True(refusal.Message.Length < 250);
    }

    [Fact]
    public void Read_Text_HasFourKilobytes()
    {
        Read($$"""{"a":"{{new string('x', 4096)}}"}""");

        Assert.Contains(
            "properties.reported.a.b: the text has 4098 bytes; at most 4096 are allowed",
            Assert.Throws<HubException>(() => Read($$$"""{"a":{"b":"{{{new string('ü', 2049)}}}"}}""")).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("""{"ab":1}""", 2 + 8)]
    [InlineData("""{"ab":true}""", 2 + 4)]
    [InlineData("""{"ab":"xyz"}""", 2 + 3)]
    [InlineData("""{"ab":"x\n\u0007z"}""", 2 + 2)]
    [InlineData("""{"ab":"\u0085ü"}""", 2 + 2)]
    [InlineData("""{"ab":[1,"xy",{"c":false},null,[]]}""", 2 + 8 + 2 + 1 + 4)]
    [InlineData("""{"a":{"b":{"c":1}}}""", 3 + 8)]
    public void SizeBytes_CountsAsIoTHubDoes(string json, int size) => Assert.Equal(size, Read(json).SizeBytes);

    [Fact]
    public void Read_OfAService_PassesOverTheHubsNamesAtTheTopOnly()
    {
        var node = TwinReader.Read("""{"$metadata":{"a":{"$lastUpdated":"x"}},"a":1,"$version":7}"""u8, TwinLimits.Desired, ignoresHubNames: true);

        Assert.Equal("""{"a":1}""", Encoding.UTF8.GetString(TwinSection.Encode(node)));
        Assert.Throws<HubException>(() => TwinReader.Read("""{"a":{"$version":7}}"""u8, TwinLimits.Desired, ignoresHubNames: true));
    }

    [Fact]
    public void Read_RandomBytesAndMutations_RefuseAndNeverFail()
    {
        var random = new Random(11);
        var seeds = new[] { """{"a":{"b":[1,2,{"c":"\u00e9"}],"d":null},"e":-1.5}""", """{"x":"y","z":{}}""" }.Select(Encoding.UTF8.GetBytes).ToArray();
        for (var i = 0; i < 20_000; i++)
        {
            var json = (byte[])seeds[i % seeds.Length].Clone();
            for (var change = random.Next(1, 4); change > 0; change--)
                json[random.Next(json.Length)] = random.Next(3) == 0 ? (byte)"{}[]\",:\\"[random.Next(8)] : (byte)random.Next(256);
            try
            {
                var node = TwinReader.Read(json, TwinLimits.Reported);
                Assert.Equal(node.SizeBytes, TwinSection.Decode(TwinSection.Encode(node.IsObject ? TwinNode.Merge(null, node, default) : node)).SizeBytes + NullBytes(node));
            }
            catch (HubException)
            {
                continue;
            }
        }

        static int NullBytes(TwinNode node)
        {
            var bytes = 0;
            foreach (var (name, value) in node.Members)
                bytes += value.IsNull ? Encoding.UTF8.GetByteCount(name) : NullBytes(value);
            return bytes;
        }
    }

    private static TwinNode Read(string json) => TwinReader.Read(Encoding.UTF8.GetBytes(json), TwinLimits.Reported);
}
