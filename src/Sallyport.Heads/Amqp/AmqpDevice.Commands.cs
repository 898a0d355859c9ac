using Sallyport.Heads.Amqp.Nodes;

namespace Sallyport.Heads.Amqp;

/// <content>Commands: pulled while a link for them is attached, as far as the device gave credit.</content>
internal sealed partial class AmqpDevice
{
    private volatile DeviceBoundNode? _commands;

    /// <summary>Where they are delivered: the newest link for them. Written under the gate.</summary>
    public DeviceBoundNode? Commands
    {
        get => _commands;
        set => _commands = value;
    }

    public void OfferCommands() => _commands?.Offer();
}
