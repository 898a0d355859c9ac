using System.Net;
using Sallyport.Hub.Access;
using Sallyport.Hub.Physical;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Sas;
using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Hub.Access;

/// <summary>Children that come through their gateway: top above edge above leaf; d1 and d2 are nobody's.</summary>
public sealed class GatewayTests : IAsyncLifetime
{
    private static readonly Identity Leaf = Identity.Of("leaf");
    private static readonly Identity LeafModule = Identity.Of("leaf", "m1");
    private static readonly Identity EdgeHub = Identity.Of("edge", "$edgeHub");
    private static readonly Identity TopHub = Identity.Of("top", "$edgeHub");

    private readonly AccessFixture _hub = new();

    public async ValueTask InitializeAsync()
    {
        await _hub.InitializeAsync();
        await EdgeAsync("top", null);
        await EdgeAsync("edge", "top");
        await _hub.PutAsync(AccessFixture.Record(Leaf) with { DeviceScope = EdgeScope.Of("edge", "1"), ParentScopes = [EdgeScope.Of("edge", "1")] });
        await _hub.PutAsync(AccessFixture.Record(LeafModule));
        await _hub.PutAsync(AccessFixture.Record(Identity.Of("edge", "m1")));
    }

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Theory]
    [InlineData("leaf", "edge", "leaf;edge")]
    [InlineData("leaf", "edge", "leaf;edge;top")]
    [InlineData("leaf", "edge", null)]
    [InlineData("leaf", "top", "leaf;edge;top")]
    [InlineData("leaf/m1", "edge", "leaf/m1;leaf;edge")]
    [InlineData("edge/m1", "edge", "edge/m1;edge")]
    [InlineData("edge/m1", "top", "edge/m1;edge;top")]
    [InlineData("edge", "top", "edge;top")]
    [InlineData("edge/$edgeHub", "top", "edge/$edgeHub;edge;top")]
    public async Task Child_InTheScopeOfTheGateway_IsLetIn_AsTheGatewayForIt(string child, string gateway, string? chain)
    {
        Assert.True(Identity.TryParse(child, out var identity));

        var admission = await ThroughAsync(identity, Identity.Of(gateway, "$edgeHub"), chain);

        Assert.True(admission.IsAdmitted, admission.Reason);
        Assert.Equal(($"{gateway}/$edgeHub", PrincipalKind.Module, Rights.DeviceConnect, "1"), (admission.Principal!.Name, admission.Principal.Kind, admission.Principal.Rights, admission.GenerationId));
        Assert.Equal(gateway, admission.Principal.Gateways[^1]);
        Assert.Contains($"through {gateway}/$edgeHub", admission.Reason, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("d1", "edge")] // nobody's
    [InlineData("top", "edge")] // above it
    [InlineData("edge", "edge")] // the device itself has a key of its own
    [InlineData("top/m1", "edge")]
    public async Task Device_ThatIsNotInTheScope_IsRefused_WhateverTheGatewaySays(string other, string gateway)
    {
        Assert.True(Identity.TryParse(other, out var identity));
        if (identity.IsModule)
            await _hub.PutAsync(AccessFixture.Record(identity));

        foreach (var chain in (string?[])[null, $"{other};{gateway}", $"{other};top;edge"])
        {
            var admission = await ThroughAsync(identity, Identity.Of(gateway, "$edgeHub"), chain);
            Assert.Equal((HubErrors.UnauthorizedAccess, $"{other} is not in the scope of {gateway}, whose token was shown"), (admission.Error, admission.Reason));
        }
    }

    [Theory]
    [InlineData("leaf;top")]
    [InlineData("leaf")]
    [InlineData("edge;leaf")]
    [InlineData("leaf;edge;top;higher")]
    [InlineData(";;;")]
    public async Task Chain_ThatIsNotHowItIs_IsRefused(string chain)
    {
        var admission = await ThroughAsync(Leaf, EdgeHub, chain);

        Assert.Equal(HubErrors.UnauthorizedAccess, admission.Error);
        Assert.Contains("leaf;edge;top", admission.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Child_IsRefused_WithTheKeyOfAnyOtherModule_OrAWrongOne_AndLearnsNothingOfWhoExists()
    {
        var wrongKey = SharedAccessSignature.Create(AccessFixture.ResourceOf(EdgeHub), AccessFixture.KeyOf(Leaf), _hub.Time.GetUtcNow().AddHours(1));
        var otherModule = _hub.Token(Identity.Of("edge", "m1"));

        Assert.Equal(HubErrors.Unauthorized, (await _hub.ConnectAsync(Leaf, wrongKey)).Error);
        Assert.Equal(HubErrors.Unauthorized, (await _hub.ConnectAsync(Identity.Of("nobody"), wrongKey)).Error);
        Assert.Equal(HubErrors.Unauthorized, (await _hub.ConnectAsync(Leaf, otherModule)).Error);
        Assert.Equal(HubErrors.Unauthorized, (await _hub.ConnectAsync(Leaf, _hub.Token(Identity.Of("gone", "$edgeHub")))).Error);
        Assert.Equal(HubErrors.DeviceNotFound, (await ThroughAsync(Identity.Of("nobody"), EdgeHub, null)).Error);
        Assert.Equal(HubErrors.ModuleNotFound, (await ThroughAsync(Identity.Of("leaf", "nobody"), EdgeHub, null)).Error);
    }

    [Fact]
    public async Task Child_IsRefused_WhenItOrAGatewayAboveItIsDisabled_OrHasAnotherParent()
    {
        await PutAsync("edge", record => record with { Enabled = false });
        Assert.Equal(HubErrors.DeviceNotFound, (await ThroughAsync(Leaf, EdgeHub, null)).Error);
        Assert.Contains("edge is disabled", (await ThroughAsync(Leaf, TopHub, null)).Reason, StringComparison.Ordinal);

        await PutAsync("edge", record => record with { Enabled = true });
        await PutAsync("leaf", record => record with { Enabled = false });
        Assert.Equal(HubErrors.DeviceNotFound, (await ThroughAsync(Leaf, EdgeHub, null)).Error);

        await PutAsync("leaf", record => record with { Enabled = true, ParentScopes = [EdgeScope.Of("edge", "of a namesake")] });
        Assert.Equal(HubErrors.UnauthorizedAccess, (await ThroughAsync(Leaf, EdgeHub, null)).Error);
    }

    [Theory]
    [InlineData("edge")]
    [InlineData("top")] // which is above the one that speaks, and did not let it in
    public async Task Child_IsRefused_ThroughAGatewayInQuarantine_AndComesByItself(string held)
    {
        var line = new QuarantineLine();
        var devices = new GatewaysInQuarantine(_hub.Devices, line, _hub.Audit, _hub.Attempts);
        line.Hold(new QuarantineRecord(held, _hub.Time.GetUtcNow(), "policy:iothubowner", "opened"));
        ValueTask<Admission> As(Identity identity, Identity shown) =>
            devices.AuthenticateAsync(identity, AccessFixture.Host, new DeviceCredential(_hub.Token(shown), null), new Peer(null, "mqtt"), CancellationToken.None);

        var through = await As(Leaf, held == "edge" ? EdgeHub : TopHub);

        Assert.Equal((HubErrors.Unauthorized, $"its gateway {held} is in quarantine"), (through.Error, through.Reason));
        Assert.Equal(through.Reason, _hub.Attempts.Of("leaf")[0].Reason);
        Assert.Contains(_hub.Audit.Entries, entry => entry.Target == "leaf" && entry.Reason.Contains(through.Reason, StringComparison.Ordinal));
        Assert.True((await As(Leaf, Leaf)).IsAdmitted);
        Assert.True((await As(Identity.Of(held, "$edgeHub"), Identity.Of(held, "$edgeHub"))).IsAdmitted);
        Assert.Equal(held == "top", (await As(Leaf, EdgeHub)).IsAdmitted);
    }

    [Fact]
    public async Task Child_WithAKeyOfItsOwn_NeedsNoGateway_AndAPolicyNeither()
    {
        var own = await _hub.ConnectAsync(Leaf, _hub.Token(Leaf));
        var policy = await _hub.ConnectAsync(Leaf, _hub.PolicyToken("device"));

        Assert.Empty(own.Principal!.Gateways);
        Assert.Empty(policy.Principal!.Gateways);
    }

    [Fact]
    public async Task TokenReset_OfTheGateway_EndsItsChildrensTokensToo()
    {
        var token = _hub.Token(EdgeHub);
        await _hub.Revocation.ResetAsync(new("policy:iothubowner", "", AzureRights.All, "c1", "local"), EdgeHub, TimeSpan.FromHours(2), CancellationToken.None);

        Assert.Contains("were reset", (await _hub.ConnectAsync(Leaf, token)).Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Refusal_IsInTheTrailAndTheDiagnosisOfTheChild_WithTheGateway()
    {
        await _hub.Devices.AuthenticateAsync(Identity.Of("d1"), AccessFixture.Host, new DeviceCredential(_hub.Token(EdgeHub), null), new Peer(new IPEndPoint(IPAddress.Loopback, 7), "amqp"), CancellationToken.None);

        Assert.Contains(_hub.Audit.Entries, entry => entry.Target == "d1" && entry.Reason.Contains("not in the scope of edge", StringComparison.Ordinal));
        Assert.Contains("not in the scope of edge", _hub.Attempts.Of("d1")[0].Reason, StringComparison.Ordinal);
    }

    [Fact]
    public async Task ChainsInACircle_AreNotFollowedForEver()
    {
        await PutAsync("top", record => record with { ParentScopes = [EdgeScope.Of("edge", "1")] });

        Assert.True((await ThroughAsync(Leaf, EdgeHub, null)).IsAdmitted);
        Assert.False((await ThroughAsync(Leaf, Identity.Of("d1", "m1"), null)).IsAdmitted);
    }

    private async Task<Admission> ThroughAsync(Identity child, Identity gateway, string? chain) => await _hub.Devices.AuthenticateAsync(
        child, AccessFixture.Host, new DeviceCredential(_hub.Token(gateway), null) { AuthChain = chain }, new Peer(null, "mqtt"), CancellationToken.None);

    private async Task EdgeAsync(string id, string? parent)
    {
        await _hub.PutAsync(AccessFixture.Record(Identity.Of(id)) with { IotEdge = true, DeviceScope = EdgeScope.Of(id, "1"), ParentScopes = parent is null ? [] : [EdgeScope.Of(parent, "1")] });
        await _hub.PutAsync(AccessFixture.Record(Identity.Of(id, "$edgeHub")));
    }

    private Task PutAsync(string id, Func<IdentityRecord, IdentityRecord> change) => _hub.PutAsync(change(_hub.Metadata.Read(tx => _hub.Metadata.Identities.Find(tx, id, null))!));
}
