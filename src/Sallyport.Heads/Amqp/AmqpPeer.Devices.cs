using Sallyport.Heads.Amqp.Nodes;
using Sallyport.Hub.Access;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Diagnosis;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Nodes;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Topics;

namespace Sallyport.Heads.Amqp;

/// <content>
/// The devices of the connection: one, or many of a pool. Each is a link of the hub of its own (<see cref="IDeviceLink"/>), from its first AMQP
/// link on; closing one leaves the others be.
/// </content>
internal sealed partial class AmqpPeer
{
    private readonly Dictionary<Identity, AmqpDevice> _devices = []; // under the gate
    private readonly List<AmqpDevice> _goneDevices = []; // under the gate
    private volatile bool _hasGoneDevices;
    private readonly HashSet<AmqpDevice> _changedDevices = []; // under the gate
    private bool _hasChangedDevices; // the read loop's

    private async ValueTask<AmqpError?> AttachDeviceAsync(AmqpLink link, NodeAddress address)
    {
        var identity = address.Identity;
        if (TextOf(link.Attach, "com.microsoft:auth-chain"u8) is { Length: > MqttUserName.MaxAuthChainLength })
            return Refused(HubErrors.ArgumentInvalid, address.Kind.ToString(), "the auth-chain is too long");

        var admission = await AdmitDeviceAsync(identity, TextOf(link.Attach, "com.microsoft:auth-chain"u8)).ConfigureAwait(false);
        if (!admission.IsAdmitted)
            return RefusedDevice(identity, address, admission);

        await AdmittedAsync().ConfigureAwait(false);
        if (DeviceNode(address.Kind, link) is not { } makeNode)
            return Refused(HubErrors.NotImplemented, address.Kind.ToString(), "nothing goes this way there");

        AmqpDevice? device;
        lock (Gate)
            _devices.TryGetValue(identity, out device);
        if (device is null)
        {
            if (await WaitForTurnAsync(identity, admission.Principal!).ConfigureAwait(false) is { } tooOften)
                return tooOften;

            device = new AmqpDevice(this, admission, identity, TextOf(link.Attach, "com.microsoft:model-id"u8));
            lock (Gate)
                _devices[identity] = device;
            Head.Hub.Connected.Attach(device);

            // Had the identity been disabled or got new keys meanwhile, its change found no link to close; so ask again.
            var again = await AdmitDeviceAsync(identity).ConfigureAwait(false);
            if (!again.IsAdmitted || again.GenerationId != admission.GenerationId)
            {
                device.Close(again.Error ?? HubErrors.DeviceNotFound, "it was changed while it connected");
                return Refused(again.Error ?? HubErrors.DeviceNotFound, address.Kind.ToString(), "it was changed while it connected");
            }

            device.Came();
            await device.Session.NoteModelAsync(_closed).ConfigureAwait(false);
        }

        AmqpMeter.Attached(0);
        lock (Gate)
        {
            if (device.IsGone)
                return new AmqpError(AmqpConditions.LinkStolen, HubErrors.ConnectionForcefullyClosedOnNewConnection.Meaning);

            var node = makeNode(device);
            device.Links.Add(link);
            link.Node = node;
            if (node is ISource source)
                _sources.Add(source);
            NoteExpiry(device.Principal.Expires);
            NoteUse();
            node.Begin();
        }

        Schedule();
        Head.Hub.Connected.TellChanged(device);
        return null;
    }

    /// <summary>What a device's link leads to, by its address and its direction: the one place where that is said. Null: nothing, yet or ever.</summary>
    private Func<AmqpDevice, IDeviceNode>? DeviceNode(NodeKind kind, AmqpLink link) => (kind, link) switch
    {
        (NodeKind.DeviceEvents, AmqpReceiver telemetry) => device => new TelemetryNode(this, telemetry, device),
        (NodeKind.DeviceBound, AmqpSender commands) => device => new DeviceBoundNode(this, commands, device),
        (NodeKind.Methods, AmqpSender requests) => device => new MethodRequestNode(this, requests, device),
        (NodeKind.Methods, AmqpReceiver responses) => device => new MethodResponseNode(responses, device),
        (NodeKind.Twin, AmqpReceiver requests) => device => new TwinRequestNode(this, requests, device),
        (NodeKind.Twin, AmqpSender replies) => device => new TwinReplyNode(this, replies, device),
        _ => null,
    };

