using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Sallyport.Hub.Access;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Sas;
using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Hub.Access;

public sealed class DeviceAuthenticatorTests : IAsyncLifetime
{
    private static readonly Identity D1 = Identity.Of("d1");
    private static readonly Identity D2 = Identity.Of("d2");
    private static readonly Identity M1 = Identity.Of("d1", "m1");
    private static readonly Identity M2 = Identity.Of("d1", "m2");

    private readonly AccessFixture _hub = new();

    public ValueTask InitializeAsync() => _hub.InitializeAsync();

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Theory]
    [InlineData("primary")]
    [InlineData("secondary")]
    public async Task Device_WithEitherKey_IsAdmitted(string which)
    {
        var token = _hub.Token(D1, which: which);

        var admission = await _hub.ConnectAsync(D1, token);

        Assert.Equal(
            new Principal(
                PrincipalKind.Device, "d1", Rights.DeviceConnect, _hub.Time.GetUtcNow().AddHours(1).AddMinutes(5),
                """{"scope":"device","type":"sas","issuer":"iothub","acceptingIpFilterRule":null}""",
                SharedAccessSignature.TryParse(token, out _)!.Value.Fingerprint.ToString()),
            admission.Principal);
        Assert.Equal("1", admission.GenerationId);
        Assert.DoesNotContain(_hub.Audit.Entries, entry => entry.Action == "authentication");
    }

    [Fact]
    public async Task Module_WithItsOwnKey_IsAdmitted()
    {
        var admission = await _hub.ConnectAsync(M1, _hub.Token(M1));

        Assert.Equal((PrincipalKind.Module, "d1/m1"), (admission.Principal!.Kind, admission.Principal.Name));
        Assert.Contains("\"scope\":\"module\"", admission.Principal.AuthMethod, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("hub.test")] // Go
    [InlineData("hub.test/devices")]
    [InlineData("HUB.TEST/devices/d1")]
    [InlineData("alias.test/devices/d1")]
    public async Task Device_WhoseTokenCoversMore_IsAdmitted(string resource) =>
        Assert.True((await _hub.ConnectAsync(D1, _hub.Token(D1, resource))).IsAdmitted);

    [Fact]
    public async Task Device_WithATokenForEventHubs_IsRefused() =>
        Assert.Equal(HubErrors.UnauthorizedAccess, (await _hub.ConnectAsync(D1, _hub.EventHubsToken("iothubowner", "sb://hub.test/"))).Error);

    [Fact]
    public async Task Device_WithAnIdThatCSharpEncodesTwice_IsAdmitted()
    {
        var identity = Identity.Of("a%$b:c");
        await _hub.PutAsync(AccessFixture.Record(identity));

        Assert.True((await _hub.ConnectAsync(identity, _hub.Token(identity))).IsAdmitted);
        Assert.True((await _hub.ConnectAsync(identity, _hub.Token(identity, $"hub.test/devices/{WebUtility.UrlEncode(identity.DeviceId)}"))).IsAdmitted);
    }

    [Fact]
    public async Task Device_UntilFiveMinutesAfterExpiry_IsAdmitted()
    {
        var token = _hub.Token(D1);

        _hub.Time.Advance(TimeSpan.FromMinutes(65));
        Assert.True((await _hub.ConnectAsync(D1, token)).IsAdmitted);

        _hub.Time.Advance(TimeSpan.FromSeconds(1));
        AssertRefused(HubErrors.Unauthorized, "expired", await _hub.ConnectAsync(D1, token));
    }

    [Fact]
    public async Task Token_OfAnotherIdentity_IsRefused()
    {
        Identity[] identities = [D1, D2, M1, M2];
        foreach (var owner in identities)
        foreach (var caller in identities.Where(caller => caller != owner))
        {
            // As its owner uses it, and with the caller's resource, which the owner could sign too.
            AssertRefused(HubErrors.Unauthorized, "", await _hub.ConnectAsync(caller, _hub.Token(owner)));
            AssertRefused(HubErrors.Unauthorized, "neither", await _hub.ConnectAsync(caller, _hub.Token(owner, AccessFixture.ResourceOf(caller))));
            AssertRefused(HubErrors.Unauthorized, "neither", await _hub.ConnectAsync(caller, _hub.Token(owner, "hub.test")));
        }
    }

    [Theory]
    [InlineData("hub.test/devices/d10")]
    [InlineData("hub.test/devices/d1/modules/m1")]
    [InlineData("hub.test/devices/D1")]
    [InlineData("hub.test/device")]
    public async Task Device_WithItsKeyForAnotherResource_IsRefused(string resource) =>
        AssertRefused(HubErrors.Unauthorized, "another resource", await _hub.ConnectAsync(D1, _hub.Token(D1, resource)));

    [Theory]
    [InlineData(null, "neither a token nor a certificate")]
    [InlineData("", "neither a token nor a certificate")]
    [InlineData("password", "does not start with")]
    [InlineData("SharedAccessSignature sr=hub.test&sig=AA&se=1", "sig is not")]
    public async Task Device_WithoutAToken_IsRefused(string? token, string reason) =>
        AssertRefused(HubErrors.Unauthorized, reason, await _hub.ConnectAsync(D1, token));

    [Fact]
    public async Task Host_ThatIsNotTheHubs_IsNotFound()
    {
        AssertRefused(HubErrors.IotHubNotFound, "client speaks to", await _hub.ConnectAsync(D1, _hub.Token(D1), "other.test"));
        AssertRefused(HubErrors.IotHubNotFound, "another host", await _hub.ConnectAsync(D1, _hub.Token(D1, "other.test/devices/d1")));
        Assert.True((await _hub.ConnectAsync(D1, _hub.Token(D1), "HUB.Test")).IsAdmitted);
    }

    [Fact]
    public async Task Device_Disabled_IsNotFoundForWhoHasItsKey()
    {
        await _hub.PutAsync(AccessFixture.Record(D1) with { Enabled = false });

        AssertRefused(HubErrors.DeviceNotFound, "disabled", await _hub.ConnectAsync(D1, _hub.Token(D1)));
        AssertRefused(HubErrors.DeviceNotFound, "disabled", await _hub.ConnectAsync(D1, _hub.PolicyToken("device")));
        AssertRefused(HubErrors.DeviceNotFound, "disabled", await _hub.ConnectAsync(M1, _hub.Token(M1)));
        AssertRefused(HubErrors.Unauthorized, "neither", await _hub.ConnectAsync(D1, _hub.Token(D2, "hub.test/devices/d1")));
    }

    [Fact]
    public async Task Device_Unknown_LooksLikeAWrongSignature()
    {
        var unknown = Identity.Of("nobody");

        AssertRefused(HubErrors.Unauthorized, "no such device", await _hub.ConnectAsync(unknown, _hub.Token(unknown)));
        AssertRefused(HubErrors.Unauthorized, "no such module", await _hub.ConnectAsync(Identity.Of("d1", "m9"), _hub.Token(D1, "hub.test")));
        AssertRefused(HubErrors.Unauthorized, "no such module", await _hub.ConnectAsync(Identity.Of("nobody", "m1"), _hub.Token(D1, "hub.test")));
    }

    [Theory]
    [InlineData("hub.test")]
    [InlineData("hub.test/devices")]
    [InlineData("hub.test/devices/d1")]
    public async Task Policy_WithDeviceConnect_ConnectsDevicesThatItsTokenCovers(string resource)
    {
        var admission = await _hub.ConnectAsync(D1, _hub.PolicyToken("device", resource));

        Assert.Equal((PrincipalKind.Policy, "device", Rights.DeviceConnect), (admission.Principal!.Kind, admission.Principal.Name, admission.Principal.Rights));
        Assert.Contains("\"scope\":\"hub\"", admission.Principal.AuthMethod, StringComparison.Ordinal);
        Assert.Equal("1", admission.GenerationId);
        Assert.True((await _hub.ConnectAsync(M1, _hub.PolicyToken("device", resource))).IsAdmitted);
    }

    [Fact]
    public async Task Policy_TokenForOneDevice_OpensNoOther()
    {
        var token = _hub.PolicyToken("device", "hub.test/devices/d1");

        AssertRefused(HubErrors.Unauthorized, "another resource", await _hub.ConnectAsync(D2, token));
        AssertRefused(HubErrors.DeviceNotFound, "no such device", await _hub.ConnectAsync(Identity.Of("nobody"), _hub.PolicyToken("device")));
        AssertRefused(HubErrors.ModuleNotFound, "no such module", await _hub.ConnectAsync(Identity.Of("d1", "m9"), _hub.PolicyToken("device")));
    }

    [Theory]
    [InlineData("iothubowner", true)]
    [InlineData("device", true)]
    [InlineData("service", false)]
    [InlineData("registryRead", false)]
    [InlineData("registryReadWrite", false)]
    public async Task Policy_ConnectsDevices_OnlyWithDeviceConnect(string policy, bool admitted)
    {
        var admission = await _hub.ConnectAsync(D1, _hub.PolicyToken(policy));

        Assert.Equal(admitted, admission.IsAdmitted);
        Assert.Equal(admitted ? null : HubErrors.UnauthorizedAccess, admission.Error);
    }

    [Fact]
    public async Task Policy_ThatIsUnknownOrSignedByADevice_IsRefused()
    {
        var text = SharedAccessSignature.Create("hub.test", AccessFixture.KeyOf(D1), _hub.Time.GetUtcNow().AddHours(1), "nobody");
        AssertRefused(HubErrors.Unauthorized, "no such policy", await _hub.ConnectAsync(D1, text));

        text = SharedAccessSignature.Create("hub.test", AccessFixture.KeyOf(D1), _hub.Time.GetUtcNow().AddHours(1), "device");
        AssertRefused(HubErrors.Unauthorized, "neither", await _hub.ConnectAsync(D1, text));
    }

    [Theory]
    [InlineData(IdentityAuthentication.SelfSigned, "self-signed certificates")]
    [InlineData(IdentityAuthentication.CertificateAuthority, "certificate authority")]
    [InlineData(IdentityAuthentication.None, "no authentication of its own")]
    public async Task Device_RegisteredForSomethingElse_IsRefusedWithAToken(IdentityAuthentication authentication, string reason)
    {
        // Keys that are left over from before must not open it either.
        await _hub.PutAsync(AccessFixture.Record(D1) with { Authentication = authentication });

        AssertRefused(HubErrors.Unauthorized, reason, await _hub.ConnectAsync(D1, _hub.Token(D1)));
        AssertRefused(HubErrors.Unauthorized, reason, await _hub.ConnectAsync(D1, _hub.PolicyToken("device")));
    }

    [Theory]
    [InlineData(IdentityAuthentication.Sas, "registered for keys")]
    [InlineData(IdentityAuthentication.SelfSigned, "neither the primary nor the secondary thumbprint")]
    [InlineData(IdentityAuthentication.CertificateAuthority, "which is no registered authority")]
    [InlineData(IdentityAuthentication.None, "no authentication of its own")]
    public async Task Device_WithACertificateOfNobodyKnown_IsRefused(IdentityAuthentication authentication, string reason)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var certificate = new CertificateRequest("CN=d1", key, HashAlgorithmName.SHA256)
            .CreateSelfSigned(_hub.Time.GetUtcNow().AddDays(-1), _hub.Time.GetUtcNow().AddDays(1));
        await _hub.PutAsync(AccessFixture.Record(D1) with { Authentication = authentication });

        AssertRefused(HubErrors.Unauthorized, reason, await _hub.ConnectAsync(D1, new PresentedCertificate(certificate, [])));
    }

    [Fact]
    public async Task Device_WithNewKeys_IsRefusedWithTheOldOnes()
    {
        var old = _hub.Token(D1);
        Assert.True((await _hub.ConnectAsync(D1, old)).IsAdmitted);

        await _hub.PutAsync(AccessFixture.Record(D1, generation: "2"));

        AssertRefused(HubErrors.Unauthorized, "neither", await _hub.ConnectAsync(D1, old));
    }

    [Fact]
    public async Task Module_OfADeviceThatWasDeletedAndMadeAgain_IsRefused()
    {
        Assert.True((await _hub.ConnectAsync(M1, _hub.Token(M1))).IsAdmitted);

        await _hub.DeleteAsync(D1);
        AssertRefused(HubErrors.Unauthorized, "no such module", await _hub.ConnectAsync(M1, _hub.Token(M1)));
        await _hub.PutAsync(AccessFixture.Record(D1, generation: "2"));

        AssertRefused(HubErrors.Unauthorized, "no such module", await _hub.ConnectAsync(M1, _hub.Token(M1)));
    }

    [Fact]
    public async Task Refusal_IsInTheTrailWithoutTheToken()
    {
        var token = _hub.Token(D2, "hub.test/devices/d1");
        var peer = new Peer(new IPEndPoint(IPAddress.Parse("192.0.2.7"), 50122), "mqtt");

        await _hub.Devices.AuthenticateAsync(D1, AccessFixture.Host, new DeviceCredential(token, null), peer, CancellationToken.None);

        var entry = Assert.Single(_hub.Audit.Entries, entry => entry.Action == "authentication");
        Assert.Equal(
            ("anonymous", SharedAccessSignature.TryParse(token, out _)!.Value.Fingerprint.ToString(), "d1", "refused", "mqtt 192.0.2.7:50122"),
            (entry.Principal, entry.CredentialFingerprint, entry.Target, entry.Result, entry.Peer));
        Assert.StartsWith("401003 the token was signed with neither", entry.Reason, StringComparison.Ordinal);
        Assert.DoesNotContain(token.Split("sig=")[1][..20], entry.ToString(), StringComparison.Ordinal);
    }

    private static void AssertRefused(HubError error, string reason, Admission admission)
    {
        Assert.Null(admission.Principal);
        Assert.Equal(error, admission.Error);
        Assert.Contains(reason, admission.Reason, StringComparison.Ordinal);
    }
}
