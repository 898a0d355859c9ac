using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging.Abstractions;
using Sallyport.Hub.Access;
using Sallyport.Hub.Physical;
using Sallyport.Hub.Posture;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;
using Sallyport.Tests.Hub.Access;
using Sallyport.Tests.Hub.Registry;

namespace Sallyport.Tests.Hub.Posture;

/// <summary>Posture over a real registry.</summary>
public sealed class PostureCheckTests : IAsyncLifetime
{
    private static readonly string Key = Convert.ToBase64String(Enumerable.Repeat((byte)7, 32).ToArray());

    private RegistryFixture _fixture = null!;
    private Policies _policies = null!;
    private Quarantine _quarantine = null!;
    private PostureCheck _check = null!;

    private static CancellationToken Cancel => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync()
    {
        _fixture = await RegistryFixture.OpenAsync(new RegistryOptions { AllowSharedCredentials = true });
        _policies = await Policies.OpenAsync(_fixture.Metadata, _fixture.Tags, _fixture.Audit, _fixture.Time, Cancel);
        _quarantine = new Quarantine(_fixture.Metadata, new QuarantineLine(), _fixture.Audit, _fixture.Time);
        var clones = new CloneSuspicion(new CloneRule(), _quarantine, _fixture.Audit, _fixture.Time, NullLogger<CloneSuspicion>.Instance);
        _check = new PostureCheck(
            _fixture.Metadata, _policies, _quarantine, clones, new Sightings(_fixture.Time), () => new HubFacts { IsProduction = true, MaxTokenLifetime = TimeSpan.FromDays(1) }, _fixture.Time);
    }

    public async ValueTask DisposeAsync()
    {
        _check.Dispose();
        _quarantine.Dispose();
        _policies.Dispose();
        await _fixture.DisposeAsync();
    }

    [Fact]
    public async Task Look_AtANewHub_FindsNothing()
    {
        await _fixture.CreateAsync("d1");

        var report = await _check.LookAsync(Cancel);

        Assert.Empty(report.Findings);
        Assert.Null(report.Worst);
    }

    [Fact]
    public async Task NeverConnected_AppearsAfter90Days_AndGoesWhenItConnectsOrIsDisabled()
    {
        await _fixture.CreateAsync("d1");
        await _fixture.CreateAsync("d2");
        _fixture.Time.Advance(TimeSpan.FromDays(89));
        Assert.Null(await FindAsync("never-connected"));
        _fixture.Time.Advance(TimeSpan.FromDays(2));

        Assert.Equal(["d1", "d2"], (await FindAsync("never-connected"))!.Examples);
        await _fixture.UpdateAsync("d1", new IdentityDraft { Enabled = false });
        await ActiveAsync("d2");
        Assert.Null(await FindAsync("never-connected"));
    }

    [Fact]
    public async Task UnusedIdentities_AppearAfter90DaysOfSilence_AndGoWhenHeardOf()
    {
        await _fixture.CreateAsync("d1");
        await ActiveAsync("d1");
        Assert.Null(await FindAsync("unused-identities"));
        _fixture.Time.Advance(TimeSpan.FromDays(91));

        Assert.Equal(["d1 (2026-01-02)"], (await FindAsync("unused-identities"))!.Examples);
        await ActiveAsync("d1");
        Assert.Null(await FindAsync("unused-identities"));
    }

    [Fact]
    public async Task SecondaryKeysNeverRenewed_AppearAfterAYear_AndGoWithARenewal()
    {
        await _fixture.CreateAsync("d1");
        await _fixture.CreateAsync("c1", draft: new() { Credential = new() { PrimaryThumbprint = new string('A', 40) } });
        _fixture.Time.Advance(TimeSpan.FromDays(366));

        Assert.Equal(["d1"], (await FindAsync("secondary-keys-never-renewed"))!.Examples);
        await _fixture.UpdateAsync("d1", new IdentityDraft { Renewal = KeyRenewal.Secondary });
        Assert.Null(await FindAsync("secondary-keys-never-renewed"));
    }

    [Fact]
    public async Task SharedCredentials_Appear_AndGoWithARenewal()
    {
        await _fixture.CreateAsync("d1", draft: new() { Credential = new() { PrimaryKey = Key } });
        await _fixture.CreateAsync("d2", draft: new() { Credential = new() { SecondaryKey = Key } });

        var shared = await FindAsync("shared-credentials");
        Assert.Equal((1, "d1, d2"), (shared!.Count, shared.Examples.Single()));
        await _fixture.UpdateAsync("d2", new IdentityDraft { Renewal = KeyRenewal.Secondary });
        Assert.Null(await FindAsync("shared-credentials"));
    }

