using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;

namespace Sallyport.Tests.Hub.Registry;

public sealed class EntityTagTests
{
    [Theory]
    [InlineData(1, "AAAAAAAAAAE=")]
    [InlineData(256, "AAAAAAAAAQA=")]
    [InlineData(long.MaxValue, "f/////////8=")]
    public void Format_Number_IsBase64OfBigEndian(long tag, string text)
    {
        Assert.Equal(text, EntityTag.Format(tag));
        Assert.True(EntityTag.TryParse(text, out var read));
        Assert.Equal(tag, read);
    }

    [Theory]
    [InlineData("AAAAAAAAAAE=")]
    [InlineData("\"AAAAAAAAAAE=\"")]
    [InlineData(" \"AAAAAAAAAAE=\" ")]
    [InlineData("*")]
    [InlineData("\"*\"")]
    public void Condition_ThatFits_IsMet(string text) => EntityTagCondition.Parse(text).Require(1);

    [Theory]
    [InlineData("")]
    [InlineData("AAAAAAAAAAI=")]
    [InlineData("W/\"AAAAAAAAAAE=\"")]
    [InlineData("1")]
    [InlineData("AAAAAAAAAAAAAAAAAAAAAQ==")]
    public void Condition_ThatDoesNotFit_IsPreconditionFailed(string text) =>
        Assert.Same(HubErrors.PreconditionFailed, Assert.Throws<HubException>(() => EntityTagCondition.Parse(text).Require(1)).Error);
}
