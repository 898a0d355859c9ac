using System.Globalization;
using Sallyport.Hub.Access;
using Sallyport.Hub.Physical;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Posture;

/// <summary>Everything that is looked at for weak spots: gathered once, then only read.</summary>
internal sealed record Evidence(
    DateTimeOffset Now, HubFacts Facts, RegistryTally Registry, (long Count, IReadOnlyList<string> Examples) Shared, IReadOnlyList<PolicyRecord> Policies, IReadOnlyList<PolicyAdvice> Advice,
    IReadOnlyList<(string Name, DateTimeOffset Ends)> Authorities, (int Count, IReadOnlyList<QuarantineRecord> First) Quarantined, IReadOnlyList<SuspectedClone> Clones, Sightings Seen)
{
    /// <summary>Somebody's rights, or a certificate authority, are limited by tag.</summary>
    public bool IsLimitedByTag { get; init; }

    public string SeenSince => $"since {Seen.Since.UtcDateTime:yyyy-MM-dd HH:mm}Z";
}

/// <param name="Look">The finding when the weak spot is there; else null.</param>
internal sealed record WeakSpot(string Id, Func<Evidence, Finding?> Look);

/// <summary>
/// Every weak spot that posture knows, an entry each; <c>docs/posture.md</c> is held to this table by a test. A further one is an entry here, what it
/// needs in <see cref="Evidence"/>, a line on that page, and a test that makes it appear and disappear.
/// </summary>
internal static class WeakSpots
{
    private static readonly TimeSpan SoonEnds = TimeSpan.FromDays(30);
    private static readonly TimeSpan VerySoonEnds = TimeSpan.FromDays(7);
    /// <summary>The default of <c>policy advise</c>.</summary>
    public static readonly TimeSpan RightsUnusedFor = TimeSpan.FromDays(30);

    private static readonly TimeSpan VeryLongLived = TimeSpan.FromDays(30);

    public static readonly IReadOnlyList<WeakSpot> All =
    [
        new("broad-policy-on-devices", BroadPolicyOnDevices),
        new("certificate-authority-ends", CertificateAuthorityEnds),
        new("development-root", DevelopmentRoot),
        new("exposed-policy-keys", ExposedPolicyKeys),
        new("insecure-switch", InsecureSwitch),
        new("key-file-beside-data", KeyFileBesideData),
        new("long-lived-tokens", LongLivedTokens),
        new("never-connected", e => Some("never-connected", PostureLevel.Low, "Identities are enabled and have never connected: nobody would notice who uses their keys.",
            "registry", e.Registry.NeverConnected, "device-identity delete -d ID, or device-identity update -d ID --status disabled")),
        new("no-token-lifetime-maximum", NoTokenLifetimeMaximum),
        new("open-without-production", OpenWithoutProduction),
        new("owner-string-on-disk", OwnerStringOnDisk),
        new("plain-connections", PlainConnections),
        new("policy-keys-never-renewed", PolicyKeysNeverRenewed),
        new("quarantined-devices", QuarantinedDevices),
        new("rotation-unfinished", RotationUnfinished),
        new("secondary-keys-never-renewed", e => Some("secondary-keys-never-renewed", PostureLevel.Low,
            $"Secondary keys are older than {RegistryTally.OldKeyAfter.TotalDays:0} days, or than this hub's notes: whoever ever had one still has it.",
            "registry", e.Registry.OldSecondaryKeys, "device-identity renew-key -d ID --key-type secondary")),
        new("server-certificate-ends", ServerCertificateEnds),
        new("shared-credentials", SharedCredentials),
        new("suspected-clones", SuspectedClones),
        new("tag-limits-writable", TagLimitsWritable),
        new("tls12-clients", Tls12Clients),
        new("unused-identities", e => Some("unused-identities", PostureLevel.Low, $"Identities are enabled and were not heard of for {RegistryTally.UnusedAfter.TotalDays:0} days.",
            "registry", e.Registry.Unused, "device-identity delete -d ID, or device-identity update -d ID --status disabled")),
        new("unused-rights", UnusedRights),
    ];

    private static Finding? BroadPolicyOnDevices(Evidence e)
    {
        var broad = (from seen in e.Seen.PoliciesOfDevices()
                     join policy in e.Policies on seen.Key equals policy.Name
                     let rights = (Rights)policy.Rights
                     where (rights & ~Rights.DeviceConnect) is not Rights.None
                     orderby policy.Name
                     select (Text: $"policy {policy.Name} on {seen.Value}", HoldsAll: rights == AzureRights.All)).ToList();
        return Some("broad-policy-on-devices", broad.Exists(policy => policy.HoldsAll) ? PostureLevel.Critical : PostureLevel.High,
            $"Devices connect with the token of a policy that may do more than connect, {e.SeenSince}: whoever opens one device has those rights.",
            "policies", [.. broad.Select(policy => policy.Text)], "give devices keys of their own, or policy create -n devices --permissions DeviceConnect; then policy renew-key of the broad one");
    }

