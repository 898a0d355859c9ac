using System.Net;
using System.Text.RegularExpressions;
using Sallyport.Hub.Access;
using Sallyport.Hub.Posture;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Sas;
using Sallyport.Storage.Metadata;
using Sallyport.Tests.Executable;
using Microsoft.Extensions.Time.Testing;

namespace Sallyport.Tests.Hub.Posture;

/// <summary>Each weak spot appears when it is there, says how bad it is, and is gone when it is mended.</summary>
public sealed class WeakSpotsTests
{
    private static readonly FakeTimeProvider Time = new(new DateTimeOffset(2026, 11, 24, 12, 0, 0, TimeSpan.Zero));
    private static readonly DateTimeOffset Now = Time.GetUtcNow();

    private static Evidence Calm => new(
        Now, new HubFacts { IsProduction = true, MaxTokenLifetime = TimeSpan.FromDays(1), KeyFile = "/etc/sallyport/key", DataDirectory = "/var/lib/sallyport/data" }, new RegistryTally(), (0, []),
        [new PolicyRecord("iothubowner", (long)AzureRights.All, "k", "k", 1, Now)], [], [], (0, []), [], new Sightings(Time));

    [Fact]
    public void Hub_WithoutWeakSpots_HasNoFinding() => Assert.Empty(WeakSpots.All.Select(spot => spot.Look(Calm)).OfType<Finding>());

    [Fact]
    public void Page_ListsEveryWeakSpot()
    {
        var listed = Regex.Matches(SourceTree.Read("docs/posture.md"), @"^\| `([a-z0-9-]+)` \|", RegexOptions.Multiline).Select(match => match.Groups[1].Value);

        Assert.Equal(WeakSpots.All.Select(spot => spot.Id).Order(StringComparer.Ordinal), listed);
    }

    [Theory]
    [InlineData((long)AzureRights.All, PostureLevel.Critical)]
    [InlineData((long)AzureRights.ServiceConnect | (long)Rights.DeviceConnect, PostureLevel.High)]
    [InlineData((long)AzureRights.DeviceConnect, null)]
    public void BroadPolicyOnDevices_ByItsRights(long rights, PostureLevel? level)
    {
        var seen = new Sightings(Time);
        seen.Admitted(Token(PrincipalKind.Policy, "p", TimeSpan.FromHours(1)), "d1");
        var evidence = Calm with { Seen = seen, Policies = [new PolicyRecord("p", rights, "k", "k", 1, Now)] };

        Expect("broad-policy-on-devices", level, evidence, "policy p on d1");
    }

    [Fact]
    public void BroadPolicy_OnServicesOnly_IsNoFinding()
    {
        var seen = new Sightings(Time);
        seen.Admitted(Token(PrincipalKind.Policy, "iothubowner", TimeSpan.FromHours(1)), device: null);

        Expect("broad-policy-on-devices", null, Calm with { Seen = seen });
    }

    [Theory]
    [InlineData(31, null)]
    [InlineData(29, PostureLevel.High)]
    [InlineData(-1, PostureLevel.Critical)]
    public void CertificatesThatEnd_ByTheirDays(int days, PostureLevel? level)
    {
        var ends = Now.AddDays(days);

        Expect("certificate-authority-ends", level, Calm with { Authorities = [("plant", ends)] }, $"plant ({ends:yyyy-MM-dd})");
        Expect("server-certificate-ends", level, With(facts => facts with { ServerCertificateEnds = ends }), $"{ends:yyyy-MM-dd}");
    }

    [Fact]
    public void OldKeysInTheKeyFile_AreARotationThatIsNotFinished()
    {
        Expect("rotation-unfinished", null, Calm);
        Expect("rotation-unfinished", PostureLevel.Medium, With(facts => facts with { OldKeys = ["5b07d17f860b3bff"] }), "key 5b07d17f860b3bff");
    }

    [Fact]
    public void DevelopmentRootAndOwnerString_WeighMoreBeyondThisMachine()
    {
        var quiet = With(facts => facts with { UsesDevelopmentRoot = true, OwnerStringFile = "/d/endpoints.json" });
        var open = quiet with { Facts = quiet.Facts with { OpenAddresses = ["0.0.0.0:443"] } };

        Expect("development-root", PostureLevel.Low, quiet);
        Expect("development-root", PostureLevel.High, open);
        Expect("owner-string-on-disk", PostureLevel.Low, quiet, "/d/endpoints.json");
        Expect("owner-string-on-disk", PostureLevel.High, open, "/d/endpoints.json");
    }

