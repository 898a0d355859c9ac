using Sallyport.Protocol.Amqp.Endpoints;

namespace Sallyport.Heads.Amqp.Nodes;

/// <summary>
/// Where a device gets the answers to its twin requests and the changes of its desired properties, in their order. They wait for its credit; a device
/// that lets more than <see cref="MaxWaitingBytes"/> wait, or is one of too many on its connection that do, is closed, because what was dropped it would miss without knowing.
/// </summary>
internal sealed class TwinReplyNode(AmqpPeer connection, AmqpSender link, AmqpDevice device) : ISource, IDeviceNode
{
    public const int MaxWaitingBytes = 1024 * 1024;

    private readonly SettledMessages _messages = new(connection, link);

    public AmqpDevice Device { get; } = device;

    public AmqpSession Session => link.Session;

    public void Begin()
    {
        Device.TwinReplies.Add(this);
        link.Accept();
    }

    /// <summary>Sends a message, or keeps it until there is credit and room; under the gate.</summary>
    /// <returns>False when too much waits already; the message is dropped.</returns>
    public bool Send(byte[] message)
    {
        var waiting = _messages.WaitingBytes;
        if (waiting > 0 && (waiting + message.Length > MaxWaitingBytes || connection.WaitingTwinBytes + message.Length > connection.Head.Options.MaxWaitingTwinBytes))
            return false;

        _messages.Add(message);
        connection.WaitingTwinBytes += message.Length;
        return true;
    }

    public void Pump()
    {
        var waited = _messages.WaitingBytes;
        _messages.Pump();
        connection.WaitingTwinBytes -= waited - _messages.WaitingBytes;
    }

    public ValueTask<bool> FillAsync() => default;

    public bool IsGone { get; private set; }

    public void OnGone()
    {
        IsGone = true;
        connection.WaitingTwinBytes -= _messages.WaitingBytes;
        _messages.Clear();
        Device.TwinReplies.Remove(this);
        if (Device.TwinReplies.Count == 0)
            Device.WantsDesired = false;
    }

    public void Dispose()
    {
    }
}
