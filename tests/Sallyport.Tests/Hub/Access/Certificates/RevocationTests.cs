using System.Formats.Asn1;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Sallyport.Hub.Access;
using Sallyport.Hub.Access.Certificates;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Tests.Hub.Access.Certificates;

/// <summary>What revocation lists do to devices, which lists are taken, and how they are fetched anew.</summary>
public sealed class RevocationTests : IAsyncLifetime
{
    private const string Url = "https://pki.test/plant.crl";

    private static readonly Identity D1 = Identity.Of("d1");
    private static readonly Identity D2 = Identity.Of("d2");
    private static readonly Actor Owner = new("policy:iothubowner", "", AzureRights.All, "", "local");

    private readonly AccessFixture _hub = new();
    private readonly SemaphoreSlim _fetched = new(0);
    private TestAuthority _root = null!;
    private X509Certificate2 _leaf1 = null!;
    private X509Certificate2 _leaf2 = null!;

    private DateTimeOffset Now => _hub.Time.GetUtcNow();

    public async ValueTask InitializeAsync()
    {
        await _hub.InitializeAsync();
        _root = TestAuthority.Root("plant", Now);
        (_leaf1, _leaf2) = (_root.Leaf("d1"), _root.Leaf("d2"));
        await _hub.Authorities.PutAsync(Owner, "plant", _root.Pem, isVerified: true, idPrefix: null, deviceTags: null, condition: null, CancellationToken.None);
        foreach (var identity in new[] { D1, D2 })
            await _hub.PutAsync(AccessFixture.Record(identity) with { Authentication = IdentityAuthentication.CertificateAuthority });
    }

    public ValueTask DisposeAsync()
    {
        _fetched.Dispose();
        return _hub.DisposeAsync();
    }

    [Theory]
    [InlineData(RevocationCheck.SoftFail)]
    [InlineData(RevocationCheck.HardFail)]
    public async Task Leaf_OnTheList_IsRefused_AlsoAfterARestart(RevocationCheck check)
    {
        await SetAsync(check, _root.Revoke([_leaf1]));

        Assert.Equal($"the certificate with the serial number {Serial(_leaf1)} is revoked by 'CN=plant'", await RefusalAsync(D1, _leaf1));
        Assert.Null(await RefusalAsync(D2, _leaf2));

        _hub.Restart();
        Assert.Contains("is revoked", await RefusalAsync(D1, _leaf1));
        Assert.Null(await RefusalAsync(D2, _leaf2));
    }

    [Fact]
    public async Task List_ThatHasEnded_LetsOthersInOrNot_AsTheModeSays()
    {
        await SetAsync(RevocationCheck.SoftFail, _root.Revoke([_leaf1]));
        _hub.Time.Advance(TimeSpan.FromDays(8));

        Assert.Null(await RefusalAsync(D2, _leaf2));
        Assert.Contains("is revoked", await RefusalAsync(D1, _leaf1));

        await SetAsync(RevocationCheck.HardFail, null);
        Assert.Contains("ended at", await RefusalAsync(D2, _leaf2));

        await SetAsync(RevocationCheck.Off, null);
        Assert.Null(await RefusalAsync(D1, _leaf1));
    }

    [Fact]
    public async Task Chain_ThroughAnIntermediateWithoutAList_IsRefusedByHardFailOnly()
    {
        var line = _root.Below("line");
        var leaf = line.Leaf("d1");
        await SetAsync(RevocationCheck.SoftFail, _root.Revoke([]));
        Assert.Null(await RefusalAsync(D1, line.Show(leaf)));

        await SetAsync(RevocationCheck.HardFail, _root.Revoke([], 2));
        Assert.Contains("no revocation list of 'CN=line'", await RefusalAsync(D1, line.Show(leaf)));

        await SetAsync(RevocationCheck.HardFail, Pem(_root.Revoke([], 3), line.Revoke([])));
        Assert.Null(await RefusalAsync(D1, line.Show(leaf)));

        await SetAsync(RevocationCheck.HardFail, Pem(_root.Revoke([], 4), line.Revoke([leaf], 2)));
        Assert.Contains("is revoked by 'CN=line'", await RefusalAsync(D1, line.Show(leaf)));

        await SetAsync(RevocationCheck.HardFail, Pem(_root.Revoke([line.Certificate], 5), line.Revoke([], 3)));
        Assert.Contains($"{Serial(line.Certificate)} is revoked by 'CN=plant'", await RefusalAsync(D1, line.Show(leaf)));
    }

