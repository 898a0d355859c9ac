using Sallyport.Hub.Access.Certificates;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Diagnosis;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Sas;

namespace Sallyport.Hub.Access;

/// <summary>
/// The tokens that one AMQP connection has shown: put by CBS or SASL, asked for again when a link is attached. A token is checked when it is put,
/// and once more at each link: what was revoked, reset, withdrawn or has ended meanwhile opens nothing. Every refusal is in the audit trail and the
/// diagnosis. Owned by the connection's read loop: not thread-safe. Never prints a token.
/// </summary>
/// <remarks>Bounded by <see cref="MaxTokens"/> and <see cref="MaxCharacters"/>; at a bound, tokens that have ended make room, else the next one is refused.</remarks>
public sealed class ConnectionTokens(
    IDeviceAuthentication devices, IServiceAuthentication services, PlainKeys plainKeys, HubNames names, IAuditTrail audit, Attempts attempts, TimeProvider time) : IDisposable
{
    /// <summary>Tokens of a connection: as many devices with keys of their own share one.</summary>
    public const int MaxTokens = 5000;

    /// <summary>Characters of all its tokens; <see cref="MaxTokens"/> of usual length (200 to 400) fit.</summary>
    public const int MaxCharacters = 2_000_000;

    /// <summary>Of the address of a link.</summary>
    private const int MaxResourceLength = CbsAudience.MaxLength;

    // Tokens of own keys by whose they are; tokens of policies by the path they cover, those for Event Hubs apart, because case does not count there.
    private readonly Dictionary<Identity, Kept> _own = [];
    private readonly Dictionary<string, Kept> _ofPolicies = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Kept> _forEventHubs = new(StringComparer.OrdinalIgnoreCase);
    private int _characters;
    private bool _isDisposed;

    // The hub of an edge device whose token was put last: a connection is one gateway's.
    private Identity? _gateway;

    /// <summary>
    /// Raised within a put when a token took the place of an older one for the same resource, with the fingerprint of the older
    /// (<see cref="Principal.CredentialFingerprint"/>): links that it let in ask to be admitted again, and live as long as the new one.
    /// </summary>
    public event Action<string>? Renewed;

    /// <summary>Tokens that are kept.</summary>
    public int Count => _own.Count + _ofPolicies.Count + _forEventHubs.Count;

    /// <summary>Takes what a CBS put-token request shows.</summary>
    /// <param name="name">The audience as sent. It counts only where the token does not say whose it is itself.</param>
    /// <param name="token">As sent.</param>
    /// <param name="hostName">The host the client says it speaks to, without port.</param>
    /// <returns>
    /// Without <c>skn</c> the device or module, whom the token's <c>sr</c> names, or else <paramref name="name"/>; with it the policy: which rights
    /// are needed is asked at the links.
    /// </returns>
    public async ValueTask<Admission> PutAsync(string name, string token, string hostName, Peer peer, CancellationToken cancel)
    {
        if (name.Length > CbsAudience.MaxLength)
            return Refuse("", HubErrors.ArgumentInvalid, $"the audience of the token is longer than {CbsAudience.MaxLength} characters", peer);

        var asked = CbsAudience.TryRead(name, out var host, out var path) && names.Contains(host) ? DevicePath.Read(path) : [];
        if (Read(token) is not { } read)
            return await PutUnreadableAsync(asked.Count > 0 ? asked[0] : null, token, hostName, peer, cancel).ConfigureAwait(false);

        if (read.NamesPolicy)
        {
            var admission = await PutPolicysAsync(token, hostName, peer, cancel).ConfigureAwait(false);
            return asked.Count == 0 ? admission : Diagnosed(asked[0], admission, admission.Reason, peer);
        }

        var meant = DevicePath.Read(read.Path);
        if (meant.Count == 0)
            meant = asked;
        if (meant.Count == 0)
            return Refuse("", HubErrors.Unauthorized, "neither the token (sr) nor its audience names a device or module of this hub, and it names no policy (skn)", peer);

        var own = await PutOwnAsync(meant, read, token, hostName, peer, cancel).ConfigureAwait(false);
        return asked.Count == 0 || meant.Contains(asked[0])
            ? own
            : Diagnosed(asked[0], own, $"the token was made for another resource than the audience it was put for: for {meant[0]}, where {own.Reason}", peer);
    }

    /// <summary>Takes what SASL PLAIN shows. Only for connections with TLS.</summary>
    /// <param name="authorizationId">Empty, or the user name once more: nobody acts for another.</param>
    /// <param name="userName"><c>policy@sas.root.hub</c>, <c>policy</c>, <c>device@sas.hub</c> or <c>device/module@sas.hub</c>.</param>
    /// <param name="password">A token; a policy's key as it is is refused, or let in, as <see cref="PlainKeys"/> says.</param>
    /// <inheritdoc cref="PutAsync" path="/param[@name='hostName']"/>
    public async ValueTask<Admission> PutPlainAsync(
        string authorizationId, string userName, string password, string hostName, Peer peer, CancellationToken cancel)
    {
        if (!PlainUser.TryRead(userName, names, out var user))
            return Refuse("", HubErrors.Unauthorized, "the SASL PLAIN user name is neither POLICY@sas.root.HUB nor DEVICE@sas.HUB of this hub, nor a policy's name", peer);

        var subject = user.Identity?.ToString() ?? KnownSubjects.OfPolicy(user.Policy!);
        if (authorizationId.Length > 0 && authorizationId != userName)
            return Refuse(subject, HubErrors.Unauthorized, "SASL PLAIN asks to act for somebody else (authorization identity)", peer);

        if (!password.StartsWith(SharedAccessSignature.Scheme, StringComparison.OrdinalIgnoreCase))
        {
            var refusal = PlainKeys.Sentence;
            return user.Policy is { } policy && plainKeys.TokenFor(policy, password, peer, out refusal) is { } made
                ? await PutPolicysAsync(made, hostName, peer, cancel).ConfigureAwait(false)
                : Refuse(subject, HubErrors.Unauthorized, refusal, peer);
        }

        if (Read(password) is not { } token)
            return await PutUnreadableAsync(user.Identity, password, hostName, peer, cancel).ConfigureAwait(false);
        if (user.Policy is not null && user.Policy != token.PolicyName)
            return Refuse(subject, HubErrors.Unauthorized, "the SASL PLAIN user name and the token (skn) name different policies", peer);

        return token.NamesPolicy
            ? await PutPolicysAsync(password, hostName, peer, cancel).ConfigureAwait(false)
            : await PutOwnAsync([user.Identity!.Value], token, password, hostName, peer, cancel).ConfigureAwait(false);
    }

    /// <summary>
    /// Decides about a link of a device or module: by its own token, else by the one of a policy that covers it most closely, else by the one of a
    /// gateway's hub, which may speak for it, else by the certificate of the connection.
    /// </summary>
    /// <inheritdoc cref="PutAsync" path="/param[@name='hostName']"/>
    /// <param name="authChain">What a gateway says of who is below whom (<see cref="DeviceCredential.AuthChain"/>); null when it says nothing.</param>
    public async ValueTask<Admission> AdmitDeviceAsync(
        Identity identity, string hostName, PresentedCertificate? certificate, Peer peer, CancellationToken cancel, string? authChain = null)
    {
        var token = _own.GetValueOrDefault(identity)?.Text ?? Closest(_ofPolicies, DevicePath.Of(identity)).Kept?.Text
            ?? (_gateway is { } gateway ? _own.GetValueOrDefault(gateway)?.Text : null);
        return token is null && certificate is null
            ? Refuse(identity.ToString(), HubErrors.Unauthorized, "no token for this device was put on this connection", peer)
            : await devices.AuthenticateAsync(identity, hostName, new DeviceCredential(token, certificate) { AuthChain = authChain }, peer, cancel).ConfigureAwait(false);
    }

    /// <summary>
    /// Decides about a link of a service or an Event Hubs client: by the token of a policy that covers the resource most closely, else by the
    /// certificate of the connection, when it is an operator's. A token goes first, as with HTTPS: a client may show its certificate to whomever it talks to.
    /// </summary>
    /// <param name="resource">Without slash at the start: <c>messages/devicebound</c>, <c>hub/consumergroups/$default/partitions/0</c>.</param>
    /// <param name="needed">All of these rights are needed.</param>
    /// <inheritdoc cref="PutAsync" path="/param[@name='hostName']"/>
    public async ValueTask<Admission> AdmitServiceAsync(
        string resource, Rights needed, string hostName, PresentedCertificate? certificate, Peer peer, CancellationToken cancel)
    {
        if (resource.Length > MaxResourceLength)
            return Refuse("", HubErrors.ArgumentInvalid, $"the address is longer than {MaxResourceLength} characters", peer);

        var ofPolicy = Closest(_ofPolicies, resource);
        var forEventHubs = Closest(_forEventHubs, resource);
        var onlyReads = (needed & ~Rights.TelemetryRead) is Rights.None;
        var token = onlyReads && forEventHubs.Length > ofPolicy.Length ? forEventHubs.Kept : ofPolicy.Kept ?? forEventHubs.Kept;
        if (token is null && certificate is not null)
            return await services.AuthenticateAsync(certificate, hostName, needed, peer, cancel).ConfigureAwait(false);
        return token is null
            ? Refuse("", HubErrors.Unauthorized, "no token of a policy for this resource was put on this connection", peer)
            : await services.AuthenticateAsync(token.Text, hostName, resource, needed, peer, cancel).ConfigureAwait(false);
    }

    /// <summary>Notes that SASL was refused before there was a credential to look at.</summary>
    /// <param name="reason">Nothing of it may be a secret, or as a stranger sent it.</param>
    public void RefuseSasl(string reason, Peer peer) => Refuse("", HubErrors.Unauthorized, reason, peer);

    /// <summary>Forgets all tokens: links are refused from then on, and putting throws.</summary>
    public void Dispose()
    {
        _isDisposed = true;
        _own.Clear();
        _ofPolicies.Clear();
        _forEventHubs.Clear();
        _characters = 0;
        Renewed = null;
    }

    public override string ToString() => "tokens of a connection";

    private static SharedAccessSignature? Read(string token) => SharedAccessSignature.TryParse(token, out _);

    private async ValueTask<Admission> PutOwnAsync(
        IReadOnlyList<Identity> meant, SharedAccessSignature token, string text, string hostName, Peer peer, CancellationToken cancel)
    {
        var admission = await devices.AuthenticateAsync(meant[0], hostName, new DeviceCredential(text, null), peer, cancel).ConfigureAwait(false);
        var identity = meant[0];
        if (!admission.IsAdmitted && meant.Count > 1)
        {
            identity = meant[1];
            admission = await devices.AuthenticateAsync(identity, hostName, new DeviceCredential(text, null), peer, cancel).ConfigureAwait(false);
        }

        if (!admission.IsAdmitted)
            return admission;
        if (identity.ModuleId == EdgeScope.HubModule)
            _gateway = identity;
        return Keep(_own, identity, Kept.Of(token, text), admission, identity.ToString(), peer);
    }

    // It is refused where every token is: for the one whom the client says it is for, so that its history says why.
    private ValueTask<Admission> PutUnreadableAsync(Identity? asked, string text, string hostName, Peer peer, CancellationToken cancel) =>
        asked is { } identity && text.Length > 0
            ? devices.AuthenticateAsync(identity, hostName, new DeviceCredential(text, null), peer, cancel)
            : PutPolicysAsync(text, hostName, peer, cancel);

    // A refusal is in the history of whom the token names. Who asks why a device is not let in looks at that device.
    private Admission Diagnosed(Identity asked, Admission admission, string reason, Peer peer)
    {
        if (!admission.IsAdmitted)
            attempts.Note(Attempt.Of(asked, peer, Admission.Refuse(admission.Error!, reason)));
        return admission;
    }

    private async ValueTask<Admission> PutPolicysAsync(string text, string hostName, Peer peer, CancellationToken cancel)
    {
        if (text.Length == 0)
            return Refuse("", HubErrors.Unauthorized, "there is no token", peer);

        var token = Read(text);
        var path = token?.Path ?? "";
        var admission = await services.AuthenticateAsync(text, hostName, path, Rights.None, peer, cancel).ConfigureAwait(false);
        return admission.IsAdmitted
            ? Keep(token!.Value.IsForEventHubs ? _forEventHubs : _ofPolicies, path, Kept.Of(token.Value, text), admission, KnownSubjects.OfPolicy(token.Value.PolicyName!), peer)
            : admission;
    }

    private Admission Keep<TKey>(Dictionary<TKey, Kept> place, TKey key, Kept token, Admission admission, string subject, Peer peer)
        where TKey : notnull
    {
        ObjectDisposedException.ThrowIf(_isDisposed, this);
        if (!HasRoom(place, key, token))
        {
            RemoveEnded(_own);
            RemoveEnded(_ofPolicies);
            RemoveEnded(_forEventHubs);
            if (!HasRoom(place, key, token))
                return Refuse(subject, HubErrors.Throttled, $"this connection holds {Count} tokens, as many as it may: open another one", peer);
        }

        place.TryGetValue(key, out var older);
        place[key] = token;
        _characters += token.Text.Length - (older?.Text.Length ?? 0);
        if (older is not null && older.Fingerprint != token.Fingerprint)
            Renewed?.Invoke(older.Fingerprint.ToString());
        return admission;
    }

    private bool HasRoom<TKey>(Dictionary<TKey, Kept> place, TKey key, Kept token)
        where TKey : notnull
    {
        var older = place.GetValueOrDefault(key);
        return (older is not null || Count < MaxTokens) && _characters + token.Text.Length - (older?.Text.Length ?? 0) <= MaxCharacters;
    }

    private void RemoveEnded<TKey>(Dictionary<TKey, Kept> place)
        where TKey : notnull
    {
        var now = time.GetUtcNow();
        foreach (var (key, token) in place)
        {
            if (token.AcceptedUntil >= now)
                continue;

            // Removing while enumerating is allowed.
            place.Remove(key);
            _characters -= token.Text.Length;
        }
    }

    /// <summary>The kept token with the longest path that is, segment by segment, the beginning of what is asked for.</summary>
    /// <returns>The length of that path; -1 when there is none.</returns>
    private static (Kept? Kept, int Length) Closest(Dictionary<string, Kept> place, ReadOnlySpan<char> path)
    {
        var byPath = place.GetAlternateLookup<ReadOnlySpan<char>>();
        for (var length = place.Count == 0 ? -1 : path.Length; length >= 0; length = length == 0 ? -1 : Math.Max(path[..length].LastIndexOf('/'), 0))
        {
            if (byPath.TryGetValue(path[..length], out var token))
                return (token, length);
        }

        return (null, -1);
    }

    private Admission Refuse(string subject, HubError error, string reason, Peer peer)
    {
        var refusal = Admission.Refuse(error, reason);
        AccessMeter.Count(refusal, "connection");
        audit.Note(Refusals.Entry(subject, "", refusal, peer));
        attempts.Note(Attempt.Of(subject, peer, refusal));
        return refusal;
    }

    private sealed record Kept(string Text, TokenFingerprint Fingerprint, DateTimeOffset AcceptedUntil)
    {
        public static Kept Of(in SharedAccessSignature token, string text) => new(text, token.Fingerprint, token.AcceptedUntil);

        public override string ToString() => Fingerprint.ToString();
    }
}