    [Fact]
    public void ExposedPolicyKeys_GoWithTheKey()
    {
        var seen = new Sightings(Time);
        var policy = new PolicyRecord("service", (long)Rights.TelemetryRead, "one", "two", 1, Now);
        seen.KeyExposed("service", KeyPair.DigestOf("two"));

        Expect("exposed-policy-keys", PostureLevel.High, Calm with { Seen = seen, Policies = [policy] }, "service");
        Expect("exposed-policy-keys", null, Calm with { Seen = seen, Policies = [policy with { SecondaryKey = "three" }] });
    }

    [Fact]
    public void InsecureSwitch_ByItsPapers()
    {
        Expect("insecure-switch", PostureLevel.Medium, With(facts => facts with { Loosened = [new("A:InsecureB", "alice; why; 2027-01-01", null, false)] }), "A:InsecureB = alice; why; 2027-01-01");
        Expect("insecure-switch", PostureLevel.High, With(facts => facts with { Loosened = [new("A:InsecureB", "true", "no papers", false)] }), "A:InsecureB = true (no papers)");
        Expect("insecure-switch", PostureLevel.Critical, With(facts => facts with { Loosened = [new("A:InsecureB", "alice; why; 2026-01-01", "over", true)] }));
    }

    [Theory]
    [InlineData("/home/me/sallyport/keys/1.key", "/home/me/sallyport/data", true)]
    [InlineData("/home/me/sallyport/data.key", "/home/me/sallyport/data", true)]
    [InlineData("/run/credentials/sallyport-key", "/var/lib/sallyport", false)]
    [InlineData("/key", "/data", false)]
    public void KeyFileBesideData_ByTheFolderAround(string key, string data, bool isBeside) =>
        Expect("key-file-beside-data", isBeside ? PostureLevel.Medium : null, With(facts => facts with { KeyFile = key, DataDirectory = data }), key);

    [Theory]
    [InlineData(24, null)]
    [InlineData(25, PostureLevel.Medium)]
    [InlineData(365 * 24, PostureLevel.High)]
    public void LongLivedTokens_ByTheirHours(int hours, PostureLevel? level)
    {
        var seen = new Sightings(Time);
        seen.Admitted(Token(PrincipalKind.Device, "d1", TimeSpan.FromHours(hours)), "d1");
        seen.Admitted(Token(PrincipalKind.Device, "d1", TimeSpan.FromHours(1)), "d1");

        Expect("long-lived-tokens", level, Calm with { Seen = seen }, string.Create(System.Globalization.CultureInfo.InvariantCulture, $"d1: {hours / 24.0:0.#} days"));
    }

    [Fact]
    public void NoTokenLifetimeMaximum_GoesWithOne() =>
        Expect("no-token-lifetime-maximum", PostureLevel.Low, With(facts => facts with { MaxTokenLifetime = null }));

    [Fact]
    public void Certificates_AreNoLongLivedTokens()
    {
        var seen = new Sightings(Time);
        seen.Admitted(new Principal(PrincipalKind.Device, "d1", Rights.DeviceConnect, Now.AddYears(10), "{\"type\":\"x509\"}", ""), "d1");

        Expect("long-lived-tokens", null, Calm with { Seen = seen });
    }

    [Fact]
    public void Sightings_AtTheirBound_TakeNoFurtherSubject()
    {
        var seen = new Sightings(Time);
        for (var i = 0; i <= Sightings.MaxSubjects; i++)
            seen.Admitted(Token(PrincipalKind.Device, $"d{i}", TimeSpan.FromDays(2)), $"d{i}");
        seen.Admitted(Token(PrincipalKind.Device, "d0", TimeSpan.FromDays(3)), "d0");

        Assert.Equal(Sightings.MaxSubjects, seen.LongTokens().Count);
        Assert.Equal(new LongToken("d0", TimeSpan.FromDays(3)), seen.LongTokens()[0]);
        Assert.Equal(10, WeakSpots.All.Single(spot => spot.Id == "long-lived-tokens").Look(Calm with { Seen = seen })!.Examples.Count);
    }

    [Fact]
    public void OpenWithoutProduction_GoesWithProduction()
    {
        var open = With(facts => facts with { IsProduction = false, OpenAddresses = ["0.0.0.0:8883"] });

        Expect("open-without-production", PostureLevel.High, open, "0.0.0.0:8883");
        Expect("open-without-production", null, open with { Facts = open.Facts with { IsProduction = true } });
        Expect("open-without-production", null, open with { Facts = open.Facts with { OpenAddresses = [] } });
    }