    [Fact]
    public async Task List_OfAnIntermediatesNamesake_SaysNothing()
    {
        var line = _root.Below("line");
        var leaf = line.Leaf("d1");

        await SetAsync(RevocationCheck.HardFail, Pem(_root.Revoke([]), TestAuthority.Root("line", Now).Revoke([])));

        Assert.Contains("no revocation list of 'CN=line'", await RefusalAsync(D1, line.Show(leaf)));
    }

    [Fact]
    public async Task List_ThatMayNotBeTaken_IsRefused_AndTheOneInForceStays()
    {
        await SetAsync(RevocationCheck.HardFail, _root.Revoke([_leaf1], number: 5));
        var good = _root.Revoke([], number: 6);
        var tampered = good.ToArray();
        tampered[^1] ^= 1;
        var cases = new (string Reason, byte[] List)[]
        {
            ("issued and signed by the authority", TestAuthority.Root("plant", Now).Revoke([], 6)),
            ("issued and signed by the authority", TestAuthority.Root("other", Now).Revoke([], 6)),
            ("issued and signed by the authority", tampered),
            ("older than the one in force", _root.Revoke([], number: 4)),
            ("ended at", _root.Revoke([], 6, thisUpdate: Now.AddDays(-9), nextUpdate: Now.AddDays(-1))),
            ("begins at", _root.Revoke([], 6, thisUpdate: Now.AddDays(1))),
            ("but not its signature", Pem(good, TestAuthority.Root("plant", Now).Revoke([], 7))),
            ("malformed", good[..^20]),
            ("neither DER nor PEM", "no list"u8.ToArray()),
            ("something else", Encoding.ASCII.GetBytes(_root.Certificate.ExportCertificatePem())),
            ("critical extension 2.5.29.27", Partial(_root)),
            ("more than 2 MiB", new byte[CertificateAuthorities.MaxRevocationListBytes + 1]),
        };

        foreach (var (reason, list) in cases)
        {
            var refused = await Assert.ThrowsAsync<HubException>(() => SetAsync(RevocationCheck.HardFail, list));
            Assert.Equal(HubErrors.ArgumentInvalid, refused.Error);
            Assert.Contains(reason, refused.Message);
        }

        Assert.Contains("is revoked", await RefusalAsync(D1, _leaf1));
    }

    [Fact]
    public async Task List_AtAUrl_IsFetchedAnew_AndEndsTheLinkOfWhatItRevokes()
    {
        var answer = _root.Revoke([], number: 1);
        _hub.Fetch = (url, _) =>
        {
            Assert.Equal(Url, url.AbsoluteUri);
            _fetched.Release();
            return Task.FromResult(answer);
        };
        await _hub.Authorities.SetRevocationAsync(Owner, "plant", RevocationCheck.HardFail, null, Url, EntityTagCondition.Any, CancellationToken.None);
        await _fetched.WaitAsync(TestContext.Current.CancellationToken);
        var (link1, link2) = (await AttachAsync(D1, _leaf1), await AttachAsync(D2, _leaf2));
        using var stop = new CancellationTokenSource();
        var renewing = _hub.Authorities.RenewListsAsync(stop.Token);

        answer = _root.Revoke([_leaf1], number: 2);
        await BecomeDueAsync(() => link1.ClosedWith is not null);

        Assert.Equal(HubErrors.Unauthorized, link1.ClosedWith);
        Assert.Null(link2.ClosedWith);

        answer = [1, 2, 3];
        await BecomeDueAsync(() => _hub.Authorities.Show("plant").RenewalFault is not null);
        Assert.Contains("is revoked", await RefusalAsync(D1, _leaf1));

        answer = _root.Revoke([_leaf1], number: 3, nextUpdate: Now.AddDays(100));
        await BecomeDueAsync(() => _hub.Authorities.Show("plant").RenewalFault is null);
        await stop.CancelAsync();
        await renewing;
    }