    [Fact]
    public async Task CertificateAuthorityEnds_AppearsWithItsDay_AndGoesWithItsSuccessor()
    {
        await PutAuthorityAsync(days: 20);
        Assert.Equal("plant (2026-01-22)", (await FindAsync("certificate-authority-ends"))!.Examples.Single());

        await PutAuthorityAsync(days: 2000);
        Assert.Null(await FindAsync("certificate-authority-ends"));
    }

    [Fact]
    public async Task QuarantinedDevices_Appear_AndGoWithTheRelease()
    {
        await _fixture.CreateAsync("d1");
        await _quarantine.PlaceAsync(RegistryFixture.Owner, "d1", "", Cancel);
        Assert.Equal(PostureLevel.Info, (await _check.LookAsync(Cancel)).Worst);

        await _quarantine.ReleaseAsync(RegistryFixture.Owner, "d1", "", Cancel);
        Assert.Null(await FindAsync("quarantined-devices"));
    }

    [Fact]
    public async Task Look_AtManyPages_CountsAllAndShowsTen_AndWritesGoOn()
    {
        await _fixture.Metadata.WriteAsync(tx =>
        {
            for (var i = 0; i < 2500; i++)
                _fixture.Metadata.Identities.Put(tx, new IdentityRecord { DeviceId = $"d{i:0000}", GenerationId = "1", ETag = 1 });
            return true;
        });

        var look = _check.LookAsync(Cancel);
        await _fixture.CreateAsync("e1");
        var never = (await look).Findings.Single(finding => finding.Id == "never-connected");

        Assert.Equal((2500, 10, "d0009"), (never.Count, never.Examples.Count, never.Examples[^1]));
    }

    [Fact]
    public async Task Look_OfASecondAtOnce_IsRefused()
    {
        using var inside = new ManualResetEventSlim();
        using var goOn = new ManualResetEventSlim();
        using var slow = new PostureCheck(
            _fixture.Metadata, _policies, _quarantine,
            new CloneSuspicion(new CloneRule(), _quarantine, _fixture.Audit, _fixture.Time, NullLogger<CloneSuspicion>.Instance), new Sightings(_fixture.Time),
            () =>
            {
                inside.Set();
                goOn.Wait(Cancel);
                return new HubFacts();
            },
            _fixture.Time);
        var first = Task.Run(() => slow.LookAsync(Cancel), Cancel);
        inside.Wait(Cancel);

        await RegistryFixture.RefusedAsync(HubErrors.ServiceUnavailable, () => slow.LookAsync(Cancel));
        goOn.Set();
        await first;
    }

    [Fact]
    public async Task TagLimitsWritable_AppearsWithALimitByTag_AndGoesWithIt()
    {
        Assert.Null(await FindAsync("tag-limits-writable"));
        await _policies.CreateAsync(RegistryFixture.Owner, "berlin", Rights.TwinRead, ScopeTests.Of(_fixture.Tags, "site=berlin"), null, null, Cancel);

        Assert.Equal(["service"], (await FindAsync("tag-limits-writable"))!.Examples);
        await _policies.DeleteAsync(RegistryFixture.Owner, "berlin", EntityTagCondition.Any, Cancel);
        Assert.Null(await FindAsync("tag-limits-writable"));
    }

    private async Task PutAuthorityAsync(int days)
    {
        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        using var root = new CertificateRequest("CN=plant", key, HashAlgorithmName.SHA256).CreateSelfSigned(_fixture.Time.GetUtcNow(), _fixture.Time.GetUtcNow().AddDays(days));
        var record = new CertificateAuthorityRecord
        {
            Name = "plant", Certificate = root.Export(X509ContentType.Cert), ETag = 1, Verified = true, CreatedTime = _fixture.Time.GetUtcNow(), UpdatedTime = _fixture.Time.GetUtcNow(),
        };
        await _fixture.Metadata.WriteAsync(tx =>
        {
            _fixture.Metadata.CertificateAuthorities.Put(tx, record);
            return true;
        });
    }

    private async Task<Finding?> FindAsync(string id) => (await _check.LookAsync(Cancel)).Findings.SingleOrDefault(finding => finding.Id == id);

    private async Task ActiveAsync(string deviceId)
    {
        _fixture.Activity.Seen(Sallyport.Protocol.Identities.Identity.Of(deviceId));
        await _fixture.Activity.FlushAsync(Cancel);
    }
}
