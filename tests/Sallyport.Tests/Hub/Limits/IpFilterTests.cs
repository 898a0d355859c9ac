using System.Net;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Limits;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;
using Sallyport.Tests.Hub.Audit;
using Sallyport.Tests.Storage.Metadata;

namespace Sallyport.Tests.Hub.Limits;

public sealed class IpFilterTests : IAsyncLifetime
{
    private static readonly Actor Owner = new("policy:iothubowner", "", AzureRights.All, "1", "local");
    private static readonly IPAddress Office = IPAddress.Parse("192.0.2.9");

    private readonly SqliteFixture _files = new();
    private readonly AuditList _audit = new();
    private SqliteMetadata _metadata = null!;
    private IpFilter _filter = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _metadata = await _files.OpenAsync();
        _filter = new IpFilter(_metadata, _audit);
    }

    public async ValueTask DisposeAsync()
    {
        _filter.Dispose();
        await _metadata.DisposeAsync();
        _files.Dispose();
    }

    [Theory]
    [InlineData("192.0.2.9", false)]
    [InlineData("192.0.2.66", true)]
    [InlineData("198.51.100.1", true)]
    [InlineData("::ffff:192.0.2.9", false)]
    [InlineData("::ffff:198.51.100.1", true)]
    [InlineData("2001:db8::1", false)]
    [InlineData("2001:db9::1", true)]
    [InlineData("127.0.0.1", false)]
    [InlineData("::1", false)]
    [InlineData("127.0.0.2", true)]
    public async Task Address_IsDecidedByTheFirstRuleThatFits(string address, bool isDenied)
    {
        await SetAsync(("thief", "192.0.2.66/32", false), ("office", "192.0.2.0/24", true), ("lab", "2001:db8::/32", true), ("rest4", "0.0.0.0/0", false), ("rest6", "::/0", false));

        Assert.Equal(isDenied, _filter.Denies(IPAddress.Parse(address)));
        using var again = new IpFilter(_metadata, _audit);
        Assert.Equal(isDenied, again.Denies(IPAddress.Parse(address)));
        Assert.Equal(_filter.Current.Version, again.Current.Version);
    }

    [Fact]
    public async Task Address_InNoRule_IsLetOn()
    {
        Assert.False(_filter.Denies(Office));
        await SetAsync(("one", "198.51.100.1/32", false));
        Assert.False(_filter.Denies(Office));
    }

    [Fact]
    public async Task Rules_ThatLockTheCallerOut_NeedForce()
    {
        var rules = new[] { Rule("all", "0.0.0.0/0", false) };

        var refused = await Assert.ThrowsAsync<HubException>(() => _filter.ReplaceAsync(Owner, rules, null, Office, force: false, Cancel).AsTask());
        Assert.Equal(HubErrors.Conflict, refused.Error);
        Assert.Empty(_filter.Current.Rules);

        var changes = 0;
        _filter.Changed += () => changes++;
        await _filter.ReplaceAsync(Owner, rules, _filter.Current.Version, Office, force: true, Cancel);
        Assert.Equal((true, 1), (_filter.Denies(Office), changes));
        Assert.Contains(_audit.Entries, entry => entry is { Action: "ip-filter set", Result: "done", Reason: "all: deny 0.0.0.0/0" });
    }

    [Fact]
    public async Task Rules_ChangedMeanwhile_AreNotOverwritten()
    {
        var version = _filter.Current.Version;
        await SetAsync(("one", "198.51.100.1/32", false));

        var refused = await Assert.ThrowsAsync<HubException>(() => _filter.ReplaceAsync(Owner, [], version, null, force: false, Cancel).AsTask());

        Assert.Equal(HubErrors.PreconditionFailed, refused.Error);
        Assert.Single(_filter.Current.Rules);
    }

    [Fact]
    public async Task Rules_NotValid_AreRefused()
    {
        var tooMany = Enumerable.Range(0, IpFilter.MaxRules + 1).Select(i => Rule($"r{i}", "192.0.2.0/24", true)).ToArray();
        foreach (var wrong in (IpFilterRule[][])[[Rule("", "192.0.2.0/24", true)], [Rule("a b", "192.0.2.0/24", true)], [Rule("a", "192.0.2.0/24", true), Rule("A", "::/0", true)], tooMany])
        {
            var refused = await Assert.ThrowsAsync<HubException>(() => _filter.ReplaceAsync(Owner, wrong, null, null, force: true, Cancel).AsTask());
            Assert.Equal(HubErrors.ArgumentInvalid, refused.Error);
        }
    }

    private static IpFilterRule Rule(string name, string network, bool allows) => new(name, IPNetwork.Parse(network), allows);

    private async Task SetAsync(params (string Name, string Network, bool Allows)[] rules) =>
        await _filter.ReplaceAsync(Owner, [.. rules.Select(rule => Rule(rule.Name, rule.Network, rule.Allows))], null, null, force: true, Cancel);
}
