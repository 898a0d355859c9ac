using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Sallyport.Hub.Access;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Hub.Access.Certificates;

/// <summary>Which certificates let a device in, rule by rule; the identities are those of the fixture.</summary>
public sealed class DeviceCertificateTests : IAsyncLifetime
{
    private static readonly Identity D1 = Identity.Of("d1");
    private static readonly Identity D2 = Identity.Of("d2");
    private static readonly Identity M1 = Identity.Of("d1", "m1");
    private static readonly Actor Owner = new("policy:iothubowner", "", AzureRights.All, "", "local");

    private readonly AccessFixture _hub = new();
    private TestAuthority _root = null!;

    private DateTimeOffset Now => _hub.Time.GetUtcNow();

    public async ValueTask InitializeAsync()
    {
        await _hub.InitializeAsync();
        _root = TestAuthority.Root("plant", Now);
        await _hub.Authorities.PutAsync(Owner, "plant", _root.Pem, isVerified: true, idPrefix: null, deviceTags: null, condition: null, CancellationToken.None);
        foreach (var identity in new[] { D1, D2, M1 })
            await _hub.PutAsync(AccessFixture.Record(identity) with { Authentication = IdentityAuthentication.CertificateAuthority });
    }

    public ValueTask DisposeAsync() => _hub.DisposeAsync();

