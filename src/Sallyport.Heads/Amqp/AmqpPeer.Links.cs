using Sallyport.Heads.Amqp.Nodes;
using Sallyport.Hub.Access;
using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Messages;
using Sallyport.Protocol.Amqp.Nodes;
using Sallyport.Protocol.Errors;

namespace Sallyport.Heads.Amqp;

/// <content>Links: what an address leads to, and who may attach there. A refusal costs the link only.</content>
internal sealed partial class AmqpPeer
{
    private static readonly AmqpError NoSuchNode = new(AmqpConditions.NotFound, "this hub has no such address");

    private async ValueTask AttachAsync(AmqpLink link)
    {
        // What the peer receives comes from the source, what it sends goes to the target.
        var text = link is AmqpSender ? link.Attach.Source?.Address : link.Attach.Target?.Address;
        var address = NodeAddress.Parse(text);
        AmqpError? error;
        if (!IsServedHere(address))
        {
            error = NoSuchNode;
            AmqpMeter.Attached(HubErrors.NotFound.Code);
        }
        else
        {
            error = await AttachAsync(link, address).ConfigureAwait(false);
        }

        if (error is null)
            return;

        lock (Gate)
            link.Refuse(error);
        Schedule();
    }

    private bool IsServedHere(NodeAddress address) => address.Kind switch
    {
        NodeKind.Unknown => false,
        NodeKind.Cbs => true,
        _ => (_surroundings.Zone & (address.IsOfDevice ? Zone.Devices : Zone.Services)) != 0,
    };

    private ValueTask<AmqpError?> AttachAsync(AmqpLink link, NodeAddress address)
    {
        switch (address.Kind)
        {
            case NodeKind.Cbs:
                AttachRequests(link, address.Kind, PutTokenAsync);
                return default;
            case NodeKind.Management:
                return AttachManagementAsync(link);
            case NodeKind.Partition:
                return link is AmqpSender reader ? AttachReaderAsync(reader, address) : new(NoSuchNode);
            case NodeKind.HubEvents:
                return RedirectAsync();
            case NodeKind.ServiceCommands or NodeKind.Feedback or NodeKind.FileNotifications:
                return AttachServiceAsync(link, address.Kind);
            default:
                return _surroundings.IsEncrypted
                    ? AttachDeviceAsync(link, address)
                    : new(new AmqpError(AmqpConditions.NotAllowed, "devices connect over TLS"));
        }
    }

    // Requests arrive on one link and are answered on another.
    private void AttachRequests(AmqpLink link, NodeKind kind, Func<RequestMessage, ValueTask<byte[]>> answer)
    {
        AmqpMeter.Attached(0);
        lock (Gate)
        {
            link.Node = link is AmqpReceiver requests ? new RequestNode(this, requests, kind, answer) : NewReply((AmqpSender)link, kind);
            if (link is AmqpReceiver receiver)
            {
                link.Accept(RequestMessage.MaxBytes);
                receiver.MaxMessageSize = RequestMessage.MaxBytes;
                receiver.Grant(RequestNode.Credit);
            }
            else
            {
                link.Accept();
            }
        }

        Schedule();
    }

    private ReplyNode NewReply(AmqpSender link, NodeKind kind)
    {
        var node = new ReplyNode(link, kind);
        _replies.Add(node);
        _sources.Add(node);
        return node;
    }

    /// <summary>The link on which a request of this session is answered; under the gate.</summary>
    internal ReplyNode? FindReply(AmqpSession session, NodeKind kind, string? replyTo)
    {
        ReplyNode? best = null;
        foreach (var reply in _replies)
        {
            if (reply.Kind != kind)
                continue;
            if (replyTo is not null && reply.IsCalled(replyTo) && reply.Link.Session == session)
                return reply;
            if (best is null || (reply.Link.Session == session && best.Link.Session != session))
                best = reply;
        }

        return best;
    }

    private async ValueTask<byte[]> PutTokenAsync(RequestMessage request)
    {
        if (request.Operation is not "put-token")
            return ResponseMessage.Encode(request, 400, "the operation of a request to $cbs is put-token");
        if (request.Text is not { Length: > 0 } token || request.Name is not { Length: > 0 } name)
            return ResponseMessage.Encode(request, 400, "a request to $cbs has the audience as its name and the token as its body");

        var admission = await _tokens.PutAsync(name, token, HostName, Peer, _closed).ConfigureAwait(false);
        if (!admission.IsAdmitted)
        {
            _lease.Answered();
            return ResponseMessage.Encode(request, admission.Error!.HttpStatus, RouteAccess.TerseReason(admission.Error));
        }

        await AdmittedAsync().ConfigureAwait(false);
        if (_replacedFingerprint is { } replaced)
        {
            _replacedFingerprint = null;
            await RenewAsync(replaced).ConfigureAwait(false);
        }

        return EventHubName.IsOfAnother(name)
            ? ResponseMessage.Encode(request, 404, $"this hub's Event Hub is called {EventHubName.Value}")
            : ResponseMessage.Encode(request, 200, "OK");
    }

