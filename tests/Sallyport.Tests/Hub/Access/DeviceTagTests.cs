using System.Text;
using Sallyport.Hub.Access;

namespace Sallyport.Tests.Hub.Access;

public sealed class DeviceTagTests
{
    private const string Tags = """{"a":{"b":{"site":"no"}},"location":{"floor":3,"site":"berlin","open":true},"site":"hamburg","list":["x"],"none":null,"q\"uoted":"as \"it\" is"}""";

    [Theory]
    [InlineData("site=x", "hamburg")]
    [InlineData("location.site=x", "berlin")]
    [InlineData("location.floor=x", "3")]
    [InlineData("location.open=x", "true")]
    [InlineData("q\"uoted=x", "as \"it\" is")]
    [InlineData("Site=x", null)]
    [InlineData("location=x", null)]
    [InlineData("list=x", null)]
    [InlineData("none=x", null)]
    [InlineData("site.berlin=x", null)]
    [InlineData("location.site.deeper=x", null)]
    [InlineData("b.site=x", null)]
    [InlineData("missing=x", null)]
    public void ValueIn_IsTheTextOfWhatIsNoObjectAndNoArray(string tag, string? expected) =>
        Assert.Equal(expected, Of(tag).ValueIn(Encoding.UTF8.GetBytes(Tags)));

    [Theory]
    [InlineData("site=berlin", "site", "berlin")]
    [InlineData("location.site=berlin mitte", "location.site", "berlin mitte")]
    [InlineData("site=a=b.c", "site", "a=b.c")]
    [InlineData("ort=Köln", "ort", "Köln")]
    public void TryParse_PathAndValue_AreAroundTheFirstEqualsSign(string text, string path, string value)
    {
        var tag = Of(text);

        Assert.Equal((path, value, text), (tag.Path, tag.Value, tag.ToString()));
    }

    [Theory]
    [InlineData("")]
    [InlineData("site")]
    [InlineData("site=")]
    [InlineData("=berlin")]
    [InlineData(".site=berlin")]
    [InlineData("location..site=berlin")]
    [InlineData("$version=1")]
    [InlineData("two words=1")]
    [InlineData("site=two\nlines")]
    [InlineData("site=\ud83c\udfed")]
    [InlineData("a.b.c.d.e.f.g.h.i.j.k=1")]
    public void TryParse_WhatNoTagCanBe_IsNotTaken(string text) => Assert.False(DeviceTag.TryParse(text, out _));

    [Fact]
    public void TryParse_LongerThanTheBound_IsNotTaken()
    {
        Assert.True(DeviceTag.TryParse("a=" + new string('x', DeviceTag.MaxLength - 2), out _));
        Assert.False(DeviceTag.TryParse("a=" + new string('x', DeviceTag.MaxLength - 1), out _));
    }

    private static DeviceTag Of(string text) => DeviceTag.TryParse(text, out var tag) ? tag : throw new ArgumentException(text);
}