    [Theory]
    [InlineData(true, true)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    [InlineData(false, false)]
    public async Task SelfSigned_WithARegisteredThumbprint_IsLetIn(bool sha256, bool primary)
    {
        using var leaf = SelfSigned("anything");
        var thumbprint = leaf.GetCertHashString(sha256 ? HashAlgorithmName.SHA256 : HashAlgorithmName.SHA1);
        await RegisterAsync(primary ? thumbprint : new string('A', 64), primary ? null : thumbprint);

        var admission = await _hub.ConnectAsync(D1, Shown(leaf));

        Assert.True(admission.IsAdmitted, admission.Reason);
        Assert.Equal(
            (Rights.DeviceConnect, """{"scope":"device","type":"x509","issuer":"external","acceptingIpFilterRule":null}""", CertificateUse.FingerprintOf(leaf)),
            (admission.Principal!.Rights, admission.Principal.AuthMethod, admission.Principal.CredentialFingerprint));
        Assert.Equal(leaf.NotAfter.ToUniversalTime(), admission.Principal.Expires.UtcDateTime);
    }

    [Fact]
    public async Task SelfSigned_WithAnotherThumbprint_IsRefused()
    {
        using var leaf = SelfSigned("d1");
        await RegisterAsync(new string('0', 40), new string('F', 64));

        AssertRefused("neither the primary nor the secondary thumbprint", await _hub.ConnectAsync(D1, Shown(leaf)));
    }

    [Fact]
    public async Task SelfSigned_OnceExpired_IsRefused()
    {
        using var leaf = SelfSigned("d1");
        await RegisterAsync(leaf.Thumbprint, null);
        Assert.True((await _hub.ConnectAsync(D1, Shown(leaf))).IsAdmitted);

        _hub.Time.SetUtcNow(leaf.NotAfter.ToUniversalTime().AddSeconds(1));

        AssertRefused("expired at", await _hub.ConnectAsync(D1, Shown(leaf)));
    }

    [Fact]
    public async Task SelfSigned_ForServersOnly_IsRefused()
    {
        using var leaf = SelfSigned("d1", TestAuthority.ServerAuth);
        await RegisterAsync(leaf.Thumbprint, null);

        AssertRefused("does not name client authentication", await _hub.ConnectAsync(D1, Shown(leaf)));
    }

    [Fact]
    public async Task Leaf_OfATrustedAuthority_IsLetIn()
    {
        var admission = await _hub.ConnectAsync(D1, Shown(_root.Leaf("d1")));
        var module = await _hub.ConnectAsync(M1, Shown(_root.Leaf("d1/m1")));

        Assert.True(admission.IsAdmitted, admission.Reason);
        Assert.Equal("plant", admission.Principal!.Certificate!.Authority);
        Assert.True(module.IsAdmitted, module.Reason);
        Assert.Equal((PrincipalKind.Module, """{"scope":"module","type":"x509","issuer":"external","acceptingIpFilterRule":null}"""), (module.Principal!.Kind, module.Principal.AuthMethod));
    }

    [Fact]
    public async Task Leaf_WithoutUsages_IsLetIn() =>
        Assert.True((await _hub.ConnectAsync(D1, Shown(_root.Leaf("d1", purpose: null, usage: null)))).IsAdmitted);

    [Fact]
    public async Task Leaf_ThroughIntermediates_IsLetIn_AndExpiresWithTheFirstOfThem()
    {
        var near = _root.Below("line").Below("cell", notAfter: Now.AddDays(5));

        var admission = await _hub.ConnectAsync(D1, near.Show(near.Leaf("d1")));

        Assert.True(admission.IsAdmitted, admission.Reason);
        Assert.Equal(near.Certificate.NotAfter.ToUniversalTime(), admission.Principal!.Expires.UtcDateTime);
        _hub.Time.Advance(TimeSpan.FromDays(6));
        AssertRefused("the issuer 'CN=cell' expired at", await _hub.ConnectAsync(D1, near.Show(near.Leaf("d1"))));
    }

    [Fact]
    public async Task Leaf_OfAnAuthorityThatIsItselfSignedByOneNotRegistered_IsLetIn_AndOthersOfItsParentAreNot()
    {
        var world = TestAuthority.Root("world", Now);
        var ours = world.Below("ours");
        var theirs = world.Below("theirs");
        await _hub.Authorities.PutAsync(Owner, "ours", ours.Pem, true, null, null, null, CancellationToken.None);

        Assert.True((await _hub.ConnectAsync(D1, Shown(ours.Leaf("d1")))).IsAdmitted);
        Assert.True((await _hub.ConnectAsync(D1, ours.Show(ours.Leaf("d1")))).IsAdmitted);
        AssertRefused("'CN=world'", await _hub.ConnectAsync(D1, theirs.Show(theirs.Leaf("d1"))));
        AssertRefused("'CN=world'", await _hub.ConnectAsync(D1, new PresentedCertificate(world.Leaf("d1"), [ours.Certificate])));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Leaf_OfANamesakeWithAnotherKey_IsRefused(bool namesakeOfRoot)
    {
        // Same name and same key identifier: only the signature differs.
        var world = TestAuthority.Root("world", Now);
        var ours = world.Below("ours");
        await _hub.Authorities.PutAsync(Owner, "ours", ours.Pem, true, null, null, null, CancellationToken.None);
        var forged = namesakeOfRoot ? TestAuthority.Root("plant", Now) : TestAuthority.Root("ours", Now);

        AssertRefused("", await _hub.ConnectAsync(D1, Shown(forged.Leaf("d1"))));
        AssertRefused("", await _hub.ConnectAsync(D1, new PresentedCertificate(forged.Leaf("d1"), [forged.Certificate])));
        AssertRefused("", await _hub.ConnectAsync(D1, new PresentedCertificate(forged.Leaf("d1"), [namesakeOfRoot ? _root.Certificate : ours.Certificate])));
    }

    [Fact]
    public async Task Leaf_OfADevice_CannotVouchForAnother()
    {
        var d1 = _root.Leaf("d1");
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var minted = new CertificateRequest("CN=d2", key, HashAlgorithmName.SHA256).Create(
            d1.SubjectName, X509SignatureGenerator.CreateForECDsa(d1.GetECDsaPrivateKey()!), Now.AddDays(-1), Now.AddDays(1), [1, 2, 3]);

        AssertRefused("", await _hub.ConnectAsync(D2, new PresentedCertificate(minted, [d1])));
    }

    [Fact]
    public async Task Leaf_BeyondThePathLength_IsRefused()
    {
        var near = _root.Below("line", pathLength: 0).Below("cell");
        var far = _root.Below("1").Below("2").Below("3").Below("4");

        AssertRefused("so far above", await _hub.ConnectAsync(D1, near.Show(near.Leaf("d1"))));
        AssertRefused("more than 5", await _hub.ConnectAsync(D1, far.Show(far.Leaf("d1"))));
    }

    [Fact]
    public async Task Leaf_ThroughAnIntermediateForServers_IsRefused()
    {
        var servers = _root.Below("servers", purpose: TestAuthority.ServerAuth);

        AssertRefused("not for client authentication", await _hub.ConnectAsync(D1, servers.Show(servers.Leaf("d1", purpose: null))));
    }

    [Fact]
    public async Task Leaf_SignedWithSha1_OrThroughAnIssuerThatIs_IsRefused()
    {
        var weak = _root.Below("weak line", isSignedWithSha1: true);

        AssertRefused("the certificate is signed with SHA-1", await _hub.ConnectAsync(D1, _root.Show(_root.Leaf("d1", isSignedWithSha1: true))));
        AssertRefused("the issuer 'CN=weak line' is signed with SHA-1", await _hub.ConnectAsync(D1, weak.Show(weak.Leaf("d1"))));
    }

    [Fact]
    public async Task Leaf_WithoutItsIntermediates_IsRefused_UntilTheyWereSeen_AlsoAfterARestart()
    {
        var near = _root.Below("line").Below("cell");
        AssertRefused("lacks 'CN=cell'", await _hub.ConnectAsync(D1, Shown(near.Leaf("d1"))));

        Assert.True((await _hub.ConnectAsync(D1, near.Show(near.Leaf("d1")))).IsAdmitted);
        Assert.True((await _hub.ConnectAsync(D2, Shown(near.Leaf("d2")))).IsAdmitted);

        await _hub.Metadata.WriteAsync(_ => true); // What was to be stored before is on disk with this.
        _hub.Restart();
        Assert.Equal(2, _hub.Authorities.KeptCount);
        Assert.True((await _hub.ConnectAsync(D1, Shown(near.Leaf("d1")))).IsAdmitted);
    }

    [Fact]
    public async Task Intermediates_OfRefusedChains_AreNotKept()
    {
        var near = TestAuthority.Root("elsewhere", Now).Below("line");

        AssertRefused("no registered authority", await _hub.ConnectAsync(D1, new PresentedCertificate(near.Leaf("d1"), [near.Certificate, near.Parent!.Certificate])));

        Assert.Equal(0, _hub.Authorities.KeptCount);
    }

    [Fact]
    public async Task Intermediates_BeyondTheBound_ReplaceTheOldest()
    {
        var all = Enumerable.Range(0, KeptIntermediates.MaxPerAuthority + 1).Select(n => _root.Below($"line {n}")).ToList();
        foreach (var one in all)
            Assert.True((await _hub.ConnectAsync(D1, one.Show(one.Leaf("d1")))).IsAdmitted);

        Assert.Equal(KeptIntermediates.MaxPerAuthority, _hub.Authorities.KeptCount);
        AssertRefused("lacks 'CN=line 0'", await _hub.ConnectAsync(D1, Shown(all[0].Leaf("d1"))));
        Assert.True((await _hub.ConnectAsync(D1, Shown(all[^1].Leaf("d1")))).IsAdmitted);
    }

    [Fact]
    public async Task Leaf_OfAnUnknownOrDisabledDevice_IsRefused()
    {
        AssertRefused("there is no such device", await _hub.ConnectAsync(Identity.Of("nobody"), Shown(_root.Leaf("nobody"))));

        await _hub.PutAsync(AccessFixture.Record(D1) with { Authentication = IdentityAuthentication.CertificateAuthority, Enabled = false });
        var disabled = await _hub.ConnectAsync(D1, Shown(_root.Leaf("d1")));

        Assert.Equal((HubErrors.DeviceNotFound, "the device is disabled"), (disabled.Error, disabled.Reason));
    }

    [Fact]
    public async Task Authority_LimitedToAPrefix_VouchesForNobodyElse()
    {
        var etag = _hub.Authorities.Show("plant").Record.ETag;
        await _hub.Authorities.PutAsync(Owner, "plant", null, null, "d1", null, EntityTagCondition.Parse(EntityTag.Format(etag)), CancellationToken.None);

        Assert.True((await _hub.ConnectAsync(D1, Shown(_root.Leaf("d1")))).IsAdmitted);
        AssertRefused("only for ids that begin with d1", await _hub.ConnectAsync(D2, Shown(_root.Leaf("d2"))));
    }

    [Fact]
    public async Task Authority_Unproved_VouchesForNobody_UntilItSignsTheCode()
    {
        var other = TestAuthority.Root("other", Now);
        await _hub.Authorities.PutAsync(Owner, "other", other.Pem, null, null, null, null, CancellationToken.None);
        AssertRefused("possession of its key is not proved", await _hub.ConnectAsync(D1, Shown(other.Leaf("d1"))));

        var code = (await _hub.Authorities.GenerateVerificationCodeAsync(Owner, "other", EntityTagCondition.Any, CancellationToken.None)).Record.VerificationCode!;
        var wrong = await Assert.ThrowsAsync<HubException>(async () => await VerifyAsync(other.Leaf("something else")));
        var forged = await Assert.ThrowsAsync<HubException>(async () => await VerifyAsync(TestAuthority.Root("other", Now).Leaf(code)));
        var expired = await Assert.ThrowsAsync<HubException>(async () => await VerifyAsync(other.Leaf(code, notAfter: Now.AddDays(-1))));
        Assert.Contains("not the verification code", wrong.Message);
        Assert.Contains("not signed by the authority's key", forged.Message);
        Assert.Contains("expired", expired.Message);
        AssertRefused("not proved", await _hub.ConnectAsync(D1, Shown(other.Leaf("d1"))));

        await VerifyAsync(other.Leaf(code, purpose: null));
        Assert.True((await _hub.ConnectAsync(D1, Shown(other.Leaf("d1")))).IsAdmitted);

        async Task VerifyAsync(X509Certificate2 proof) =>
            await _hub.Authorities.VerifyAsync(Owner, "other", proof.RawData, EntityTagCondition.Any, CancellationToken.None);
    }

    [Fact]
    public async Task Authority_Deleted_VouchesForNobody_AndItsLinksEnd()
    {
        var near = _root.Below("line");
        var admission = await _hub.ConnectAsync(D1, near.Show(near.Leaf("d1")));
        var link = new CertificateLink(D1, admission.Principal!);
        var other = new CertificateLink(D2, admission.Principal! with { Certificate = null });
        _hub.Connected.Attach(link);
        _hub.Connected.Attach(other);

        await _hub.Authorities.DeleteAsync(Owner, "plant", EntityTagCondition.Any, CancellationToken.None);

        Assert.Equal(HubErrors.Unauthorized, link.ClosedWith);
        Assert.Null(other.ClosedWith);
        AssertRefused("", await _hub.ConnectAsync(D1, near.Show(near.Leaf("d1"))));
        Assert.Equal(0, _hub.Authorities.KeptCount);
        Assert.Contains(_hub.Audit.Entries, entry => entry is { Action: "certificate delete", Target: "plant", Result: "done" });
    }

    [Fact]
    public async Task Authority_WithAnotherCertificate_IsNotVerifiedAnyMore_AndItsLinksEnd()
    {
        var link = new CertificateLink(D1, (await _hub.ConnectAsync(D1, Shown(_root.Leaf("d1")))).Principal!);
        _hub.Connected.Attach(link);

        var changed = await _hub.Authorities.PutAsync(Owner, "plant", TestAuthority.Root("plant", Now).Pem, null, null, null, EntityTagCondition.Any, CancellationToken.None);

        Assert.False(changed.Record.Verified);
        Assert.Equal(HubErrors.Unauthorized, link.ClosedWith);
        AssertRefused("", await _hub.ConnectAsync(D1, Shown(_root.Leaf("d1"))));
    }

    [Fact]
    public async Task Authority_ThatIsNone_IsNotRegistered()
    {
        await AssertInvalidAsync("not one of a certificate authority", _root.Leaf("d1").RawData);
        await AssertInvalidAsync("expired", TestAuthority.Root("old", Now.AddDays(-4000)).Pem);
        await AssertInvalidAsync("own root", AccessFixture.Never.RawData);
        await AssertInvalidAsync("not an X.509 certificate", [1, 2, 3]);
        await AssertInvalidAsync("more than", new byte[CertificateAuthorities.MaxCertificateBytes + 1]);
        var weak = new Actor("policy:weak", "", AzureRights.All & ~Rights.DeviceConnect, "", "local");
        var refused = await Assert.ThrowsAsync<HubException>(async () =>
            await _hub.Authorities.PutAsync(weak, "other", TestAuthority.Root("other", Now).Pem, true, null, null, null, CancellationToken.None));
        Assert.Equal(HubErrors.UnauthorizedAccess, refused.Error);
    }

    [Fact]
    public async Task Authorities_BeyondTheBound_AreRefused()
    {
        for (var n = 1; n < CertificateAuthorities.MaxAuthorities; n++)
            await _hub.Authorities.PutAsync(Owner, $"a{n}", _root.Pem, true, null, null, null, CancellationToken.None);

        var refused = await Assert.ThrowsAsync<HubException>(async () => await _hub.Authorities.PutAsync(Owner, "one-more", _root.Pem, true, null, null, null, CancellationToken.None));

        Assert.Equal(HubErrors.ArgumentInvalid, refused.Error);
    }

    [Fact]
    public async Task Chains_OfAnotherSetOfAuthorities_AreVerifiedAgain()
    {
        var leaf = _root.Leaf("d1");
        Assert.True((await _hub.ConnectAsync(D1, Shown(leaf))).IsAdmitted);
        Assert.True((await _hub.ConnectAsync(D1, Shown(leaf))).IsAdmitted);

        await _hub.Authorities.PutAsync(Owner, "plant", null, isVerified: false, null, null, EntityTagCondition.Any, CancellationToken.None);

        AssertRefused("possession of its key is not proved", await _hub.ConnectAsync(D1, Shown(leaf)));
    }

    [Fact]
    public async Task Change_WhileTheTrailCannotBeWritten_IsUnavailable()
    {
        _hub.Audit.IsBroken = true;

        var refused = await Assert.ThrowsAsync<HubException>(async () => await _hub.Authorities.DeleteAsync(Owner, "plant", EntityTagCondition.Any, CancellationToken.None));

        Assert.Equal(HubErrors.ServiceUnavailable, refused.Error);
        Assert.True((await _hub.ConnectAsync(D1, Shown(_root.Leaf("d1")))).IsAdmitted);
    }

    private static PresentedCertificate Shown(X509Certificate2 leaf) => new(leaf, []);

    private async Task AssertInvalidAsync(string reason, byte[] certificate)
    {
        var refused = await Assert.ThrowsAsync<HubException>(async () => await _hub.Authorities.PutAsync(Owner, "other", certificate, true, null, null, null, CancellationToken.None));
        Assert.Equal(HubErrors.ArgumentInvalid, refused.Error);
        Assert.Contains(reason, refused.Message);
    }

    private Task RegisterAsync(string? primary, string? secondary) => _hub.PutAsync(AccessFixture.Record(D1) with
    {
        Authentication = IdentityAuthentication.SelfSigned, PrimaryThumbprint = primary, SecondaryThumbprint = secondary,
    });

    private X509Certificate2 SelfSigned(string name, string? purpose = null)
    {
        var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var request = new CertificateRequest($"CN={name}", key, HashAlgorithmName.SHA256);
        if (purpose is not null)
            request.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid(purpose)], false));
        return request.CreateSelfSigned(Now.AddDays(-1), Now.AddDays(30));
    }

    private static void AssertRefused(string reason, Admission admission)
    {
        Assert.False(admission.IsAdmitted, "let in");
        Assert.Equal(HubErrors.Unauthorized, admission.Error);
        Assert.Contains(reason, admission.Reason);
    }
}
