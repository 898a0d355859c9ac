using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;
using Sallyport.Tests.Hub.Access.Certificates;

namespace Sallyport.Tests.Hub.Access;

/// <summary>Devices that come by what is limited by tag: a policy's token, or the certificate of an authority.</summary>
public sealed class TagLimitedAccessTests : IAsyncLifetime
{
    private static readonly Identity D1 = Identity.Of("d1");
    private static readonly Identity M1 = Identity.Of("d1", "m1");
    private static readonly Actor Owner = new("policy:iothubowner", "", AzureRights.All, "", "local");

    private readonly AccessFixture _hub = new();
    private TestAuthority _plant = null!;

    public async ValueTask InitializeAsync()
    {
        await _hub.InitializeAsync();
        _plant = TestAuthority.Root("plant", _hub.Time.GetUtcNow());
        _ = new TagLimitedLinks(_hub.Tags, _hub.Connected, _hub.Authorities, _hub.Metadata);
    }

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Fact]
    public async Task Policy_LimitedByTag_LetsInWhoHasIt_AndTheirModules_FromThenOn()
    {
        var token = await PolicyAsync("site=berlin");
        await _hub.TagAsync("d2", """{"site":"hamburg"}""");
        foreach (var identity in (Identity[])[D1, M1, Identity.Of("d2"), Identity.Of("nobody")])
            Assert.Equal((HubErrors.UnauthorizedAccess, "the policy gateways is limited to other devices"), Refusal(await _hub.ConnectAsync(identity, token)));

        await _hub.TagAsync("d1", """{"site":"berlin"}""");

        Assert.True((await _hub.ConnectAsync(D1, token)).IsAdmitted);
        Assert.True((await _hub.ConnectAsync(M1, token)).IsAdmitted);
        Assert.False((await _hub.ConnectAsync(Identity.Of("d2"), token)).IsAdmitted);
    }

    [Fact]
    public async Task Policy_LimitedByTagAndPrefix_AsksForBoth()
    {
        var token = await PolicyAsync("site=berlin", "d1");
        await _hub.TagAsync("d1", """{"site":"berlin"}""");
        await _hub.TagAsync("d2", """{"site":"berlin"}""");

        Assert.True((await _hub.ConnectAsync(D1, token)).IsAdmitted);
        Assert.False((await _hub.ConnectAsync(Identity.Of("d2"), token)).IsAdmitted);
    }

    [Theory]
    [InlineData("""{"location":{"site":"berlin"}}""", true)]
    [InlineData("""{"location":{"site":"hamburg"}}""", true)]
    [InlineData("""{"location":{"site":"bremen"}}""", false)]
    [InlineData("""{"location":{"site":["berlin"]}}""", false)]
    [InlineData("""{"site":"berlin"}""", false)]
    [InlineData("""{"location":"berlin"}""", false)]
    [InlineData("{}", false)]
    public async Task Authority_LimitedByTag_VouchesForWhoHasOneOfTheValues(string tags, bool expected)
    {
        await TrustAsync("location.site=berlin", "location.site=hamburg");
        await _hub.TagAsync("d1", tags);

        var admission = await _hub.ConnectAsync(D1, _plant.Show(_plant.Leaf("d1")));

        Assert.Equal(expected, admission.IsAdmitted);
        if (!expected)
            Assert.Equal((HubErrors.Unauthorized, "the authority plant vouches only for devices with the tags location.site=berlin, location.site=hamburg"), Refusal(admission));
    }

    [Fact]
    public async Task Tags_Changed_EndTheConnectionsTheyTakeTheGroundFrom_AndNoOthers()
    {
        await TrustAsync("site=berlin");
        var token = await PolicyAsync("site=berlin");
        await _hub.TagAsync("d1", """{"site":"berlin"}""");
        await _hub.TagAsync("d2", """{"site":"berlin"}""");
        var byCertificate = Attach(D1, await _hub.ConnectAsync(D1, _plant.Show(_plant.Leaf("d1"))));
        var moduleByPolicy = Attach(M1, await _hub.ConnectAsync(M1, token));
        var ownKey = Attach(Identity.Of("d1", "m2"), await _hub.ConnectAsync(Identity.Of("d1", "m2"), _hub.Token(Identity.Of("d1", "m2"))));
        var other = Attach(Identity.Of("d2"), await _hub.ConnectAsync(Identity.Of("d2"), token));

        await _hub.TagAsync("d1", """{"site":"berlin","floor":3}""");
        Assert.All([byCertificate, moduleByPolicy, ownKey, other], link => Assert.Null(link.ClosedWith));
        await _hub.TagAsync("d1", """{"floor":3}""");

        Assert.Equal((HubErrors.Unauthorized, HubErrors.Unauthorized), (byCertificate.ClosedWith, moduleByPolicy.ClosedWith));
        Assert.All([ownKey, other], link => Assert.Null(link.ClosedWith));
    }

    [Fact]
    public async Task Authority_LimitedByTagLater_EndsWhomItVouchesForNoMore_AndKeepsTheLimit()
    {
        await TrustAsync();
        await _hub.TagAsync("d1", """{"site":"berlin"}""");
        var link = Attach(D1, await _hub.ConnectAsync(D1, _plant.Show(_plant.Leaf("d1"))));

        await _hub.Authorities.PutAsync(Owner, "plant", null, null, null, ["site=berlin"], EntityTagCondition.Any, CancellationToken.None);
        Assert.Null(link.ClosedWith);
        await _hub.Authorities.PutAsync(Owner, "plant", null, null, null, ["site=hamburg"], EntityTagCondition.Any, CancellationToken.None);
        Assert.Equal(HubErrors.Unauthorized, link.ClosedWith);

        await _hub.Authorities.PutAsync(Owner, "plant", null, isVerified: true, "d", null, EntityTagCondition.Any, CancellationToken.None);
        _hub.Restart();
        Assert.False((await _hub.ConnectAsync(D1, _plant.Show(_plant.Leaf("d1")))).IsAdmitted);
        await _hub.Authorities.PutAsync(Owner, "plant", null, null, null, [], EntityTagCondition.Any, CancellationToken.None);
        Assert.True((await _hub.ConnectAsync(D1, _plant.Show(_plant.Leaf("d1")))).IsAdmitted);
    }

    [Fact]
    public async Task Authority_WithALimitThatIsNone_IsNotRegistered()
    {
        var refused = await Assert.ThrowsAsync<HubException>(() => TrustAsync("site"));

        Assert.Equal(HubErrors.ArgumentInvalid, refused.Error);
        Assert.StartsWith("deviceTags: a device tag is PATH=VALUE", refused.Message);
    }

    private async Task TrustAsync(params string[] tags)
    {
        await _hub.Authorities.PutAsync(Owner, "plant", _plant.Pem, isVerified: true, idPrefix: null, tags, condition: null, CancellationToken.None);
        await _hub.PutAsync(AccessFixture.Record(D1) with { Authentication = IdentityAuthentication.CertificateAuthority });
    }

    private async Task<string> PolicyAsync(string tags, string prefixes = "")
    {
        await _hub.Policies.CreateAsync(Owner, "gateways", Rights.DeviceConnect, ScopeTests.Of(_hub.Tags, tags, prefixes), null, null, CancellationToken.None);
        return _hub.PolicyToken("gateways");
    }

    private CertificateLink Attach(Identity identity, Admission admission)
    {
        Assert.True(admission.IsAdmitted, admission.Reason);
        var link = new CertificateLink(identity, admission.Principal!);
        _hub.Connected.Attach(link);
        return link;
    }

    private static (HubError?, string) Refusal(Admission admission) => (admission.Error, admission.Reason);
}
