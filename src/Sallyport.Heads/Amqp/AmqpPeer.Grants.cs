using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Errors;

namespace Sallyport.Heads.Amqp;

/// <content>With what right services hold their links, and until when.</content>
internal sealed partial class AmqpPeer
{
    private const string TokenExpired = "the token expired";

    private readonly Dictionary<AmqpLink, ServiceGrant> _grants = [];
    private long _nextExpiryUtcTicks = Never;
    private string? _replacedFingerprint; // The read loop's: by the put that is under way.

    private async ValueTask<(ServiceGrant? Grant, AmqpError? Error)> AdmitServiceAsync(string resource, Rights needed, string address)
    {
        var admission = await _tokens.AdmitServiceAsync(resource, needed, HostName, _surroundings.Certificate, Peer, _closed).ConfigureAwait(false);
        if (!admission.IsAdmitted)
        {
            _lease.Answered();
            return (null, Refused(admission.Error!, address, admission.Reason));
        }

        await AdmittedAsync().ConfigureAwait(false);
        AmqpMeter.Attached(0);
        return (new ServiceGrant(resource, needed, admission.Principal!), null);
    }

    private void Keep(ServiceGrant grant, AmqpLink link)
    {
        lock (Gate)
        {
            if (!link.IsAttached)
            {
                grant.Dispose();
                return;
            }

            _grants[link] = grant;
            NoteExpiry(grant.Principal.Expires);
            NoteUse();
        }

        Watch(grant, link);
    }

    /// <summary>Who holds the link for a service, and what it is limited to; under the gate. Null when it holds it no more.</summary>
    internal Actor? HolderOf(AmqpLink link) => _grants.GetValueOrDefault(link)?.Actor(Peer);

    private void Watch(ServiceGrant grant, AmqpLink link) => grant.Watch(
        Head.Hub.Revoked, () => End(link, HubErrors.Unauthorized, "the policy or operator was changed or deleted, or its token was revoked"));

    /// <summary>Ends one link. From any thread.</summary>
    internal void End(AmqpLink link, HubError error, string reason) =>
        End(link, new AmqpError(error.AmqpCondition, RouteAccess.TerseReason(error)), reason);

    internal void End(AmqpLink link, AmqpError error, string reason)
    {
        bool isUnused;
        lock (Gate)
        {
            if (!link.IsAttached)
                return;

            link.Detach(error);
            OnGone(link);
            isUnused = _devices.Count == 0 && _grants.Count == 0;
        }

        if (Head.RefusalLines.MayWrite())
            Head.Hub.Logger.LinkRefused(Shown(link.Name), Peer.Address, 0, reason);
        if (isUnused && error.Condition == AmqpConditions.UnauthorizedAccess)
            Close(error, HubErrors.Unauthorized, reason, isLogged: true);
        Schedule();
    }

    private void Release(AmqpLink link)
    {
        if (_grants.Remove(link, out var grant))
            grant.Dispose();
        ReleaseFromDevice(link);
        NoteUse();
    }

    private void NoteExpiry(DateTimeOffset expires)
    {
        if (expires.UtcTicks < _nextExpiryUtcTicks)
            Volatile.Write(ref _nextExpiryUtcTicks, expires.UtcTicks);
    }

    // A token took the place of an older one: what the older carried lives as long as the newer, and ends when that one is revoked.
    private async ValueTask RenewAsync(string replacedFingerprint)
    {
        foreach (var (link, grant) in Snapshot())
        {
            if (grant.Principal.CredentialFingerprint != replacedFingerprint)
                continue;

            var admission = await _tokens.AdmitServiceAsync(grant.Resource, grant.Needed, HostName, _surroundings.Certificate, Peer, _closed).ConfigureAwait(false);
            if (admission.IsAdmitted)
                Keep(new ServiceGrant(grant.Resource, grant.Needed, admission.Principal!), link, instead: grant);
        }

        await RenewDevicesAsync(replacedFingerprint).ConfigureAwait(false);
    }

    private void Keep(ServiceGrant grant, AmqpLink link, ServiceGrant instead)
    {
        Keep(grant, link);
        instead.Dispose();
    }

    private KeyValuePair<AmqpLink, ServiceGrant>[] Snapshot()
    {
        lock (Gate)
            return [.. _grants];
    }

    // Whoever's credential has ended, by now also the renewed one, goes. On the watch's thread.
    private void Expire(DateTimeOffset now)
    {
        foreach (var (link, grant) in Snapshot())
        {
            if (grant.Principal.Expires > now)
                continue;

            var reason = grant.Principal.Certificate is null ? TokenExpired : "the operator's credential or its certificate ended";
            Note(Offender.Of([], grant, Peer), HubErrors.Unauthorized, reason);
            End(link, HubErrors.Unauthorized, reason);
        }

        ExpireDevices(now);
        lock (Gate)
        {
            Volatile.Write(ref _nextExpiryUtcTicks, Never);
            foreach (var grant in _grants.Values)
                NoteExpiry(grant.Principal.Expires);
            foreach (var device in _devices.Values)
                NoteExpiry(device.Principal.Expires);
        }
    }
}

/// <summary>What let a service's link in. Thread-safe.</summary>
internal sealed class ServiceGrant(string resource, Rights needed, Principal principal) : IDisposable
{
    private readonly Lock _gate = new();
    private CancellationTokenRegistration _withdrawal;
    private CancellationTokenRegistration _revocation;
    private RevocationWatch? _watch;
    private bool _isDisposed;

    public string Resource { get; } = resource;

    public Rights Needed { get; } = needed;

    public Principal Principal { get; } = principal;

    /// <summary>Who reads, as the audit trail writes it.</summary>
    public Actor Actor(Peer peer) => Hub.Audit.Actor.Of(Principal, "", peer);

    /// <summary>Calls back, on any thread, when what let it in is withdrawn or revoked.</summary>
    public void Watch(RevokedTokens revoked, Action ended)
    {
        var watch = new RevocationWatch(revoked, Principal.CredentialFingerprint);
        lock (_gate)
        {
            // Its link may have gone before it was watched.
            if (_isDisposed)
            {
                watch.Dispose();
                return;
            }

            _watch = watch;
        }

        var withdrawal = Principal.Withdrawn.UnsafeRegister(static ended => ((Action)ended!)(), ended);
        var revocation = watch.Revoked.UnsafeRegister(static ended => ((Action)ended!)(), ended);
        lock (_gate)
        {
            (_withdrawal, _revocation) = (withdrawal, revocation);
            if (_isDisposed)
                Unregister();
        }
    }

    public void Dispose()
    {
        lock (_gate)
        {
            _isDisposed = true;
            Unregister();
        }

        _watch?.Dispose();
    }

    private void Unregister()
    {
        _withdrawal.Unregister();
        _revocation.Unregister();
    }
}
