using Sallyport.Hub.Access;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Limits;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Diagnosis;

/// <summary>Why an identity is in or out, as far as memory goes. Immutable.</summary>
/// <param name="Subject">The device or module, whether it exists or not.</param>
/// <param name="IsRegistered">False: the attempts are what strangers tried under that name.</param>
/// <param name="IsEnabled">Null when it does not exist.</param>
/// <param name="Link">The live session; null when there is none over a protocol that holds one.</param>
/// <param name="ClockSkew">The latest estimate of how far its clock is from the hub's; see <see cref="Attempt.ClockSkew"/>.</param>
/// <param name="Throttling">How often its messages and connections were held back.</param>
/// <param name="Failing">Addresses whose credentials for it fail again and again; while one is refused before TLS it leaves no attempts.</param>
/// <param name="Attempts">The newest first.</param>
public sealed record DeviceDiagnosis(
    string Subject, bool IsRegistered, bool? IsEnabled, IdentityAuthentication? Authentication, IDeviceLink? Link, DateTimeOffset? ConnectedSince,
    TimeSpan? ClockSkew, IReadOnlyList<Duel> Duels, QuotaStanding Throttling, IReadOnlyList<FailingAddress> Failing, IReadOnlyList<Attempt> Attempts)
{
    /// <summary>The gateway whose credential let it in; null when it was its own or a policy's.</summary>
    public string? Through => Link?.Principal is { Gateways.Count: > 0 } principal ? principal.Name : null;

    /// <summary>In one sentence, what stands in the way; or that nothing does.</summary>
    public string Summary
    {
        get
        {
            if (Duels.Count > 0)
                return $"Two ends take the identity from each other: {Duels[0].One} and {Duels[0].Other}.";
            if (IsRegistered && IsEnabled is false)
                return "It is disabled.";
            if (Link is not null)
                return $"It is connected since {ConnectedSince:u}{(Through is null ? "" : $", through {Through}")}.";
            if (Attempts.Count == 0)
                return IsRegistered ? "Nobody has tried to connect under this name since the hub was started, or it was too long ago." : "There is no such identity, and nobody tried this name lately.";

            var last = Attempts[0];
            return last.Outcome is AttemptOutcome.Admitted ? "It was let in last time." : $"The last attempt ended so: {last.Reason}.";
        }
    }

    public static DeviceDiagnosis Of(Identity identity, IdentityCache identities, ConnectedDevices connected, Quotas quotas, FailureBackoff backoff, Attempts attempts)
    {
        var credentials = identities.Find(identity);
        var history = attempts.Of(identity.ToString());
        return new DeviceDiagnosis(
            identity.ToString(), credentials is not null, credentials?.Enabled, credentials?.Authentication, connected.Find(identity),
            connected.ConnectedSince(identity), history.FirstOrDefault(attempt => attempt.ClockSkew is not null)?.ClockSkew,
            Diagnosis.Attempts.DuelsIn(history), quotas.Describe(identity), backoff.Describe(identity), history);
    }
}