    // Outside the gate: whoever waits for what devices take tries again.
    private void TellChangedDevices()
    {
        AmqpDevice[] changed;
        lock (Gate)
        {
            changed = [.. _changedDevices];
            _changedDevices.Clear();
            _hasChangedDevices = false;
        }

        foreach (var device in changed)
            Head.Hub.Connected.TellChanged(device);
    }

    private ValueTask<Admission> AdmitDeviceAsync(Identity identity, string? authChain = null) =>
        _tokens.AdmitDeviceAsync(identity, HostName, _surroundings.Certificate, Peer, _closed, authChain);

    private AmqpError RefusedDevice(Identity identity, NodeAddress address, Admission admission)
    {
        _lease.Answered(identity);
        return Refused(admission.Error!, $"{identity} {address.Kind}", admission.Reason);
    }

    // Who connects too often, or takes its identity over again and again, is held back here.
    private async ValueTask<AmqpError?> WaitForTurnAsync(Identity identity, Principal principal)
    {
        var quota = Head.Hub.Quotas.Of(identity);
        for (var waited = TimeSpan.Zero; quota.TryTakeConnection() is var wait && wait > TimeSpan.Zero; waited += wait)
        {
            if (waited + wait > Head.Options.LongestConnectDelay)
                return Refused(HubErrors.Throttled, identity.ToString(), $"{principal.Name}, or the hub, had more connections per second than the limit allows");
            await Task.Delay(wait, Head.Hub.Time, _closed).ConfigureAwait(false);
        }

        var delay = Head.Hub.Connected.TakeOverDelay(identity);
        if (delay == TimeSpan.Zero)
            return null;

        Head.Hub.Logger.AmqpTakeOverSlowed(identity.ToString(), Peer.Address, delay.TotalSeconds);
        await Task.Delay(delay, Head.Hub.Time, _closed).ConfigureAwait(false);
        return null;
    }

    /// <summary>Ends one device's links. From any thread.</summary>
    internal void CloseDevice(AmqpDevice device, HubError error, string reason)
    {
        var wire = new AmqpError(error.AmqpCondition, error.HttpStatus == 401 ? RouteAccess.TerseReason(error) : error.Meaning);
        bool isLast;
        lock (Gate)
        {
            if (device.IsGone)
                return;

            device.Ended = (error, reason);
            foreach (var link in device.Links.ToArray())
            {
                link.Detach(wire);
                OnGone(link);
            }

            Remove(device);
            isLast = _devices.Count == 0 && _grants.Count == 0;
        }

        if (Head.RefusalLines.MayWrite())
            Head.Hub.Logger.DeviceClosed(device.Identity.ToString(), Peer.Address, error.Code, reason);
        if (isLast)
            Close(wire, error, reason, isLogged: true);
        LeaveGoneDevices();
        Schedule();
    }

    // Its last link went; under the gate.
    private void ReleaseFromDevice(AmqpLink link)
    {
        if (link.Node is not IDeviceNode { Device: var device } || !device.Links.Remove(link) || device.Links.Count > 0)
            return;

        Remove(device);
    }

    private void Remove(AmqpDevice device)
    {
        if (device.IsGone)
            return;

        device.IsGone = true;
        if (_devices.TryGetValue(device.Identity, out var known) && known == device)
            _devices.Remove(device.Identity);
        _goneDevices.Add(device);
        _hasGoneDevices = true;
        NoteUse();
    }

    // Outside the gate: the hub may close other connections.
    private void LeaveGoneDevices()
    {
        AmqpDevice[] gone;
        lock (Gate)
        {
            gone = [.. _goneDevices];
            _goneDevices.Clear();
            _hasGoneDevices = false;
        }

        foreach (var device in gone)
            device.Left();
    }

    private void LeaveAll()
    {
        lock (Gate)
        {
            foreach (var device in _devices.Values.ToArray())
            {
                device.Ended ??= _ending;
                Remove(device);
            }

            foreach (var grant in _grants.Values)
                grant.Dispose();
            _grants.Clear();
        }

        LeaveGoneDevices();
    }

    private async ValueTask RenewDevicesAsync(string replacedFingerprint)
    {
        AmqpDevice[] devices;
        lock (Gate)
            devices = [.. _devices.Values.Where(device => device.Principal.CredentialFingerprint == replacedFingerprint)];
        foreach (var device in devices)
            await RenewAsync(device).ConfigureAwait(false);
    }

