using Sallyport.Hub.Access;

namespace Sallyport.Tests.Hub.Access;

public sealed class HubNamesTests
{
    [Fact]
    public void Contains_AnyCaseOfAGivenName()
    {
        var names = new HubNames(["factory.example.net", "localhost"]);

        Assert.True(names.Contains("FACTORY.Example.net"));
        Assert.True(names.Contains("localhost"));
        Assert.False(names.Contains("example.net"));
        Assert.False(names.Contains("factory"));
        Assert.False(names.Contains(""));
        Assert.Equal(("factory.example.net", "factory"), (names.Primary, names.HubName));
    }

    [Fact]
    public void NoName_IsRefused() => Assert.Throws<ArgumentException>(() => new HubNames([]));
}