    [Fact]
    public void PlainConnections_AreNamed() => Expect("plain-connections", PostureLevel.Low, With(facts => facts with { PlainConnections = ["warehouse"] }), "warehouse");

    [Fact]
    public void PolicyKeysNeverRenewed_ByAgeAndGeneration()
    {
        var policy = new PolicyRecord("service", 1, "k", "k", 1, Now.AddDays(-366));

        Expect("policy-keys-never-renewed", PostureLevel.Medium, Calm with { Policies = [policy] }, "service");
        Expect("policy-keys-never-renewed", null, Calm with { Policies = [policy with { Generation = 2 }] });
        Expect("policy-keys-never-renewed", null, Calm with { Policies = [policy with { CreatedTime = Now.AddDays(-364) }] });
    }

    [Fact]
    public void UnusedRights_AppearAfter30DaysOfWatching_AndGoWhenNarrowed()
    {
        var advice = new PolicyAdvice("dash", Rights.TelemetryRead | Rights.TwinRead, Rights.TwinRead, Rights.TelemetryRead, Now.AddDays(-30), Now);

        Expect("unused-rights", PostureLevel.Low, Calm with { Advice = [advice] }, "dash: twin-read");
        Expect("unused-rights", null, Calm with { Advice = [advice with { ObservedSince = Now.AddDays(-29) }] });
        Expect("unused-rights", null, Calm with { Advice = [advice with { Unused = Rights.None }] });
    }

    [Fact]
    public void QuarantineAndClones_AreNamed()
    {
        Expect("quarantined-devices", PostureLevel.Info, Calm with { Quarantined = (1, [new("d1", Now, "rule:tamper", "")]) }, "d1 (since 2026-11-24, rule:tamper)");
        Expect(
            "suspected-clones", PostureLevel.High,
            Calm with { Clones = [new(Identity.Of("d1"), [IPAddress.Parse("10.0.0.1"), IPAddress.Parse("10.0.0.2")], 6, Now)] }, "d1: 10.0.0.1, 10.0.0.2");
    }

    [Fact]
    public void SharedCredentials_AreCounted() => Expect("shared-credentials", PostureLevel.High, Calm with { Shared = (3, ["d1, d2"]) }, "d1, d2");

    [Fact]
    public void Tls12Clients_AreCountedWithTheLast()
    {
        var seen = new Sightings(Time);
        seen.OldTlsFrom(IPAddress.Parse("10.0.0.1"));
        seen.OldTlsFrom(IPAddress.Parse("10.0.0.2"));
        var evidence = Calm with { Seen = seen };

        Expect("tls12-clients", PostureLevel.Low, evidence, "10.0.0.2");
        Assert.Equal(2, WeakSpots.All.Single(spot => spot.Id == "tls12-clients").Look(evidence)!.Count);
    }

    [Fact]
    public void TagLimitsWritable_ByWhoHoldsTwinWriteForAllDevices_AndDoesNotManageAccess()
    {
        var service = new PolicyRecord("service", (long)AzureRights.ServiceConnect, "k", "k", 1, Now);
        var evidence = Calm with { IsLimitedByTag = true, Policies = [.. Calm.Policies, service] };

        Expect("tag-limits-writable", PostureLevel.Low, evidence, "service");
        Expect("tag-limits-writable", null, evidence with { IsLimitedByTag = false });
        Expect("tag-limits-writable", null, evidence with { Policies = [service with { DeviceTags = "site%3Dberlin" }, service with { DevicePrefixes = "plant-" }, service with { Rights = (long)Rights.TwinRead }] });
    }

    private static Principal Token(PrincipalKind kind, string name, TimeSpan lifetime) => new(
        kind, name, Rights.DeviceConnect, Now + lifetime + SharedAccessSignature.ClockSkew, kind is PrincipalKind.Policy ? AuthMethod.HubSas : AuthMethod.DeviceSas, "");

    private static Evidence With(Func<HubFacts, HubFacts> change) => Calm with { Facts = change(Calm.Facts) };

    private static void Expect(string id, PostureLevel? level, Evidence evidence, params string[] examples)
    {
        var finding = WeakSpots.All.Single(spot => spot.Id == id).Look(evidence);

        Assert.Equal(level, finding?.Level);
        if (finding is null)
            return;

        Assert.Equal(id, finding.Id);
        Assert.NotEmpty(finding.Fix);
        if (examples.Length > 0)
            Assert.Equal(examples, finding.Examples);
    }
}