    private static Finding? CertificateAuthorityEnds(Evidence e)
    {
        var ending = e.Authorities.Where(authority => authority.Ends - e.Now < SoonEnds).OrderBy(authority => authority.Ends).ToList();
        return Some("certificate-authority-ends", ending.Exists(authority => authority.Ends - e.Now < VerySoonEnds) ? PostureLevel.Critical : PostureLevel.High,
            "A certificate authority of devices ends soon or has ended: its devices are refused from then on.",
            "certificate list", [.. ending.Select(authority => $"{authority.Name} ({Day(authority.Ends)})")], "certificate create of its successor, and certificates of devices from that");
    }

    private static Finding? DevelopmentRoot(Evidence e) => e.Facts.UsesDevelopmentRoot
        ? new("development-root", Exposed(e), "The server's certificate comes from the generated development root, whose key lies in the data directory.",
            "Tls:CertificateFile", 1, [], "--tls-certificate FILE --tls-key FILE, from an authority that clients trust")
        : null;

    private static Finding? ExposedPolicyKeys(Evidence e) => Some(
        "exposed-policy-keys", PostureLevel.High, $"Keys of policies were sent as they are, over SASL PLAIN, {e.SeenSince}: whatever stood between may have read them, and they open until they are renewed.",
        "policies", [.. e.Policies.Where(e.Seen.IsExposed).Select(policy => policy.Name)], "clients that make tokens; then policy renew-key -n NAME");

    private static Finding? InsecureSwitch(Evidence e) => Some(
        "insecure-switch",
        e.Facts.Loosened.Any(loosened => loosened.IsOver) ? PostureLevel.Critical : e.Facts.Loosened.Any(loosened => loosened.Objection is not null) ? PostureLevel.High : PostureLevel.Medium,
        "A defence is loosened; docs/insecure-switches.md says what that costs.",
        "settings",
        [.. e.Facts.Loosened.Select(loosened => $"{loosened.Setting} = {loosened.Value}{(loosened.Objection is null ? "" : $" ({loosened.Objection})")}")],
        "leave the setting out, or name its owner, reason and last day");

    private static Finding? KeyFileBesideData(Evidence e)
    {
        var around = Path.GetDirectoryName(e.Facts.DataDirectory);
        return around is { Length: > 1 } && e.Facts.KeyFile.StartsWith(around + Path.DirectorySeparatorChar, StringComparison.Ordinal)
            ? new("key-file-beside-data", PostureLevel.Medium, "The key that encrypts secrets at rest lies in the folder around the data directory: a copy or backup of that folder holds both.",
                "Hub:KeyFile", 1, [e.Facts.KeyFile], "--key-file FILE on another disk, or the systemd credential sallyport-key")
            : null;
    }

    private static Finding? LongLivedTokens(Evidence e)
    {
        var tokens = e.Seen.LongTokens();
        return Some("long-lived-tokens", tokens.Any(token => token.Lifetime > VeryLongLived) ? PostureLevel.High : PostureLevel.Medium,
            $"Tokens that live longer than a day were shown, {e.SeenSince}: one that leaks opens as long.",
            "tokens", [.. tokens.Select(token => string.Create(CultureInfo.InvariantCulture, $"{token.Subject}: {token.Lifetime.TotalDays:0.#} days"))],
            "make tokens for hours and renew them, as SDKs do by themselves from a connection string");
    }

    private static Finding? NoTokenLifetimeMaximum(Evidence e) => e.Facts.MaxTokenLifetime is null
        ? new("no-token-lifetime-maximum", PostureLevel.Low, "Tokens may live as long as their makers like: one that leaks may open for years.",
            "Access:MaxTokenLifetimeMinutes", 1, [], "Access:MaxTokenLifetimeMinutes 1440, or what your services need; SDKs make tokens of 60 minutes")
        : null;

    private static Finding? OpenWithoutProduction(Evidence e) => e.Facts.IsProduction ? null : Some(
        "open-without-production", PostureLevel.High, "The hub listens beyond this machine in development mode, which takes what production refuses.",
        "Listeners:Bind", e.Facts.OpenAddresses, "--production");

    private static Finding? OwnerStringOnDisk(Evidence e) => e.Facts.OwnerStringFile is { } file
        ? new("owner-string-on-disk", Exposed(e), "The owner's connection string lies on disk in the clear: whoever reads the file holds every right.",
            "endpoints.json", 1, [file], "--production; then owner recover renews the keys")
        : null;

    private static Finding? PlainConnections(Evidence e) => Some(
        "plain-connections", PostureLevel.Low, "Connections may write to their target without TLS; only this machine is let be such a target.",
        "connection list", e.Facts.PlainConnections, "SSL Mode=VerifyFull in the connection string, or Outgoing:AllowLoopback false");

