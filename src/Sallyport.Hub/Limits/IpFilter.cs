using System.Net;
using System.Security.Cryptography;
using System.Text;
using Sallyport.Hub.Audit;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Limits;

/// <summary>One rule: what comes from the network is let on or not.</summary>
/// <param name="Name">1 to 128 letters, digits and <c>- _ .</c>; told apart without case.</param>
public sealed record IpFilterRule(string Name, IPNetwork Network, bool Allows);

/// <summary>The rules in force, and what says that they are still the same.</summary>
public sealed record IpFilterRules(IReadOnlyList<IpFilterRule> Rules, string Version);

/// <summary>
/// IP filter rules: the first one whose network holds an address decides; an address in none is let on. Asked for every socket before TLS, on every
/// listener. <c>127.0.0.1</c> and <c>::1</c> are never asked: whoever is on the machine can mend rules that lock everybody out. Thread-safe; asking costs no lock.
/// </summary>
public sealed class IpFilter : IDisposable
{
    /// <summary>Rules at most: each costs some nanoseconds of every accepted socket.</summary>
    public const int MaxRules = 256;

    private const int MaxNameLength = 128;

    private readonly IMetadata _metadata;
    private readonly IAuditTrail _audit;
    private readonly SemaphoreSlim _oneAct = new(1, 1);
    private volatile IpFilterRules _current;

    /// <summary>Reads the rules.</summary>
    public IpFilter(IMetadata metadata, IAuditTrail audit)
    {
        (_metadata, _audit) = (metadata, audit);
        _current = Of([.. metadata.Read(metadata.IpFilter.List).Select(record => new IpFilterRule(record.Name, IPNetwork.Parse(record.Network), record.Allows))]);
    }

    /// <summary>Told when other rules are in force: what they deny and is connected must be cut. Must not block.</summary>
    public event Action? Changed;

    public IpFilterRules Current => _current;

    public bool Denies(IPAddress address) => Denies(_current.Rules, address);

    /// <summary>As <see cref="Denies(IPAddress)"/>, and counts: for a socket that is about to be closed for it.</summary>
    public bool Refuses(IPAddress address)
    {
        if (!Denies(address))
            return false;

        LimitsMeter.Refused("ip filter");
        return true;
    }

    /// <summary>Puts other rules in the place of these. When it completes they are on disk and in force.</summary>
    /// <param name="version">Of the rules that these were made from; null: whatever they are.</param>
    /// <param name="caller">From where this was asked: rules that deny it need <paramref name="force"/>.</param>
    /// <exception cref="HubException">400: there are too many, or a name is not valid or there twice; 409: they lock the caller out; 412: the rules are not <paramref name="version"/> any more; 503: the audit trail cannot be written.</exception>
    public async ValueTask<IpFilterRules> ReplaceAsync(Actor actor, IReadOnlyList<IpFilterRule> rules, string? version, IPAddress? caller, bool force, CancellationToken cancel)
    {
        Validate(rules);
        await _oneAct.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            if (version is not null && version != _current.Version)
                throw new HubException(HubErrors.PreconditionFailed, "the rules were changed meanwhile; look at them again");
            if (!force && caller is not null && Denies(rules, caller))
                throw new HubException(HubErrors.Conflict, $"these rules lock out {caller}, from where they were sent; say force (--yes) to put them in force all the same");

            var next = Of(rules);
            try
            {
                await _audit.RecordAsync(actor.Done("ip-filter set", "ip-filter") with { Reason = Describe(rules) }, cancel).ConfigureAwait(false);
            }
            catch (IOException)
            {
                throw new HubException(HubErrors.ServiceUnavailable, "the audit trail cannot be written, so nothing may be changed");
            }

            try
            {
                await _metadata.WriteAsync(
                    tx =>
                    {
                        _metadata.IpFilter.Replace(tx, [.. rules.Select(rule => new IpFilterRecord(rule.Name, rule.Network.ToString(), rule.Allows))]);
                        return true;
                    },
                    CancellationToken.None).ConfigureAwait(false);
            }
            catch (Exception failure)
            {
                _audit.Note(actor.Refused("ip-filter set", "ip-filter", $"not stored: {failure.GetType().Name}"));
                throw;
            }

            _current = next;
            Changed?.Invoke();
            return next;
        }
        finally
        {
            _oneAct.Release();
        }
    }

    public void Dispose() => _oneAct.Dispose();

    private static bool Denies(IReadOnlyList<IpFilterRule> rules, IPAddress address)
    {
        if (rules.Count == 0)
            return false;
        if (address.IsIPv4MappedToIPv6)
            address = address.MapToIPv4();
        if (address.Equals(IPAddress.Loopback) || address.Equals(IPAddress.IPv6Loopback))
            return false;

        for (var i = 0; i < rules.Count; i++)
        {
            if (rules[i].Network.Contains(address))
                return !rules[i].Allows;
        }

        return false;
    }

    private static void Validate(IReadOnlyList<IpFilterRule> rules)
    {
        if (rules.Count > MaxRules)
            throw new HubException(HubErrors.ArgumentInvalid, $"there are at most {MaxRules} rules");
        if (rules.FirstOrDefault(rule => rule.Name.Length is 0 or > MaxNameLength || !rule.Name.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.')) is not null)
            throw new HubException(HubErrors.ArgumentInvalid, $"name: 1 to {MaxNameLength} ASCII letters, digits and - _ .");
        if (rules.GroupBy(rule => rule.Name, StringComparer.OrdinalIgnoreCase).FirstOrDefault(same => same.Count() > 1) is { } doubled)
            throw new HubException(HubErrors.ArgumentInvalid, $"there are two rules {doubled.Key}");
    }

    private static IpFilterRules Of(IReadOnlyList<IpFilterRule> rules) =>
        new(rules, Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Describe(rules))).AsSpan(0, 8)));

    private static string Describe(IReadOnlyList<IpFilterRule> rules) =>
        rules.Count == 0 ? "no rules" : string.Join("; ", rules.Select(rule => $"{rule.Name}: {(rule.Allows ? "allow" : "deny")} {rule.Network}"));
}
