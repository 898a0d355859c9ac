namespace Sallyport.Heads.Amqp.Nodes;

/// <summary>What a device's link leads to. Made by <see cref="AmqpPeer.DeviceNode"/>, a file each.</summary>
internal interface IDeviceNode
{
    AmqpDevice Device { get; }

    /// <summary>Accepts the link and grants what it may send; once, under the gate.</summary>
    void Begin();

    /// <summary>The link is gone; under the gate.</summary>
    void OnGone();
}
