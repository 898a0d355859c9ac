namespace Sallyport.Client.Device;

/// <summary>A message on its way: until it is acknowledged, given up, or refused.</summary>
internal sealed class Outgoing(byte[] head, ReadOnlyMemory<byte> body, CancellationToken cancel)
{
    private readonly TaskCompletionSource _done = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>What comes before the body: over MQTT the topic, over AMQP the sections and the head of the body's.</summary>
    public byte[] Head { get; } = head;

    public ReadOnlyMemory<byte> Body { get; } = body;

    /// <summary>MQTT: what it was sent with, on this connection or an earlier one; 0 before. Used by the loop that owns the connection.</summary>
    public ushort PacketId { get; set; }

    public bool IsGivenUp => cancel.IsCancellationRequested;

    /// <summary>Completes with the acknowledgement.</summary>
    public Task Done => _done.Task;

    public void Acknowledge() => _done.TrySetResult();

    public void Fail(Exception reason) => _done.TrySetException(reason);
}