    [Fact]
    public async Task List_ThatCannotBeFetched_IsSaidAtOnce()
    {
        var refused = await Assert.ThrowsAsync<HubException>(async () =>
            await _hub.Authorities.SetRevocationAsync(Owner, "plant", RevocationCheck.SoftFail, null, Url, EntityTagCondition.Any, CancellationToken.None));

        Assert.Contains("nothing is there", refused.Message);
        Assert.Equal(RevocationCheck.Off, _hub.Authorities.Show("plant").Record.Revocation);
    }

    private async Task<CertificateLink> AttachAsync(Identity identity, X509Certificate2 leaf)
    {
        var link = new CertificateLink(identity, (await _hub.ConnectAsync(identity, new PresentedCertificate(leaf, []))).Principal!);
        _hub.Connected.Attach(link);
        return link;
    }

    /// <summary>The list becomes due, and is fetched; what comes of that is told a moment later, on another thread.</summary>
    private async Task BecomeDueAsync(Func<bool> told)
    {
        _hub.Time.Advance(CertificateAuthorities.RenewalInterval);
        await _fetched.WaitAsync(TestContext.Current.CancellationToken);
        while (!told())
        {
            TestContext.Current.CancellationToken.ThrowIfCancellationRequested();
            await Task.Yield();
        }
    }

    private async Task SetAsync(RevocationCheck check, byte[]? lists) =>
        await _hub.Authorities.SetRevocationAsync(Owner, "plant", check, lists, null, EntityTagCondition.Any, CancellationToken.None);

    private Task<string?> RefusalAsync(Identity identity, X509Certificate2 leaf) => RefusalAsync(identity, new PresentedCertificate(leaf, []));

    private async Task<string?> RefusalAsync(Identity identity, PresentedCertificate shown)
    {
        var admission = await _hub.ConnectAsync(identity, shown);
        return admission.IsAdmitted ? null : admission.Reason;
    }

    private static string Serial(X509Certificate2 certificate) => certificate.SerialNumber.TrimStart('0');

    private static byte[] Pem(params byte[][] lists) => Encoding.ASCII.GetBytes(string.Join('\n', lists.Select(list => new string(PemEncoding.Write("X509 CRL", list)))));

    /// <summary>A list that says it is only the changes since another (RFC 5280, 5.2.4), signed by the authority.</summary>
    private static byte[] Partial(TestAuthority authority)
    {
        using var key = authority.Certificate.GetECDsaPrivateKey()!;
        var generator = X509SignatureGenerator.CreateForECDsa(key);
        var list = new AsnWriter(AsnEncodingRules.DER);
        using (list.PushSequence())
        {
            list.WriteInteger(1);
            list.WriteEncodedValue(generator.GetSignatureAlgorithmIdentifier(HashAlgorithmName.SHA256));
            list.WriteEncodedValue(authority.Certificate.SubjectName.RawData);
            list.WriteUtcTime(new DateTimeOffset(2026, 8, 1, 0, 0, 0, TimeSpan.Zero));
            list.WriteUtcTime(new DateTimeOffset(2026, 9, 1, 0, 0, 0, TimeSpan.Zero));
            using (list.PushSequence(new Asn1Tag(TagClass.ContextSpecific, 0)))
            using (list.PushSequence())
            using (list.PushSequence())
            {
                list.WriteObjectIdentifier("2.5.29.27");
                list.WriteBoolean(true);
                list.WriteOctetString([2, 1, 1]);
            }
        }

        var signed = list.Encode();
        var whole = new AsnWriter(AsnEncodingRules.DER);
        using (whole.PushSequence())
        {
            whole.WriteEncodedValue(signed);
            whole.WriteEncodedValue(generator.GetSignatureAlgorithmIdentifier(HashAlgorithmName.SHA256));
            whole.WriteBitString(generator.SignData(signed, HashAlgorithmName.SHA256));
        }

        return whole.Encode();
    }
}
