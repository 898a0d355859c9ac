using System.Security.Cryptography.X509Certificates;
using Sallyport.Hub.Access;
using Sallyport.Hub.Physical;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Posture;

/// <summary>
/// Looks for weak spots in configuration and registry. Reads snapshots only, a page of the registry at a time: the writer goes on, and memory stays
/// the same for a million identities. Thread-safe; one look at a time.
/// </summary>
/// <param name="facts">What the executable knows; asked at each look.</param>
public sealed class PostureCheck(
    IMetadata metadata, Policies policies, Quarantine quarantine, CloneSuspicion clones, Sightings sightings, Func<HubFacts> facts, TimeProvider time) : IDisposable
{
    private readonly SemaphoreSlim _oneLook = new(1, 1);

    /// <exception cref="HubException">503: somebody else is looking.</exception>
    public async Task<PostureReport> LookAsync(CancellationToken cancel)
    {
        if (!await _oneLook.WaitAsync(TimeSpan.Zero, cancel).ConfigureAwait(false))
            throw new HubException(HubErrors.ServiceUnavailable, "the posture is being looked at already; retry in some seconds");

        try
        {
            var now = time.GetUtcNow();
            var evidence = new Evidence(
                now,
                facts(),
                await RegistryTally.OfAsync(metadata, now, cancel).ConfigureAwait(false),
                metadata.Read(tx => metadata.Identities.FindShared(tx, Finding.MaxExamples)),
                policies.List(),
                PolicyAdvice.For(policies, metadata, WeakSpots.RightsUnusedFor, now),
                [.. metadata.Read(metadata.CertificateAuthorities.List).Select(authority => (authority.Name, EndOf(authority)))],
                (quarantine.Count, quarantine.List(null, Finding.MaxExamples)),
                clones.Reported,
                sightings)
            {
                IsLimitedByTag = metadata.Read(tx => metadata.Policies.ListDeviceTags(tx).Count > 0 || metadata.CertificateAuthorities.List(tx).Any(authority => authority.DeviceTags.Length > 0)),
            };
            var findings = WeakSpots.All.Select(spot => spot.Look(evidence)).OfType<Finding>();
            return new PostureReport(now, sightings.Since, [.. findings.OrderByDescending(finding => finding.Level).ThenBy(finding => finding.Id, StringComparer.Ordinal)]);
        }
        finally
        {
            _oneLook.Release();
        }
    }

    public void Dispose() => _oneLook.Dispose();

    private static DateTimeOffset EndOf(CertificateAuthorityRecord authority)
    {
        using var certificate = X509CertificateLoader.LoadCertificate(authority.Certificate);
        return new DateTimeOffset(certificate.NotAfter.ToUniversalTime(), TimeSpan.Zero);
    }
}
