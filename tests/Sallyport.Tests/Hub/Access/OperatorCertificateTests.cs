using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Sallyport.Hub.Access;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Hub.Audit;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;
using Sallyport.Tests.Hub.Access.Certificates;

namespace Sallyport.Tests.Hub.Access;

public sealed class OperatorCertificateTests : IAsyncLifetime
{
    private static readonly Actor Owner = new("policy:iothubowner", "fingerprint", AzureRights.All, "correlation", "local");
    private static readonly TimeSpan Day = TimeSpan.FromDays(1);

    private readonly AccessFixture _hub = new();
    private TestAuthority _plant = null!;
    private X509Certificate2 _certificate = null!;

    public async ValueTask InitializeAsync()
    {
        await _hub.InitializeAsync();
        _plant = TestAuthority.Root("plant", _hub.Time.GetUtcNow());
        _certificate = SelfSigned("alice");
    }

    public async ValueTask DisposeAsync()
    {
        _certificate.Dispose();
        await _hub.DisposeAsync();
    }

    [Fact]
    public async Task Operator_WithItsCertificate_IsLetIn_ForWhatItHolds_UntilItsEnd()
    {
        var made = await CreateAsync("alice", Read(_certificate));

        var admission = await _hub.ShowAsync(Shown(_certificate));

        Assert.True(admission.IsAdmitted, admission.Reason);
        Assert.Equal(
            (PrincipalKind.Operator, "alice", Rights.RegistryRead, _hub.Time.GetUtcNow() + Day, CertificateUse.FingerprintOf(_certificate)),
            (admission.Principal!.Kind, admission.Principal.Name, admission.Principal.Rights, admission.Principal.Expires, admission.Principal.CredentialFingerprint));
        Assert.Equal(_certificate.GetCertHashString(HashAlgorithmName.SHA256), made.CertificateThumbprint);
        AssertRefused(HubErrors.UnauthorizedAccess, "operator:alice does not hold registry-write", await _hub.ShowAsync(Shown(_certificate), Rights.RegistryWrite));
        AssertRefused(HubErrors.IotHubNotFound, "is not one of this hub", await _hub.ShowAsync(Shown(_certificate), host: "other.test"));

        _hub.Time.Advance(Day);
        AssertRefused(HubErrors.Unauthorized, "the credential of operator:alice ended at", await _hub.ShowAsync(Shown(_certificate)));
        var noted = _hub.Audit.Entries.Last();
        Assert.Equal(("anonymous", "authentication", "policy operator:alice", CertificateUse.FingerprintOf(_certificate)), (noted.Principal, noted.Action, noted.Target, noted.CredentialFingerprint));
    }

    [Fact]
    public async Task Operator_WithACertificateThatEndsSooner_EndsWithIt()
    {
        using var brief = SelfSigned("alice", _hub.Time.GetUtcNow().AddHours(2));

        Assert.Equal(brief.NotAfter.ToUniversalTime(), (await CreateAsync("alice", Read(brief))).Expires!.Value.UtcDateTime);

        // By its thumbprint alone the hub sees its end when it is shown.
        await _hub.Policies.DeleteOperatorAsync(Owner, "alice", CancellationToken.None);
        await CreateAsync("alice", ByThumbprint(brief));
        Assert.True((await _hub.ShowAsync(Shown(brief))).IsAdmitted);
        _hub.Time.Advance(TimeSpan.FromHours(3));
        AssertRefused(HubErrors.Unauthorized, "the certificate expired at", await _hub.ShowAsync(Shown(brief)));
    }

    [Fact]
    public async Task Certificate_OfNobody_IsRefused()
    {
        using var namesake = SelfSigned("alice");
        await CreateAsync("alice", Read(_certificate));

        AssertRefused(HubErrors.Unauthorized, "the certificate shown is no operator's", await _hub.ShowAsync(Shown(namesake)));
    }

    [Theory]
    [InlineData("disable")]
    [InlineData("renew with a key")]
    [InlineData("renew with another certificate")]
    [InlineData("delete")]
    public async Task Operator_WhoseCertificateIsWithdrawn_IsRefused_AndWhatItLetInEnds(string how)
    {
        using var other = SelfSigned("alice");
        await CreateAsync("alice", Read(_certificate));
        var principal = (await _hub.ShowAsync(Shown(_certificate))).Principal!;

        switch (how)
        {
            case "disable":
                await _hub.Policies.EnableOperatorAsync(Owner, "alice", enabled: false, CancellationToken.None);
                break;
            case "delete":
                await _hub.Policies.DeleteOperatorAsync(Owner, "alice", CancellationToken.None);
                break;
            default:
                await _hub.Policies.RenewOperatorAsync(Owner, "alice", Day, how == "renew with a key" ? null : Read(other), CancellationToken.None);
                break;
        }

        Assert.True(principal.Withdrawn.IsCancellationRequested);
        AssertRefused(HubErrors.Unauthorized, how == "disable" ? "operator:alice is disabled" : "no operator's", await _hub.ShowAsync(Shown(_certificate)));
        Assert.Equal(how == "renew with another certificate", (await _hub.ShowAsync(Shown(other))).IsAdmitted);
    }

