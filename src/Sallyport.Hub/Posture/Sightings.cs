using System.Collections.Concurrent;
using System.Net;
using Sallyport.Hub.Access;
using Sallyport.Protocol.Sas;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Posture;

/// <param name="Subject">The identity, or <c>policy NAME</c>.</param>
/// <param name="Lifetime">The longest that was left when a token was shown.</param>
public sealed record LongToken(string Subject, TimeSpan Lifetime);

/// <summary>
/// What was seen of credentials and connections since the hub started, as far as it is a weak spot. In memory. Thread-safe; costs a comparison
/// where there is nothing to remember. Remembers at most <see cref="MaxSubjects"/> subjects; at the bound further ones are not added.
/// </summary>
public sealed class Sightings(TimeProvider time)
{
    public const int MaxSubjects = 1000;

    /// <summary>Tokens that live no longer are no finding: SDKs make theirs for an hour, people for a day.</summary>
    public static readonly TimeSpan LongLived = TimeSpan.FromDays(1);

    private readonly ConcurrentDictionary<string, TimeSpan> _lifetimes = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, string> _policiesOfDevices = new(StringComparer.Ordinal);
    private readonly ConcurrentDictionary<string, string> _exposedKeys = new(StringComparer.Ordinal);
    private long _oldTls;
    private volatile string? _lastOldTls;

    /// <summary>When looking began.</summary>
    public DateTimeOffset Since { get; } = time.GetUtcNow();

    /// <summary>Connections with TLS 1.2, and the address of the last; null when there was none.</summary>
    public (long Count, string? LastAddress) OldTls => (Interlocked.Read(ref _oldTls), _lastOldTls);

    /// <summary>The longest first.</summary>
    public IReadOnlyList<LongToken> LongTokens() =>
        [.. _lifetimes.Select(seen => new LongToken(seen.Key, seen.Value)).OrderByDescending(token => token.Lifetime).ThenBy(token => token.Subject, StringComparer.Ordinal)];

    /// <summary>Policies whose token a device or module showed, each with the last identity that did.</summary>
    public IReadOnlyDictionary<string, string> PoliciesOfDevices() => new Dictionary<string, string>(_policiesOfDevices);

    /// <summary>Whether a key of the policy, as it is now, was sent as it is instead of a token.</summary>
    public bool IsExposed(PolicyRecord policy) =>
        _exposedKeys.ContainsKey(KeyPair.DigestOf(policy.PrimaryKey)) || _exposedKeys.ContainsKey(KeyPair.DigestOf(policy.SecondaryKey));

    /// <inheritdoc cref="PlainKeys.Exposed"/>
    public void KeyExposed(string policy, string digest)
    {
        if (_exposedKeys.Count < MaxSubjects)
            _exposedKeys.TryAdd(digest, policy);
    }

    /// <summary>Somebody was let in.</summary>
    /// <param name="device">The identity that connects; null for a call of a service.</param>
    public void Admitted(Principal principal, string? device)
    {
        if (principal.AuthMethod is not (AuthMethod.HubSas or AuthMethod.DeviceSas or AuthMethod.ModuleSas))
            return;

        var isPolicy = principal.Kind is PrincipalKind.Policy;
        if (isPolicy && device is not null && (_policiesOfDevices.ContainsKey(principal.Name) || _policiesOfDevices.Count < MaxSubjects))
            _policiesOfDevices[principal.Name] = device;

        var lifetime = principal.Expires - SharedAccessSignature.ClockSkew - time.GetUtcNow();
        if (lifetime <= LongLived)
            return;

        var subject = isPolicy ? $"policy {principal.Name}" : principal.Name;
        if (_lifetimes.TryGetValue(subject, out var longest) ? longest < lifetime : _lifetimes.Count < MaxSubjects)
            _lifetimes[subject] = lifetime;
    }

    /// <summary>A TLS handshake ended with version 1.2.</summary>
    public void OldTlsFrom(IPAddress? address)
    {
        Interlocked.Increment(ref _oldTls);
        _lastOldTls = address?.ToString();
    }
}