    private static Finding? PolicyKeysNeverRenewed(Evidence e) => Some(
        "policy-keys-never-renewed", PostureLevel.Medium, $"Policies are older than {RegistryTally.OldKeyAfter.TotalDays:0} days and no key of theirs was ever renewed.",
        "policies", [.. e.Policies.Where(policy => policy.Generation == 1 && e.Now - policy.CreatedTime > RegistryTally.OldKeyAfter).Select(policy => policy.Name)],
        "policy renew-key -n NAME --renew-key secondary, move its users over, then the primary");

    private static Finding? RotationUnfinished(Evidence e) => Some(
        "rotation-unfinished", PostureLevel.Medium, "The key file holds older keys below the newest: what they sealed opens with them still.",
        "Hub:KeyFile", [.. e.Facts.OldKeys.Select(key => $"key {key}")], "secrets rotate, which goes on where it was and says what is left to do");

    private static Finding? QuarantinedDevices(Evidence e) => e.Quarantined.Count == 0 ? null : new(
        "quarantined-devices", PostureLevel.Info, "Devices are in quarantine: somebody has to look at them.", "device list-quarantined",
        e.Quarantined.Count, [.. e.Quarantined.First.Select(device => $"{device.DeviceId} (since {Day(device.Since)}, {device.PlacedBy})")], "look at the device; then device release ID, or device-identity delete");

    private static Finding? ServerCertificateEnds(Evidence e) => e.Facts.ServerCertificateEnds is { } ends && ends - e.Now < SoonEnds
        ? new("server-certificate-ends", ends - e.Now < VerySoonEnds ? PostureLevel.Critical : PostureLevel.High, "The server's certificate ends soon or has ended: every client refuses the hub from then on.",
            "Tls:CertificateFile", 1, [Day(ends)], "put its successor in place of the file; it is taken without a restart")
        : null;

    private static Finding? SharedCredentials(Evidence e) => e.Shared.Count == 0 ? null : new(
        "shared-credentials", PostureLevel.High, "Identities have the same key or thumbprint: whoever opens one of them is the others too.",
        "registry", e.Shared.Count, e.Shared.Examples, "device-identity renew-key -d ID --key-type both, for all but one");

    private static Finding? SuspectedClones(Evidence e) => Some(
        "suspected-clones", PostureLevel.High, $"A credential was used from addresses in turn, {e.SeenSince}: it may have been copied.",
        "registry", [.. e.Clones.Select(clone => $"{clone.Identity}: {string.Join(", ", clone.Addresses)}")], "device quarantine ID; then device-identity renew-key -d ID --key-type both");

    // Who manages access grants by itself what a tag would.
    private static Finding? TagLimitsWritable(Evidence e) => !e.IsLimitedByTag ? null : Some(
        "tag-limits-writable", PostureLevel.Low, "Rights or certificate authorities are limited by tag, and policies that do not manage access may write the tags of every device: whoever has their key decides who reaches which.",
        "policies", [.. e.Policies.Where(policy => ((Rights)policy.Rights & (Rights.TwinWrite | Rights.AccessManage)) == Rights.TwinWrite && !Scope.Of(policy).LimitsDevices).Select(policy => policy.Name)],
        "policy update -n NAME without twin-write, or with --device-prefix or --device-tag");

    private static Finding? Tls12Clients(Evidence e) => e.Seen.OldTls is { Count: > 0 and var count, LastAddress: var last }
        ? new("tls12-clients", PostureLevel.Low, $"Clients speak TLS 1.2, {e.SeenSince}: sound, but the next thing to go.", "connections", count, last is null ? [] : [last], "newer SDKs and firmware on these devices")
        : null;

    // Before it was watched for so long, nobody knows what it will use.
    private static Finding? UnusedRights(Evidence e) => Some(
        "unused-rights", PostureLevel.Low, $"Policies or operators hold rights that they did not use for {RightsUnusedFor.TotalDays:0} days: whoever takes their key over has them.",
        "policies",
        [.. e.Advice.Where(advice => advice.Unused is not Rights.None && e.Now - advice.ObservedSince >= RightsUnusedFor).Select(advice => $"{advice.Name}: {RightsText.Format(advice.Unused)}")],
        "policy advise prints the narrower policy");

    // In development, on this machine alone, it is as it should be.
    private static PostureLevel Exposed(Evidence e) => e.Facts.OpenAddresses.Count > 0 ? PostureLevel.High : PostureLevel.Low;

    private static string Day(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-dd", CultureInfo.InvariantCulture);

    private static Finding? Some(string id, PostureLevel level, string what, string where, IReadOnlyList<string> all, string fix) =>
        all.Count == 0 ? null : new Finding(id, level, what, where, all.Count, [.. all.Take(Finding.MaxExamples)], fix);

    private static Finding? Some(string id, PostureLevel level, string what, string where, Tally tally, string fix) =>
        tally.Count == 0 ? null : new Finding(id, level, what, where, tally.Count, tally.Examples, fix);
}
