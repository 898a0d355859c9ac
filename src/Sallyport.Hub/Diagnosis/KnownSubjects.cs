using Sallyport.Hub.Access;
using Sallyport.Protocol.Identities;

namespace Sallyport.Hub.Diagnosis;

/// <summary>Who exists, out of those that <see cref="Attempt.Subject"/> may name. Thread-safe.</summary>
public sealed class KnownSubjects(IdentityCache identities, Policies policies)
{
    private const string PolicyPrefix = "policy ";

    /// <summary>A policy as the subject of an attempt.</summary>
    public static string OfPolicy(string name) => PolicyPrefix + name;

    public bool Exists(string subject) =>
        subject.StartsWith(PolicyPrefix, StringComparison.Ordinal)
            ? policies.FindCredentials(subject.AsSpan(PolicyPrefix.Length)) is not null
            : Identity.TryParse(subject, out var identity) && identities.Find(identity) is not null;
}
