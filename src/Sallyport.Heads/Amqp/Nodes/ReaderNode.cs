using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Performatives;
using Sallyport.Storage.EventLog;

namespace Sallyport.Heads.Amqp.Nodes;

/// <summary>
/// A reader of one partition of the built-in endpoint. Stored bytes are sent as they are stored: no decode, no encode, no allocation per event.
/// How far it is served follows the socket, never the credit: a reader with a million credits that reads nothing costs a page and a buffer.
/// </summary>
internal sealed class ReaderNode : ISource
{
    private readonly AmqpPeer _connection;
    private readonly AmqpSender _link;
    private readonly PartitionReading _reading;
    private readonly CancellationTokenSource _stop = new();
    private readonly bool _settled;

    // The sender's.
    private byte[] _metric = [];
    private uint _tag;

    // Written under the gate, read by the sender.
    private volatile bool _isGone;

    public ReaderNode(AmqpPeer connection, AmqpSender link, ReaderRequest request, PartitionReading reading)
    {
        _connection = connection;
        _link = link;
        _reading = reading;
        Request = request;

        // A reader that insists on settling gets what it wants; to the others events are sent and forgotten: its checkpoint is its own.
        _settled = link.Attach.SenderSettleMode is not SenderSettleMode.Unsettled;
        AmqpMeter.Reading(1);
    }

    public ReaderRequest Request { get; }

    public bool IsGone => _isGone;

    /// <summary>Another reader took the partition over. From any thread.</summary>
    public void Steal() => _connection.End(_link, new AmqpError(AmqpConditions.LinkStolen, "a reader with a higher epoch took the partition over"), "a reader with a higher epoch took the partition over");

    /// <summary>Its consumer group was deleted. From any thread.</summary>
    public void EndGroup() => _connection.End(_link, new AmqpError(AmqpConditions.NotFound, "the consumer group was deleted"), "the consumer group was deleted");

    public void Pump()
    {
        if (_isGone)
            return;

        if (_reading.Left > 1 && _link.Credit > 1)
            _connection.Reserve();
        Span<byte> tag = stackalloc byte[4];
        while (_reading.HasCurrent)
        {
            var message = _reading.Current.Message.Span;
            if (!_connection.HasRoomFor(_metric.Length + message.Length))
                return;

            BinaryPrimitives.WriteUInt32BigEndian(tag, _tag);
            if (_link.TrySend(_metric, message, tag, 0, _settled, context: null) != AmqpSendResult.Sent)
                return;

            _tag++;
            _reading.Advance();
        }
    }

    public async ValueTask<bool> FillAsync()
    {
        if (_isGone)
            return false;
        if (_link.Credit == 0)
            return GiveCreditBack();
        if (_reading.HasCurrent)
            return false; // It waits for room.

        bool hasMore;
        try
        {
            do
                hasMore = await _reading.FillAsync(_stop.Token).ConfigureAwait(false);
            while (!hasMore && !_link.IsDraining && _reading.TellWhenMore(_connection));
        }
        catch (OperationCanceledException)
        {
            return false; // The link went while we read.
        }
        catch (Exception e)
        {
            _connection.Fail(_link, e); // The log could not be read: that ends this reader and nobody else.
            return false;
        }

        if (!hasMore)
            return GiveCreditBack(); // Else the log tells the connection when there is more.

        if (Request.WantsMetric)
            _metric = MetricNow();
        return true;
    }

    public void OnGone()
    {
        if (_isGone)
            return;

        _isGone = true;
        _stop.Cancel();
        _connection.Head.Readers.Leave(this);
        AmqpMeter.Reading(-1);
    }

    public void Dispose()
    {
        _reading.Dispose();
        _stop.Dispose();
    }

    // There is nothing to send; true when the peer asked to be told so.
    private bool GiveCreditBack()
    {
        if (!_link.IsDraining || !_link.IsAttached)
            return false;

        lock (_connection.Gate)
            _link.Drained();
        return true;
    }

    private byte[] MetricNow()
    {
        var partition = _connection.Head.Hub.Log.Describe(StreamId.Events, Request.Partition);
        var newest = partition.NextSequence - 1;
        var target = new byte[256];
        var writer = new AmqpWriter(target);
        writer.Section(AmqpSection.DeliveryAnnotations);
        var map = writer.BeginMap();
        writer.Symbol("last_enqueued_offset"u8);
        writer.String(Encoding.ASCII.GetBytes(Math.Max(0, newest).ToString("D20", CultureInfo.InvariantCulture)));
        writer.Symbol("last_enqueued_sequence_number"u8);
        writer.Long(newest);
        writer.Symbol("last_enqueued_time_utc"u8);
        writer.Timestamp(partition.LastEnqueuedTime.ToUnixTimeMilliseconds());
        writer.Symbol("runtime_info_retrieval_time_utc"u8);
        writer.Timestamp(_connection.Head.Hub.Time.GetUtcNow().ToUnixTimeMilliseconds());
        writer.End(map, 8);
        return target[..writer.Written];
    }
}