    private async ValueTask<AmqpError?> AttachManagementAsync(AmqpLink link)
    {
        var (grant, error) = await AdmitServiceAsync($"{EventHubName.Value}/$management", Rights.TelemetryRead, "$management").ConfigureAwait(false);
        if (grant is null)
            return error;

        AttachRequests(link, NodeKind.Management, new EventHubDescription(Head).AnswerAsync);
        Keep(grant, link);
        return null;
    }

    private async ValueTask<AmqpError?> RedirectAsync()
    {
        var (grant, error) = await AdmitServiceAsync("messages/events", Rights.TelemetryRead, "messages/events").ConfigureAwait(false);
        if (grant is null)
            return error;

        return new AmqpError(AmqpConditions.LinkRedirect, "the events are at the Event Hubs-compatible endpoint")
        {
            Redirect = new AmqpRedirect(HostName, HostName, Head.AmqpsPort, $"amqps://{HostName}:{Head.AmqpsPort}/{EventHubName.Value}/"),
        };
    }

    // What services send and receive.
    private async ValueTask<AmqpError?> AttachServiceAsync(AmqpLink link, NodeKind kind)
    {
        var isSender = kind == NodeKind.ServiceCommands;
        if (isSender != link is AmqpReceiver)
            return NoSuchNode;

        var resource = kind switch
        {
            NodeKind.ServiceCommands => "messages/devicebound",
            NodeKind.Feedback => "messages/servicebound/feedback",
            _ => "messages/servicebound/filenotifications",
        };
        var (grant, error) = await AdmitServiceAsync(resource, Rights.CommandSend, resource).ConfigureAwait(false);
        if (grant is null)
            return error;
        if (!isSender && grant.Principal.Scope.LimitsDevices)
        {
            grant.Dispose();
            return Refused(HubErrors.UnauthorizedAccess, resource, "limited to some devices, and this is about all of them");
        }

        lock (Gate)
        {
            if (link is AmqpReceiver commands)
            {
                link.Node = new CommandNode(this, commands, Head.Hub.Commands);
                link.Accept(CommandNode.AnnouncedMessageBytes);
                commands.MaxMessageSize = CommandNode.MaxMessageBytes;
                commands.Grant(CommandNode.Credit);
            }
            else
            {
                link.Accept();
                var isFeedback = kind == NodeKind.Feedback;
                Head.Hub.Reads.Note(grant.Actor(Peer), isFeedback ? "feedback read" : "file-notification read", "");
                var told = new NoticeNode(this, (AmqpSender)link, isFeedback ? Head.Hub.Feedback : Head.Hub.FileNotifications);
                link.Node = told;
                _sources.Add(told);
            }
        }

        Keep(grant, link);
        Schedule();
        return null;
    }

    private async ValueTask<AmqpError?> AttachReaderAsync(AmqpSender link, NodeAddress address)
    {
        if (!address.EventHub.Equals(EventHubName.Value, StringComparison.OrdinalIgnoreCase))
            return new AmqpError(AmqpConditions.NotFound, $"this hub's Event Hub is called {EventHubName.Value}");

        var resource = $"{EventHubName.Value}/ConsumerGroups/{address.ConsumerGroup}/Partitions/{address.PartitionId}";
        var (grant, error) = await AdmitServiceAsync(resource, Rights.TelemetryRead, resource).ConfigureAwait(false);
        if (grant is null)
            return error;
        if (!grant.Principal.Scope.CoversGroup(address.ConsumerGroup))
            return Refused(HubErrors.UnauthorizedAccess, resource, "limited to other consumer groups");

        if (ReaderRequest.TryRead(link.Attach, address, Head, out var problem) is not { } request)
        {
            grant.Dispose();
            return problem;
        }

        Head.Hub.Reads.Note(grant.Actor(Peer), "event read", $"{address.ConsumerGroup}/{address.PartitionId}");
        var reading = new PartitionReading(Head.Hub.Log, request.Partition, request.Start, grant.Principal.Scope);
        var node = new ReaderNode(this, link, request, reading);
        if (Head.Readers.TryEnter(node, Head.Options.MaxReaders, out var stolen) is { } refusal)
        {
            reading.Dispose();
            grant.Dispose();
            return refusal;
        }

        lock (Gate)
        {
            link.Node = node;
            link.Accept();
            _sources.Add(node);
        }

        foreach (var older in stolen)
            older.Steal();
        Keep(grant, link);
        Schedule();
        return null;
    }

    private AmqpError Refused(HubError error, string address, string reason)
    {
        AmqpMeter.Attached(error.Code);
        if (Head.RefusalLines.MayWrite())
            Head.Hub.Logger.LinkRefused(Shown(address), Peer.Address, error.Code, reason);
        return new AmqpError(error.AmqpCondition, RouteAccess.TerseReason(error));
    }

    // The link is gone, by whose doing ever; under the gate.
    private void OnGone(AmqpLink link)
    {
        switch (link.Node)
        {
            case IDeviceNode node:
                node.OnGone();
                Schedule();
                break;
            case ISource source:
                source.OnGone();
                if (source is ReplyNode reply)
                    _replies.Remove(reply);
                Schedule();
                break;
            default:
                break;
        }

        Release(link);
        link.Node = null;
    }
}
