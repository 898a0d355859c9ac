using Sallyport.Certificates;

namespace Sallyport.Tests.Executable.Certificates;

public sealed class PermittedNamesTests
{
    [Theory]
    [InlineData("localhost", true)]
    [InlineData("sallyport.localhost", true)]
    [InlineData("press-4.local", true)]
    [InlineData("hub.example.org", true)]
    [InlineData("west.hub.example.org", true)]
    [InlineData("example.org", false)]
    [InlineData("evilhub.example.org", false)]
    [InlineData("notlocalhost", false)]
    [InlineData("bank.example", false)]
    [InlineData("127.0.0.5", true)]
    [InlineData("192.168.7.9", true)]
    [InlineData("203.0.113.9", true)]
    [InlineData("203.0.113.10", false)]
    [InlineData("::1", true)]
    [InlineData("2001:db8::1", false)]
    public void Root_ForGivenHosts_PermitsThemAndPrivateNamesOnly(string host, bool expected)
    {
        using var root = Issue.Root("root", PermittedNames.For(["hub.example.org", "203.0.113.9"]), DateTimeOffset.UtcNow);

        Assert.Equal(expected, PermittedNames.Of(root).Permits(host));
    }
}