    [Fact]
    public async Task Operator_Disabled_ReadsNothingForItsConnections_AndIsLetInAgainOnceEnabled()
    {
        await CreateAsync("alice", Read(_certificate));

        await _hub.Policies.EnableOperatorAsync(Owner, "alice", enabled: false, CancellationToken.None);
        Assert.Equal(Rights.None, _hub.Policies.HeldBy("operator:alice").Rights);

        await _hub.Policies.EnableOperatorAsync(Owner, "alice", enabled: true, CancellationToken.None);
        Assert.Equal(Rights.RegistryRead, _hub.Policies.HeldBy("operator:alice").Rights);
        Assert.True((await _hub.ShowAsync(Shown(_certificate))).IsAdmitted);
        Assert.Equal(["operator create", "operator disable", "operator enable"], _hub.Audit.Entries.Where(entry => entry.Action.StartsWith("operator", StringComparison.Ordinal)).Select(entry => entry.Action));
    }

    [Fact]
    public async Task Operator_Disabled_TokensAreRefusedToo()
    {
        var made = await CreateAsync("bob", null);
        var token = Sallyport.Protocol.Sas.SharedAccessSignature.Create(AccessFixture.Host, made.PrimaryKey, _hub.Time.GetUtcNow().AddHours(1), made.Name);
        Assert.True((await _hub.CallAsync(token)).IsAdmitted);

        await _hub.Policies.EnableOperatorAsync(Owner, "bob", enabled: false, CancellationToken.None);

        AssertRefused(HubErrors.Unauthorized, "operator:bob is disabled", await _hub.CallAsync(token));
    }

    [Fact]
    public async Task Leaf_OfADevice_MakesNoOperator_WhetherGivenOrKnownByItsThumbprint()
    {
        var leaf = _plant.Leaf("d1");
        await CreateAsync("early", ByThumbprint(leaf));
        await TrustPlantAsync();

        AssertRefused(HubErrors.Unauthorized, "the authority plant vouches for it", await _hub.ShowAsync(Shown(leaf)));
        Assert.Contains("the authority plant vouches for it", Assert.Throws<HubException>(() => Read(_plant.Leaf("alice"))).Message);
    }

    [Fact]
    public async Task Certificate_OfAnAuthority_MakesNoOperator()
    {
        using var authority = _plant.Leaf("ca", isAuthority: true, usage: X509KeyUsageFlags.DigitalSignature | X509KeyUsageFlags.KeyCertSign);
        await _hub.Authorities.PutAsync(Owner, "line", authority.RawData, isVerified: true, idPrefix: null, deviceTags: null, condition: null, CancellationToken.None);

        Assert.Contains("is that of the authority line", Assert.Throws<HubException>(() => Read(authority)).Message);
    }

