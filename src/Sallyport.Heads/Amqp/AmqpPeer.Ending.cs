using Sallyport.Heads.Amqp.Nodes;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Diagnosis;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;

namespace Sallyport.Heads.Amqp;

/// <content>
/// What the hub ends, and who is told of it: the peer with the protocol's words, the log, diagnosis, and the audit trail when it was a refusal.
/// </content>
internal sealed partial class AmqpPeer
{
    private const int NamedDevices = 3;

    // Why the hub ended the connection: the first reason stays. Under the gate.
    private (HubError Error, string Reason)? _ending;

    // What closes the connection when nothing is owed any more; under the gate.
    private Action? _closeSettled;

    /// <summary>Closes the connection with the protocol's close. From any thread; returns at once; the first call decides.</summary>
    public void Close(HubError error, string reason) => Close(new AmqpError(error.AmqpCondition, error.Meaning), error, reason);

    /// <summary>Closes once all that is owed an outcome has it, and takes nothing more until then. From any thread; returns at once.</summary>
    public void CloseSettled(HubError error, string reason)
    {
        lock (Gate)
        {
            _closeSettled ??= () => Close(error, reason);
            Interlocked.CompareExchange(ref _settledBy, In(Head.Options.CloseTimeout), Never);
        }

        Schedule();
    }

    /// <summary>Our mistake: it costs this connection and no other.</summary>
    internal void Fail(Exception exception)
    {
        var correlationId = Guid.NewGuid().ToString("N");
        Head.Hub.Logger.AmqpFailed(exception, Peer.Address, correlationId);
        Close(new AmqpError(AmqpConditions.InternalError, $"correlation id {correlationId}"), HubErrors.ServerError, correlationId);
    }

    /// <summary>As <see cref="Fail(Exception)"/>, and it costs one link.</summary>
    internal void Fail(AmqpLink link, Exception exception)
    {
        var correlationId = Guid.NewGuid().ToString("N");
        Head.Hub.Logger.AmqpFailed(exception, Peer.Address, correlationId);
        End(link, new AmqpError(AmqpConditions.InternalError, $"correlation id {correlationId}"), "our own failure");
    }

    // The peer's mistake.
    private void Refuse(AmqpError wire, HubError error, string reason)
    {
        Offender offender;
        lock (Gate)
            offender = Offender.Of([.. _devices.Keys], _grants.Values.FirstOrDefault(), Peer);
        if (!TryEnd(wire, error, reason, isOrderly: false))
            return;

        if (!_isAdmitted)
        {
            _lease.Answered();
            Head.Hub.Attempts.Note(new Attempt("", Peer, AttemptOutcome.Refused, error.Code, reason));
        }

        if (Head.RefusalLines.MayWrite())
            Head.Hub.Logger.AmqpClosed(Peer.Address, wire.Condition, reason);
        Note(offender, error, reason);
    }

    private void Close(AmqpError wire, HubError error, string reason, bool isLogged = false)
    {
        if (TryEnd(wire, error, reason, isOrderly: true) && !isLogged && Head.RefusalLines.MayWrite())
            Head.Hub.Logger.AmqpClosed(Peer.Address, wire.Condition, reason);
    }

    // Orderly: links and sessions are ended first. Who broke the rules is told the close alone.
    private bool TryEnd(AmqpError wire, HubError error, string reason, bool isOrderly)
    {
        bool isOver;
        lock (Gate)
        {
            if (_ending is not null)
                return false;

            _ending = (error, reason);
            if (isOrderly)
                Endpoint.EndSessions(wire);
            Endpoint.Close(wire);
            isOver = Endpoint.IsOver;
            Volatile.Write(ref _closeBy, In(Head.Options.CloseTimeout));
        }

        AmqpMeter.Closed(wire.Condition);
        Schedule();
        if (isOver)
            _input.CancelPendingRead(); // Nobody to wait for: there was no open.
        return true;
    }

    // The links are gone, by whose doing ever; under the gate.
    private void OnGone(IReadOnlyList<AmqpLink> links)
    {
        if (Endpoint.PeerBrokeRules)
            NoteOffence(links, Endpoint.PeerError!);
        foreach (var link in links)
            OnGone(link);
    }

    // The peer broke a rule that cost it these links; under the gate.
    private void NoteOffence(IReadOnlyList<AmqpLink> links, AmqpError rule)
    {
        var error = rule.Condition == AmqpConditions.MessageSizeExceeded ? HubErrors.MessageTooLarge : HubErrors.FormatError;
        var devices = links.Select(link => link.Node).OfType<TelemetryNode>().Select(node => node.Device).Distinct().ToArray();
        foreach (var device in devices)
        {
            if (!device.Links.TrueForAll(links.Contains))
                continue;

            device.Ended = (error, rule.Description);
            if (Head.RefusalLines.MayWrite())
                Head.Hub.Logger.DeviceClosed(device.Identity.ToString(), Peer.Address, error.Code, rule.Description);
        }

        if (devices.Length == 0 && Head.RefusalLines.MayWrite())
            Head.Hub.Logger.LinkRefused(links.Count == 0 ? "of none" : Shown(links[0].Name), Peer.Address, error.Code, rule.Description);

        // Who is on the connection, where the links say nothing.
        var grant = links.Select(link => _grants.GetValueOrDefault(link)).FirstOrDefault(grant => grant is not null);
        Identity[] named = devices.Length > 0 ? [.. devices.Select(device => device.Identity)] : grant is null ? [.. _devices.Keys] : [];
        Note(Offender.Of(named, grant ?? _grants.Values.FirstOrDefault(), Peer), error, rule.Description);
    }

    // What a peer calls something goes into the log when it is plain text, and not as it is.
    private static string Shown(string name) => name.Length is > 0 and <= 256 && name.All(c => c is >= ' ' and < '\x7f') ? name : "of an unprintable name";

    private void Note(Offender offender, HubError error, string reason) => Head.Hub.Audit.Note(new AuditEntry(
        offender.Principal, offender.Fingerprint, "amqp connection", offender.Target, "refused", $"{error.Code} {reason}", "", $"{Peer.Protocol} {Peer.Address}"));

    /// <summary>Whom the audit trail names: the devices that are concerned, else who acts for a service.</summary>
    private sealed record Offender(string Principal, string Fingerprint, string Target)
    {
        public static Offender Of(Identity[] devices, ServiceGrant? grant, Hub.Access.Peer peer)
        {
            if (devices.Length > 0)
            {
                var named = string.Join(", ", devices.Take(NamedDevices));
                return new Offender($"device:{devices[0]}", "", devices.Length > NamedDevices ? $"{named} and {devices.Length - NamedDevices} more" : named);
            }

            return grant?.Actor(peer) is { } actor ? new Offender(actor.Principal, actor.CredentialFingerprint, "") : new Offender("anonymous", "", "");
        }
    }
}
