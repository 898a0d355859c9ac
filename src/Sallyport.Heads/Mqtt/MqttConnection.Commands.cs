using Sallyport.Hub.Commands;
using Sallyport.Protocol.Amqp.Messages;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Messages;
using Sallyport.Protocol.Topics;
using Sallyport.Storage.Metadata;

namespace Sallyport.Heads.Mqtt;

/// <content>
/// Commands: published in the order of the queue while the device is subscribed to them, no more than <see cref="MqttOptions.MaxCommands"/> without
/// a PUBACK, which completes them. What it has not acknowledged when it goes is delivered again, with DUP and the same packet id [MQTT-4.4.0-1].
/// One work item of the thread pool at a time takes them from the queue.
/// </content>
internal sealed partial class MqttConnection
{
    // Packet ids that the hub uses: the .NET SDK knows no more.
    private const int PacketIds = 0x7FFF;

    private readonly Lock _commandGate = new();
    private readonly Dictionary<ushort, LockedCommand> _unacknowledged = []; // under _commandGate
    private bool _commandsEnded; // under _commandGate
    private string _commandRoot = "";

    // Of the subscription to commands; -1 when there is none. Written by the read loop, read by whoever pulls.
    private volatile int _commandQoS = -1;

    // Some were not sent because the device does not read; guarded by _outgoingGate.
    private bool _commandsWaitForReading;
    private int _puller;

    public void OfferCommands()
    {
        if (_commandQoS >= 0 && Interlocked.Exchange(ref _puller, Again) == Idle)
            ThreadPool.UnsafeQueueUserWorkItem(static connection => connection.PullCommands(), this, preferLocal: false);
    }

    // By the read loop.
    private void TakeCommands()
    {
        _commandRoot = Identity.ModuleId is { } module ? $"devices/{Identity.DeviceId}/modules/{module}/messages/devicebound/" : $"devices/{Identity.DeviceId}/messages/devicebound/";
        var qos = -1;
        foreach (var subscription in _session.Subscriptions)
        {
            if (DeviceTopics.CoversCommands(subscription.Filter))
                qos = Math.Max(qos, subscription.QoS);
        }

        _commandQoS = qos;
        OfferCommands();
    }

    private void PullCommands()
    {
        do
        {
            Volatile.Write(ref _puller, Running);
            try
            {
                while (_commandQoS >= 0 && !IsEnding && TryPull())
                {
                }
            }
            catch (Exception e)
            {
                Fail(e);
            }
        }
        while (Interlocked.CompareExchange(ref _puller, Idle, Running) != Running);
    }

    // Takes the next command and publishes it; false when there is none, or no room for it.
    private bool TryPull()
    {
        lock (_commandGate)
        {
            if (_commandsEnded || _unacknowledged.Count >= _head.Options.MaxCommands)
                return false;
        }

        if (_device!.ReceiveCommands(this, 1, isTimed: false) is not [var command])
            return false;

        var properties = new MessageProperties();
        DeviceMessage.Read(command.Command.Message, properties, out var body);
        var topic = CommandTopic.Of(_commandRoot, properties);
        if (topic.Length > ushort.MaxValue)
        {
            // MQTT cannot carry it, ever: whoever sent it finds it among the dead ones.
            Settle(_device.RejectCommandAsync(command.Token));
            return true;
        }

        var qos = (byte)_commandQoS;
        if (qos > 1)
        {
            _device.ReturnCommand(command, from: this); // It has unsubscribed meanwhile.
            return false;
        }

        var packetId = (ushort)0;
        lock (_commandGate)
        {
            if (_commandsEnded)
            {
                _device.ReturnCommand(command, from: this);
                return false;
            }

            if (qos == 1)
            {
                packetId = PacketIdOf(command);
                _unacknowledged.Add(packetId, command);
            }
        }

        if (TryPublish(topic.Span, body, qos, packetId, dup: qos == 1 && command.IsRedelivered, isCommand: true)) // [MQTT-3.3.1-1] [MQTT-3.3.1-2]
        {
            if (qos == 0)
                Settle(_device.CompleteCommandAsync(command.Token)); // At most once is what it asked for.
            return true;
        }

        lock (_commandGate)
            _unacknowledged.Remove(packetId);
        _device.ReturnCommand(command, from: this);
        return false;
    }

    // The same for the same command, so that a delivery after a reconnect has the id of the one before; another one while that is taken.
    private ushort PacketIdOf(LockedCommand command)
    {
        var id = (ushort)(((command.Command.Sequence - 1) % PacketIds) + 1);
        while (_unacknowledged.ContainsKey(id)) // [MQTT-2.3.1-4]
            id = (ushort)((id % PacketIds) + 1);
        return id;
    }

    // By the read loop. An id that is not known is of an earlier connection, or acknowledged already.
    private void OnCommandAcknowledged(ushort packetId)
    {
        LockedCommand? command;
        lock (_commandGate)
            _unacknowledged.Remove(packetId, out command);
        if (command is null)
            return;

        _head.Devices.Seen(Identity);
        Settle(_device!.CompleteCommandAsync(command.Token));
        OfferCommands();
    }

    // Nobody waits for it: one that cannot be stored waits again in its queue, and is delivered again.
    private void Settle(ValueTask<bool> settling)
    {
        _ = SettleAsync(settling);

        async Task SettleAsync(ValueTask<bool> of)
        {
            try
            {
                await of.ConfigureAwait(false);
            }
            catch (MetadataWriteException)
            {
                Close(HubErrors.ServiceUnavailable, "what it acknowledged could not be stored");
            }
            catch (Exception e)
            {
                Fail(e);
            }
        }
    }

    // The connection is over: what was not acknowledged waits again.
    private void EndCommands()
    {
        _commandQoS = -1;
        lock (_commandGate)
            _commandsEnded = true;
        _device!.ReleaseCommands(this);
    }
}