    [Theory]
    [InlineData(true, true)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    public async Task Thumbprint_OfADevice_MakesNoOperator(bool sha256, bool given)
    {
        await RegisterAsync("d1", _certificate.GetCertHashString(sha256 ? HashAlgorithmName.SHA256 : HashAlgorithmName.SHA1));

        var refusal = await Assert.ThrowsAsync<HubException>(async () => await CreateAsync("alice", given ? Read(_certificate) : ByThumbprint(_certificate)));

        Assert.Equal(HubErrors.Conflict, refusal.Error);
        Assert.Contains("a device is registered with this certificate", refusal.Message);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Certificate_OfAnOperator_IsNoDevices_HoweverTheDeviceIsRegistered(bool byThumbprint)
    {
        var d1 = Identity.Of("d1");
        using var certificate = byThumbprint ? SelfSigned("d1") : _plant.Leaf("d1");
        await CreateAsync("d1", ByThumbprint(certificate));
        if (byThumbprint)
            await RegisterAsync("d1", certificate.Thumbprint);
        else
            await _hub.PutAsync(AccessFixture.Record(d1) with { Authentication = IdentityAuthentication.CertificateAuthority });
        await TrustPlantAsync();

        AssertRefused(HubErrors.Unauthorized, "the certificate is that of operator:d1, and an operator's is no device's", await _hub.ConnectAsync(d1, Shown(certificate)));
    }

    [Fact]
    public async Task Certificate_OfAnotherOperator_IsNotTaken()
    {
        await CreateAsync("alice", Read(_certificate));

        Assert.Equal(HubErrors.Conflict, (await Assert.ThrowsAsync<HubException>(async () => await CreateAsync("bob", ByThumbprint(_certificate)))).Error);
        await _hub.Policies.RenewOperatorAsync(Owner, "alice", Day, Read(_certificate), CancellationToken.None);
    }

    [Fact]
    public void Certificate_ThatIsNotFit_IsNotTaken()
    {
        Assert.Contains("does not name client authentication", Refused(_plant.Leaf("alice", purpose: TestAuthority.ServerAuth).RawData));
        Assert.Contains("does not name digital signatures", Refused(_plant.Leaf("alice", usage: X509KeyUsageFlags.KeyEncipherment).RawData));
        Assert.Contains("expired at", Refused(SelfSigned("alice", _hub.Time.GetUtcNow().AddDays(-1)).RawData));
        Assert.Contains("is not valid before", Refused(_plant.Leaf("alice", notBefore: _hub.Time.GetUtcNow().AddDays(1)).RawData));
        Assert.Contains("more than 8192", Refused(_plant.Leaf("alice", paddingBytes: 9000).RawData));
        Assert.Contains("more than 8192", Refused(new byte[100_000]));
        Assert.Contains("no X.509 certificate", Refused([1, 2, 3]));
        Assert.Contains("no X.509 certificate", Refused([]));
        foreach (var thumbprint in new[] { "", "00", new string('0', 40), new string('0', 63), new string('g', 64), new string('0', 65) })
            Assert.Equal(HubErrors.ArgumentInvalid, Assert.Throws<HubException>(() => OperatorCertificate.Of(thumbprint)).Error);

        string Refused(byte[] certificate)
        {
            var refusal = Assert.Throws<HubException>(() => OperatorCertificate.Read(certificate, _hub.Authorities, _hub.Time.GetUtcNow()));
            Assert.Equal(HubErrors.ArgumentInvalid, refusal.Error);
            return refusal.Message;
        }
    }

    [Fact]
    public async Task Certificate_AfterARestart_OpensTheSame()
    {
        await CreateAsync("alice", Read(_certificate));

        using var again = await Policies.OpenAsync(_hub.Metadata, _hub.Tags, _hub.Audit, _hub.Time, CancellationToken.None);

        Assert.Equal("operator:alice", again.FindOperatorBy(_certificate)?.Name);
    }

    private ValueTask<PolicyRecord> CreateAsync(string name, OperatorCertificate? certificate) =>
        _hub.Policies.CreateOperatorAsync(Owner, name, Rights.RegistryRead, Scope.Everything, Day, certificate, CancellationToken.None);

    private OperatorCertificate Read(X509Certificate2 certificate) => OperatorCertificate.Read(certificate.RawData, _hub.Authorities, _hub.Time.GetUtcNow());

    private static OperatorCertificate ByThumbprint(X509Certificate2 certificate) => OperatorCertificate.Of(certificate.GetCertHashString(HashAlgorithmName.SHA256).ToLowerInvariant());

    private async Task TrustPlantAsync() =>
        await _hub.Authorities.PutAsync(Owner, "plant", _plant.Pem, isVerified: true, idPrefix: null, deviceTags: null, condition: null, CancellationToken.None);

    private Task RegisterAsync(string device, string thumbprint) => _hub.PutAsync(AccessFixture.Record(Identity.Of(device)) with
    {
        Authentication = IdentityAuthentication.SelfSigned, PrimaryKey = null, SecondaryKey = null, PrimaryThumbprint = thumbprint,
    });

    private X509Certificate2 SelfSigned(string name, DateTimeOffset? notAfter = null)
    {
        var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        return new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256).CreateSelfSigned(_hub.Time.GetUtcNow().AddDays(-10), notAfter ?? _hub.Time.GetUtcNow().AddDays(300));
    }

    private static PresentedCertificate Shown(X509Certificate2 leaf) => new(leaf, []);

    private static void AssertRefused(HubError error, string reason, Admission admission)
    {
        Assert.Equal(error, admission.Error);
        Assert.Contains(reason, admission.Reason);
    }
}
