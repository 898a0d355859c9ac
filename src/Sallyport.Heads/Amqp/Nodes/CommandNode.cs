using System.Text;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Commands;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Messages;
using Sallyport.Protocol.Amqp.Nodes;
using Sallyport.Protocol.Amqp.Performatives;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Messages;
using Sallyport.Storage.Metadata;

namespace Sallyport.Heads.Amqp.Nodes;

/// <summary>
/// Where services send commands to devices. What comes while a write is under way becomes the next write; the outcome of each is told once it is
/// on disk. A refusal costs the message only. What waits is bounded by <see cref="Credit"/>.
/// </summary>
internal sealed class CommandNode(AmqpPeer connection, AmqpReceiver link, CommandQueues commands) : IReceivingNode
{
    /// <summary>What is announced: IoT Hub's bound on a command, 64 KB, and what other encodings of it add. .NET clients refuse more themselves.</summary>
    public const int AnnouncedMessageBytes = CommandOptions.MaxMessageBytes + (2 * 1024);

    /// <summary>What costs the message only; beyond it the link goes.</summary>
    public const int MaxMessageBytes = 256 * 1024;

    public const uint Credit = 100;

    private const string Action = "command send"; // as over REST

    private readonly MessageProperties _properties = new();
    private List<Waiting> _waiting = []; // under the gate
    private bool _isStoring; // under the gate

    public bool Take(in AmqpDelivery delivery)
    {
        if (connection.HolderOf(link) is not { } holder)
            return true; // Its right has ended: the link goes.

        var target = "";
        try
        {
            _waiting.Add(new Waiting(delivery.Id, delivery.Settled, holder, Read(delivery, holder, ref target)));
        }
        catch (HubException refusal)
        {
            Note(holder, target, refusal.Error, refusal.Message);
            Settle(delivery.Id, delivery.Settled, refusal.Error, refusal.Message);
            link.TopUp();
            return true;
        }

        if (!_isStoring)
        {
            _isStoring = true;
            connection.Storing(1);
            _ = StoreAsync();
        }

        return true;
    }

    public ValueTask CompleteAsync() => default;

    private CommandDraft Read(in AmqpDelivery delivery, Actor holder, ref string target)
    {
        if (delivery.Format != 0)
            throw new HubException(HubErrors.ArgumentInvalid, "a command is one message");

        _properties.Clear();
        if (DeviceMessage.Read(delivery.Message, _properties, out var body) is { } wrong)
            throw new HubException(HubErrors.FormatError, wrong);

        var to = AddresseeOf(Encoding.UTF8.GetString(_properties.System(SystemProperty.To)));
        target = to.ToString();
        // The same answer for a device that exists and for one that does not.
        if (!holder.Scope.CoversDevice(to.DeviceId))
            throw new HubException(HubErrors.UnauthorizedAccess, "you are limited to other devices");
        return CommandDraft.Create(to, _properties, body);
    }

    // Most SDKs percent-encode the ids, Python's does not; an id may hold a percent sign.
    private Identity AddresseeOf(string to)
    {
        var encoded = NodeAddress.ParseEncoded(to);
        if (!to.Contains('%', StringComparison.Ordinal) || (encoded.Kind == NodeKind.DeviceBound && commands.IsRegistered(encoded.Identity)))
            return RequireAddress(encoded);

        var plain = NodeAddress.Parse(to);
        return plain.Kind == NodeKind.DeviceBound && commands.IsRegistered(plain.Identity) ? plain.Identity : RequireAddress(encoded);
    }

    private static Identity RequireAddress(NodeAddress address) => address.Kind == NodeKind.DeviceBound
        ? address.Identity
        : throw new HubException(HubErrors.ArgumentInvalid, "to: /devices/{id}[/modules/{id}]/messages/devicebound");

    private async Task StoreAsync()
    {
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding); // Out of the gate, and what is read meanwhile comes along.
        while (TakeWaiting() is { } batch)
        {
            var errors = await StoreAsync(batch).ConfigureAwait(false);
            lock (connection.Gate)
            {
                for (var i = 0; i < batch.Count; i++)
                    Settle(batch[i].Id, batch[i].IsSettled, errors[i], errors[i]?.Meaning ?? "");
                link.TopUp();
            }

            for (var i = 0; i < batch.Count; i++)
            {
                if (errors[i] is { } error)
                    Note(batch[i].Holder, batch[i].Draft.To.ToString(), error, error.Meaning);
            }

            connection.Schedule();
        }

        connection.Schedule();
    }

    private List<Waiting>? TakeWaiting()
    {
        lock (connection.Gate)
        {
            if (_waiting.Count == 0)
            {
                _isStoring = false;
                connection.Storing(-1);
                return null;
            }

            var batch = _waiting;
            _waiting = [];
            return batch;
        }
    }

    private async ValueTask<IReadOnlyList<HubError?>> StoreAsync(List<Waiting> batch)
    {
        try
        {
            await Task.WhenAll(batch.GroupBy(waiting => (waiting.Holder.Principal, waiting.Draft.To)).Select(RecordAsync)).ConfigureAwait(false);
            return await commands.EnqueueAsync([.. batch.Select(waiting => waiting.Draft)], CancellationToken.None).ConfigureAwait(false);
        }
        catch (MetadataWriteException)
        {
            return [.. batch.Select(_ => HubErrors.ServiceUnavailable)];
        }
        catch (HubException refusal)
        {
            return [.. batch.Select(_ => refusal.Error)]; // The audit trail cannot be written.
        }
        catch (Exception e)
        {
            connection.Fail(e);
            return [.. batch.Select(_ => HubErrors.ServerError)];
        }
    }

    // Who sends to whom is on record before it waits: the first time in a minute by itself, then counted.
    private async Task RecordAsync(IEnumerable<Waiting> toOne)
    {
        foreach (var waiting in toOne)
            await connection.Head.Hub.Reads.RecordAsync(waiting.Holder, Action, waiting.Draft.To.ToString(), CancellationToken.None).ConfigureAwait(false);
    }

    // Those of a kind are counted.
    private void Note(Actor holder, string target, HubError error, string reason) =>
        connection.Head.Hub.Audit.Note(holder.Refused(Action, target, $"{error.Code} {reason}") with { CorrelationId = "" });

    private void Settle(uint id, bool isSettled, HubError? error, string reason)
    {
        if (isSettled)
            return;
        if (error is null)
            link.Settle(id, id, 1, DeliveryState.Accepted);
        else
            link.Settle(id, id, 1, DeliveryState.Rejected, new AmqpError(error.AmqpCondition, reason));
    }

    private readonly record struct Waiting(uint Id, bool IsSettled, Actor Holder, CommandDraft Draft);
}