    private async ValueTask RenewAsync(AmqpDevice device)
    {
        var admission = await AdmitDeviceAsync(device.Identity).ConfigureAwait(false);
        if (!admission.IsAdmitted)
            return; // The token it has is good until it ends.

        device.Renew(admission.Principal!);
        lock (Gate)
            NoteExpiry(admission.Principal!.Expires);
    }

    private void ExpireDevices(DateTimeOffset now)
    {
        AmqpDevice[] expired;
        lock (Gate)
            expired = [.. _devices.Values.Where(device => device.Principal.Expires <= now)];
        foreach (var device in expired)
        {
            var reason = device.Principal.Certificate is null ? TokenExpired : "the certificate it was let in by, or an issuer of it, expired";
            Note(Offender.Of([device.Identity], null, Peer), HubErrors.Unauthorized, reason);
            device.Close(HubErrors.Unauthorized, reason);
        }
    }

    private static string? TextOf(Protocol.Amqp.Performatives.Attach attach, ReadOnlySpan<byte> property) =>
        attach.TryFindProperty(property, out var value) && value.IsText ? System.Text.Encoding.UTF8.GetString(value.Content) : null;
}

/// <summary>One device or module on a connection. Thread-safe but for what is said to be under the connection's gate.</summary>
internal sealed partial class AmqpDevice : IDeviceLink
{
    private readonly AmqpPeer _connection;
    private volatile Principal _principal;
    private CancellationTokenRegistration _withdrawal;
    private readonly string _cameAs; // Through whom, when it was a gateway.
    private bool _came;

    public AmqpDevice(AmqpPeer connection, Admission admission, Identity identity, string? modelId)
    {
        _connection = connection;
        Identity = identity;
        _principal = admission.Principal!;
        _cameAs = admission.Reason;
        Session = new DeviceSession(identity, _principal, admission.GenerationId, modelId, connection.Head.Hub.Ingest, connection.Head.Hub.Quotas.Of(identity), connection.Head.Hub.Promises);
        Session.MayFail(this);
        WatchWithdrawal();
    }

    public Identity Identity { get; }

    public Peer Peer => _connection.Peer;

    public Principal Principal => _principal;

    public DeviceSession Session { get; }

    /// <summary>Under the gate.</summary>
    public List<AmqpLink> Links { get; } = [];

    /// <summary>Under the gate.</summary>
    public bool IsGone { get; set; }

    /// <summary>By whom and why it was ended, when the hub did; under the gate.</summary>
    public (HubError Error, string Reason)? Ended { get; set; }

    public void Close(HubError error, string reason) => _connection.CloseDevice(this, error, reason);

    /// <summary>It was let in: diagnosis knows.</summary>
    public void Came()
    {
        _came = true;
        _connection.Head.Hub.Attempts.Note(new Attempt(Identity.ToString(), Peer, AttemptOutcome.Admitted, 0, _cameAs)
        {
            Fingerprint = _principal.CredentialFingerprint,
            AcceptedUntil = _principal.Expires == DateTimeOffset.MaxValue ? null : _principal.Expires,
            Certificates = _connection.PresentedCertificates,
        });
        _connection.Head.Hub.Logger.DeviceCame(Identity.ToString(), Peer.Address);
    }

    /// <summary>A newer token carries it from now on.</summary>
    public void Renew(Principal principal)
    {
        _principal = principal;
        WatchWithdrawal();
    }

    /// <summary>It is gone from the connection: the hub and diagnosis know. Once; not under the gate.</summary>
    public void Left()
    {
        _withdrawal.Unregister();
        _connection.Head.Hub.Connected.Detach(this);
        if (!_came)
            return;

        var (code, reason) = Ended is { } ended ? (ended.Error.Code, ended.Reason) : (0, "the device or the network ended it");
        if (code != HubErrors.ConnectionForcefullyClosedOnNewConnection.Code) // Whoever decides take-over has noted it.
            _connection.Head.Hub.Attempts.Note(new Attempt(Identity.ToString(), Peer, AttemptOutcome.Closed, code, reason) { Fingerprint = _principal.CredentialFingerprint });
    }

    private void WatchWithdrawal()
    {
        _withdrawal.Unregister();
        _withdrawal = _principal.Withdrawn.UnsafeRegister(
            static device => ((AmqpDevice)device!).Close(HubErrors.Unauthorized, "the policy whose token it showed was deleted or got a new key"), this);
    }
}
