using Sallyport.Protocol.Amqp.Endpoints;

namespace Sallyport.Heads.Amqp.Nodes;

/// <summary>What a link leads to on which the peer sends.</summary>
internal interface IReceivingNode
{
    /// <summary>Takes a message; under the gate.</summary>
    /// <returns>False when <see cref="CompleteAsync"/> has to run before the next frame is read.</returns>
    bool Take(in AmqpDelivery delivery);

    /// <summary>Finishes what <see cref="Take"/> began; on the read loop, outside the gate.</summary>
    ValueTask CompleteAsync();
}

/// <summary>What a link leads to on which we send by ourselves.</summary>
internal interface ISource : IDisposable
{
    /// <summary>The link is gone: the sender disposes the source.</summary>
    bool IsGone { get; }

    /// <summary>Sends what is ready, as far as credit, window and <see cref="AmqpPeer.HasRoomFor"/> go; on the sender, under the gate.</summary>
    void Pump();

    /// <summary>Gets more ready if there is use for it; on the sender, outside the gate.</summary>
    /// <returns>True when there is something to send now.</returns>
    ValueTask<bool> FillAsync();

    /// <summary>The link is gone; under the gate.</summary>
    void OnGone();
}

/// <summary>What a link leads to on which we send and the peer tells what became of it.</summary>
internal interface IOutcomeNode
{
    /// <summary>Takes an outcome; under the gate. What the peer waits for is settled by the node.</summary>
    void OnOutcome(in AmqpOutcome outcome);
}
