using System.Net;
using System.Net.Sockets;
using Sallyport.Services.Outgoing;

namespace Sallyport.Tests.Services.Outgoing;

public sealed class OutgoingAddressesTests
{
    [Theory]
    [InlineData("127.0.0.1", "loopback")]
    [InlineData("127.8.9.10", "loopback")]
    [InlineData("::1", "loopback")]
    [InlineData("::ffff:127.0.0.1", "loopback")]
    [InlineData("169.254.169.254", "metadata")]
    [InlineData("::ffff:169.254.169.254", "metadata")]
    [InlineData("fe80::1", "link-local")]
    [InlineData("fd00:ec2::254", "metadata")]
    [InlineData("100.100.100.200", "metadata")]
    [InlineData("64:ff9b::a9fe:a9fe", "metadata")]
    [InlineData("64:ff9b::7f00:1", "loopback")]
    [InlineData("0.0.0.0", "no address")]
    [InlineData("::", "no address")]
    [InlineData("224.0.0.1", "no address")]
    [InlineData("255.255.255.255", "no address")]
    public async Task Address_ThatIsNotAllowed_IsRefusedAlsoBehindAName(string address, string why)
    {
        var options = new OutgoingOptions { SinksDirectory = "/" };

        var direct = await Assert.ThrowsAsync<TargetException>(() => Resolve(options, address));
        var named = await Assert.ThrowsAsync<TargetException>(() => Resolve(options, "db.example", "192.0.2.1", address));

        Assert.Contains(why, direct.Message);
        Assert.Contains(why, named.Message);
        Assert.True(named.Refused);
    }

    [Fact]
    public async Task Address_OnAnotherMachine_IsAllowed()
    {
        var found = await Resolve(new OutgoingOptions { SinksDirectory = "/" }, "db.example", "192.0.2.1", "10.0.0.7", "2001:db8::1");

        Assert.Equal(["192.0.2.1", "10.0.0.7", "2001:db8::1"], found.Select(address => address.ToString()));
    }

    [Fact]
    public async Task Loopback_Allowed_IsTakenButNotTheHubsOwnPorts()
    {
        var options = new OutgoingOptions { SinksDirectory = "/", AllowLoopback = true, OwnPorts = [8883] };

        Assert.Single(await Resolve(options, "127.0.0.1"));
        var own = await Assert.ThrowsAsync<TargetException>(() => Resolve(options, "127.0.0.1", port: 8883));

        Assert.Contains("this hub's own", own.Message);
    }

    [Fact]
    public async Task Network_NamedInTheConfiguration_IsAllowed()
    {
        var options = new OutgoingOptions { SinksDirectory = "/", AllowedNetworks = [IPNetwork.Parse("169.254.7.0/24")] };

        Assert.Single(await Resolve(options, "169.254.7.1"));
        await Assert.ThrowsAsync<TargetException>(() => Resolve(options, "169.254.169.254"));
    }

    [Fact]
    public async Task Name_ThatDoesNotResolve_IsNotARefusal()
    {
        var addresses = new OutgoingAddresses(
            new OutgoingOptions { SinksDirectory = "/" }, (_, _) => Task.FromException<IPAddress[]>(new SocketException((int)SocketError.HostNotFound)));

        var missing = await Assert.ThrowsAsync<TargetException>(() => addresses.ResolveAsync("db.example", 5432, default));

        Assert.False(missing.Refused);
    }

    private static Task<IReadOnlyList<IPAddress>> Resolve(OutgoingOptions options, string address, int port = 5432) =>
        new OutgoingAddresses(options, (_, _) => throw new InvalidOperationException("an address needs no name server")).ResolveAsync(address, port, default);

    private static Task<IReadOnlyList<IPAddress>> Resolve(OutgoingOptions options, string host, params string[] addresses) =>
        new OutgoingAddresses(options, (_, _) => Task.FromResult(addresses.Select(IPAddress.Parse).ToArray())).ResolveAsync(host, 5432, default);
}
