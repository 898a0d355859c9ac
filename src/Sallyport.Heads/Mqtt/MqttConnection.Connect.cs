using System.Text;
using Sallyport.Hub.Access;
using Sallyport.Hub.Devices;
using Sallyport.Hub.Diagnosis;
using Sallyport.Hub.Limits;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Mqtt;
using Sallyport.Protocol.Topics;
using Sallyport.Storage.Metadata;

namespace Sallyport.Heads.Mqtt;

/// <content>Who is it, may it come in, and which session does it resume.</content>
internal sealed partial class MqttConnection
{
    private DeviceSession? _device;
    private string _generationId = "";
    private CancellationTokenRegistration _withdrawal;

    // The authenticator has noted the refusal in the audit trail.
    private bool _isAudited;

    // CONNACK 0 was given: what comes is the end of a link and no refusal.
    private bool _isAdmitted;

    private async ValueTask ConnectAsync()
    {
        var connect = _session.Connect!;
        if (!Identity.TryParse(connect.ClientId, out var identity)) // [MQTT-3.1.3-5] [MQTT-3.1.3-9]
            throw new MqttProtocolException(HubErrors.ArgumentInvalid, "the client id is not {device} or {device}/{module}", MqttConnectCode.IdentifierRejected);
        if (connect.UserName is null)
            throw new MqttProtocolException(HubErrors.Unauthorized, "no user name was sent", MqttConnectCode.NotAuthorized);
        if (!MqttUserName.TryRead(connect.UserName, identity, out var userName, out var wrong))
            throw new MqttProtocolException(HubErrors.Unauthorized, wrong, MqttConnectCode.NotAuthorized);

        var credential = new DeviceCredential(connect.Password, _certificate) { AuthChain = userName.AuthChain };
        var admission = await AdmitAsync(identity, userName.HostName, credential).ConfigureAwait(false);
        if (connect.Will is { } will)
            CheckWill(will, new DeviceTopics(identity));

        Identity = identity;
        _generationId = admission.GenerationId;
        await WaitForTurnAsync(identity, admission.Principal!).ConfigureAwait(false);
        _device = new DeviceSession(identity, admission.Principal!, admission.GenerationId, userName.ModelId, _head.Ingest, _head.Quotas.Of(identity), _head.Promises);
        _device.MayFail(this);
        var stored = await ResumeAsync(connect.CleanSession).ConfigureAwait(false);

        _head.Devices.Attach(this); // [MQTT-3.1.4-2]
        // Had the identity been disabled or got new keys meanwhile, its change found no link to close; so ask again.
        admission = await AdmitAsync(identity, userName.HostName, credential).ConfigureAwait(false);
        if (admission.GenerationId != _generationId)
            throw new MqttProtocolException(HubErrors.DeviceNotFound, "the identity was deleted and made anew while it connected", MqttConnectCode.NotAuthorized);

        _isAdmitted = true;
        _head.Attempts.Note(Attempt.Of(identity, Peer, admission) with { Certificates = _certificate?.Describe() ?? "" });
        Volatile.Write(ref _expiresUtcTicks, admission.Principal!.Expires.UtcTicks);
        _withdrawal = admission.Principal.Withdrawn.UnsafeRegister(
            static connection => ((MqttConnection)connection!).Refuse(HubErrors.Unauthorized, "the policy whose token it showed was deleted or got a new key"), this);
        _longestSilence = LongestSilence(connect.KeepAliveSeconds);
        StayQuietUntil();
        _lease.Dispose();
        await HandshakeThreads.Leave();
        await _device.NoteModelAsync(_closed).ConfigureAwait(false);
        _session.Accept(identity, stored, _replies);
        Post();
        TellSubscriptions();
        MqttMeter.Answered(MqttConnectCode.Accepted);
        _head.Logger.Connected(Name, Peer.Address);
    }

    // Who connects too often, or takes its identity over again and again, is held back here: the connection that is there goes on meanwhile.
    private async ValueTask WaitForTurnAsync(Identity identity, Principal principal)
    {
        var quota = _head.Quotas.Of(identity);
        for (var waited = TimeSpan.Zero; quota.TryTakeConnection() is var wait && wait > TimeSpan.Zero; waited += wait)
        {
            if (waited + wait > _head.Options.LongestConnectDelay)
                throw new MqttProtocolException(HubErrors.Throttled, $"{principal.Name}, or the hub, had more connections per second than the limit allows", MqttConnectCode.ServerUnavailable);
            await Task.Delay(wait, _head.Time, _closed).ConfigureAwait(false);
        }

        var delay = _head.Devices.TakeOverDelay(identity);
        if (delay == TimeSpan.Zero)
            return;

        MqttMeter.TakeOverSlowed();
        _head.Logger.TakeOverSlowed(identity.ToString(), Peer.Address, delay.TotalSeconds);
        await Task.Delay(delay, _head.Time, _closed).ConfigureAwait(false);
    }

    private async ValueTask<Admission> AdmitAsync(Identity identity, string hostName, DeviceCredential credential)
    {
        var admission = await _head.Authentication.AuthenticateAsync(identity, hostName, credential, Peer, _closed).ConfigureAwait(false);
        if (admission.IsAdmitted)
            return admission;

        _isAudited = true;
        var code = admission.Error!.HttpStatus >= 429 ? MqttConnectCode.ServerUnavailable : MqttConnectCode.NotAuthorized; // [MQTT-3.2.2-6]
        throw new MqttProtocolException(admission.Error, admission.Reason, code);
    }

    private static void CheckWill(MqttWill will, DeviceTopics topics)
    {
        if (topics.Classify(Encoding.UTF8.GetBytes(will.Topic), out _) != PublishTarget.Telemetry)
            throw new MqttProtocolException(HubErrors.UnauthorizedAccess, "the will topic is not the device's own telemetry topic", MqttConnectCode.NotAuthorized);
    }

    private async ValueTask<IReadOnlyList<MqttSubscription>?> ResumeAsync(bool cleanSession)
    {
        if (cleanSession) // [MQTT-3.1.2-6]
        {
            await _head.Sessions.EndAsync(Identity, _generationId, _closed).ConfigureAwait(false);
            return null;
        }

        var stored = _head.Sessions.Find(Identity, _generationId); // [MQTT-3.1.2-4]
        if (stored is not null)
            return [.. stored.Select(s => new MqttSubscription(s.Filter, s.QoS))];

        await _head.Sessions.SaveAsync(Identity, _generationId, [], _closed).ConfigureAwait(false);
        return null;
    }

    private async ValueTask SaveSubscriptionsAsync()
    {
        await KeepToQuotaAsync(messages: 1, bytes: 0).ConfigureAwait(false); // It may write to the disk, as a message does.
        if (!_session.Connect!.CleanSession) // [MQTT-4.1.0-1]
        {
            SubscriptionRecord[] records = [.. _session.Subscriptions.Select(s => new SubscriptionRecord(s.Filter, s.QoS))];
            await _head.Sessions.SaveAsync(Identity, _generationId, records, _closed).ConfigureAwait(false);
        }

        // Before the answer is out: from then on the client counts on it.
        _takesDesired = _session.IsSubscribed(DeviceTopics.DesiredProperties);
        Post();
        TellSubscriptions();
    }

    private TimeSpan LongestSilence(ushort keepAliveSeconds)
    {
        var longest = _head.Options.LongestSilence;
        var asked = TimeSpan.FromSeconds(keepAliveSeconds * 1.5); // [MQTT-3.1.2-24]
        return keepAliveSeconds == 0 || asked > longest ? longest : asked;
    }
}
