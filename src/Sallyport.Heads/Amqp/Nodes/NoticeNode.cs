using System.Text;
using Sallyport.Hub.Commands;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;

namespace Sallyport.Heads.Amqp.Nodes;

/// <summary>Where a service is told what became of commands (in batches) or of file uploads: each notice is one receiver's.</summary>
internal sealed class NoticeNode : ISource, IOutcomeNode
{
    private readonly AmqpPeer _connection;
    private readonly IServiceNotices _notices;
    private readonly LockedDeliveries _deliveries;

    public NoticeNode(AmqpPeer connection, AmqpSender link, IServiceNotices notices)
    {
        _connection = connection;
        _notices = notices;
        _deliveries = new LockedDeliveries(connection, link, Take, () => notices.Release(this));
        notices.Available += _deliveries.Offer;
    }

    public bool IsGone => _deliveries.IsGone;

    public void Pump() => _deliveries.Pump();

    public ValueTask<bool> FillAsync() => new(_deliveries.Fill());

    public void OnOutcome(in AmqpOutcome outcome) => _deliveries.OnOutcome(outcome);

    public void OnGone()
    {
        _notices.Available -= _deliveries.Offer;
        _deliveries.OnGone();
    }

    public void Dispose()
    {
    }

    private List<LockedDelivery> Take(int top)
    {
        List<LockedDelivery> taken = [];
        while (taken.Count < top && _notices.Receive(this) is { } locked)
        {
            var token = locked.Token;
            taken.Add(new LockedDelivery(
                token, [], Encode(locked), settlement => settlement == Settlement.Abandon ? _notices.AbandonAsync(token) : _notices.CompleteAsync(token)));
        }

        return taken;
    }

    private byte[] Encode(LockedNotice locked)
    {
        var hub = Encoding.UTF8.GetBytes(_connection.Head.Hub.Names.HubName);
        var target = new byte[locked.Body.Length + hub.Length + 256];
        var writer = new AmqpWriter(target);
        writer.Section(AmqpSection.MessageAnnotations);
        var map = writer.BeginMap();
        writer.Symbol("iothub-enqueuedtime"u8);
        writer.Timestamp(locked.EnqueuedTime.ToUnixTimeMilliseconds());
        writer.Symbol("iothub-deliverycount"u8);
        writer.UByte((byte)Math.Min(locked.DeliveryCount, byte.MaxValue));
        writer.End(map, 4);
        writer.Section(AmqpSection.Properties);
        var list = writer.BeginList();
        writer.Null();
        writer.Binary(hub); // user-id
        for (var place = AmqpProperty.To; place < AmqpProperty.ContentType; place++)
            writer.Null();
        writer.Symbol(Encoding.ASCII.GetBytes(_notices.ContentType));
        writer.End(list, (int)AmqpProperty.ContentType + 1);
        writer.Section(AmqpSection.Data);
        writer.Binary(locked.Body);
        return target[..writer.Written];
    }
}
