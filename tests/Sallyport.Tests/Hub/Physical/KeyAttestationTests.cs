using System.Net;
using Sallyport.Hub.Access;
using Sallyport.Hub.Diagnosis;
using Sallyport.Hub.Physical;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;
using Sallyport.Tests.Heads.Mqtt;
using Sallyport.Tests.Hub.Registry;

namespace Sallyport.Tests.Hub.Physical;

public sealed class KeyAttestationTests
{
    private static readonly Peer Somewhere = new(new IPEndPoint(IPAddress.Loopback, 9), "mqtt");

    [Fact]
    public async Task Identity_ThatAttestationObjectsTo_IsNotRegistered()
    {
        await using var fixture = await RegistryFixture.OpenAsync(attestation: new OnlyModuleOf("d1"));

        await fixture.CreateAsync("d1");
        await RegistryFixture.RefusedAsync(HubErrors.ArgumentInvalid, () => fixture.CreateAsync("d2"));
        Assert.Null(fixture.Stored("d2"));
    }

    [Fact]
    public async Task Device_ThatAttestationObjectsTo_IsRefused_AndItsReasonNoted()
    {
        await using var fixture = await RegistryFixture.OpenAsync();
        var attempts = new Attempts(_ => true, fixture.Time);
        var devices = new AttestedDevices(new ScriptedAuthentication(), new OnlyModuleOf("d1"), fixture.Audit, attempts);

        var good = await devices.AuthenticateAsync(Identity.Of("d1"), "hub", new DeviceCredential("good", null), Somewhere, TestContext.Current.CancellationToken);
        var objected = await devices.AuthenticateAsync(Identity.Of("d2"), "hub", new DeviceCredential("good", null), Somewhere, TestContext.Current.CancellationToken);
        var wrong = await devices.AuthenticateAsync(Identity.Of("d2"), "hub", new DeviceCredential("bad", null), Somewhere, TestContext.Current.CancellationToken);

        Assert.True(good.IsAdmitted);
        Assert.Same(HubErrors.Unauthorized, objected.Error);
        Assert.Equal("the signature does not match", wrong.Reason);
        Assert.Contains("no proof from hardware", Assert.Single(fixture.Audit.Entries).Reason);
        Assert.Equal("no proof from hardware", Assert.Single(attempts.Of("d2")).Reason);
    }

    /// <summary>A hub where one device has a hardware module.</summary>
    private sealed class OnlyModuleOf(string deviceId) : IKeyAttestation
    {
        public string? ObjectsTo(IdentityRecord proposed) => Objection(proposed.DeviceId);

        public ValueTask<string?> ObjectsToAsync(Identity identity, Principal principal, DeviceCredential credential, CancellationToken cancel) =>
            new(Objection(identity.DeviceId));

        private string? Objection(string id) => id == deviceId ? null : "no proof from hardware";
    }
}
