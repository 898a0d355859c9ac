using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Messages;
using Sallyport.Protocol.Amqp.Performatives;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.EventLog;

namespace Sallyport.Heads.Amqp.Nodes;

/// <summary>
/// Where a device's telemetry arrives: what one read brought becomes one append, and one disposition for all of it once it is on disk.
/// </summary>
/// <remarks>
/// While the log or a quota keeps a batch waiting, the next ones wait behind it and the link gets no new credit; only past
/// <see cref="AmqpHeadOptions.MaxHeldBytes"/> is the connection, with all its devices, read no further.
/// </remarks>
internal sealed class TelemetryNode(AmqpPeer connection, AmqpReceiver link, AmqpDevice device) : IReceivingNode, IDeviceNode
{
    /// <summary>256 KB of telemetry, and what the encoding of many small properties or messages adds.</summary>
    public const int MaxEncodedBytes = Ingest.MaxMessageBytes + (64 * 1024);

    // What a delivery may come to with all that the hub adds to each message: 30 times as much for tiny ones. Two and a half million bytes hold
    // 5,000 of them, and what is held besides (MaxHeldBytes) still fits one append (4 MiB).
    private const int MaxStoredBytes = 5 * 512 * 1024;

    // A batch is appended early at this size.
    private const int BatchBytes = 256 * 1024;

    // Under the gate: what is owed an outcome, in the order of arrival, first as ranges without a position.
    private readonly Queue<Owed> _owed = [];
    private List<DeliveryRange> _ranges = [];
    private TelemetryTurn? _turn;
    private int _largestBatchBytes;
    private bool _isGone;

    // The read loop's: the batches that wait.
    private Task? _storing;

    public AmqpDevice Device { get; } = device;

    public void Begin()
    {
        link.Accept(Ingest.MaxMessageBytes);
        link.MaxMessageSize = MaxEncodedBytes;
        link.Grant(connection.Head.Options.TelemetryCredit);
    }

    public bool Take(in AmqpDelivery delivery)
    {
        if (_turn is null)
        {
            _turn = connection.Head.Turns.Rent();
            connection.Touched(this);
        }

        var batch = _turn.Batch;
        var (count, bytes) = (batch.Count, batch.Bytes);
        if (Encode(delivery) is { } error)
        {
            batch.CutTo(count, bytes);
            if (!delivery.Settled)
                link.Settle(delivery.Id, delivery.Id, 1, DeliveryState.Rejected, error);
            link.TopUp();
            return true;
        }

        if (!delivery.Settled)
            DeliveryRange.Add(_ranges, delivery.Id);
        _largestBatchBytes = Math.Max(_largestBatchBytes, batch.Bytes);
        return batch.Bytes < BatchBytes;
    }

    public ValueTask CompleteAsync() => StoreAsync();

    /// <summary>Appends what has come together; waits only when too much is held. On the read loop.</summary>
    public ValueTask StoreAsync()
    {
        if (_storing is { IsCompleted: false })
            return HeldBytes() < connection.Head.Options.MaxHeldBytes ? default : new ValueTask(_storing);

        if (TakeBatch() is not { } batch)
            return default;

        var storing = StoreAsync(batch);
        if (storing.IsCompletedSuccessfully)
            return default;

        _storing = ContinueAsync(storing);
        return default;
    }

    /// <summary>Settles what is on disk; under the gate.</summary>
    /// <returns>False when nothing is owed any more.</returns>
    public bool Settle()
    {
        if (_isGone)
            return false;

        var committed = connection.Head.Hub.Log.CommittedPosition(Device.Session.Stamp.Partition);
        var settled = false;
        while (_owed.TryPeek(out var owed) && owed.Position <= committed)
        {
            _owed.Dequeue();
            var range = owed.Range;
            while (_owed.TryPeek(out var next) && next.Position <= committed && next.Range.First == range.Last + 1)
            {
                range = range with { Last = next.Range.Last };
                _owed.Dequeue();
            }

            link.Settle(range.First, range.Last, range.Count, DeliveryState.Accepted);
            settled = true;
        }

        if (settled)
            link.TopUp();
        return _owed.Count > 0;
    }

    /// <summary>The link is gone: what is owed will not be told. What arrived is still appended.</summary>
    public void OnGone()
    {
        _isGone = true;
        _owed.Clear();
    }

    private AmqpError? Encode(in AmqpDelivery delivery)
    {
        if (delivery.Format != AmqpDelivery.BatchFormat)
            return EncodeOne(delivery.Message);

        var messages = new BatchedMessages(delivery.Message);
        var before = _turn!.Batch.Bytes;
        var any = false;
        while (messages.MoveNext())
        {
            if (EncodeOne(messages.Current) is { } error)
                return error;
            if (_turn.Batch.Bytes - before > MaxStoredBytes)
                return new AmqpError(HubErrors.MessageTooLarge.AmqpCondition, "a batch of so many messages is too large with what the hub adds to each");
            any = true;
        }

        return any && !messages.IsBroken ? null : Malformed("the batch could not be read, or holds no message");
    }

    private AmqpError? EncodeOne(ReadOnlySpan<byte> message)
    {
        if (Device.Session.InjectedRefusal is { } refusal)
            return new AmqpError(refusal.AmqpCondition, refusal.Text);

        var properties = _turn!.Properties;
        properties.Clear();
        if (DeviceMessage.Read(message, properties, out var body) is { } wrong)
            return Malformed(wrong);

        return Device.Session.SendTelemetry(properties, body, _turn.Batch) switch
        {
            TelemetryOutcome.Accepted => null,
            TelemetryOutcome.TooLarge => ErrorOf(HubErrors.MessageTooLarge),
            _ => new AmqpError(HubErrors.ArgumentInvalid.AmqpCondition, "a property of the message is not allowed"),
        };
    }

    private int HeldBytes()
    {
        lock (connection.Gate)
            return _turn?.Batch.Bytes ?? 0;
    }

    private Batch? TakeBatch()
    {
        lock (connection.Gate)
        {
            if (_turn is not { } turn)
                return null;

            var batch = new Batch(turn, _ranges, _largestBatchBytes);
            _turn = null;
            _ranges = [];
            _largestBatchBytes = 0;
            connection.Storing(1);
            return batch;
        }
    }

    // The batch waits, and so do those behind it.
    private async Task ContinueAsync(ValueTask storing)
    {
        try
        {
            await storing.ConfigureAwait(false);
            while (TakeBatch() is { } next)
                await StoreAsync(next).ConfigureAwait(false);
        }
        catch (OperationCanceledException)
        {
            return; // The connection is gone.
        }
        catch (Exception e)
        {
            connection.Fail(e);
        }
    }

    private async ValueTask StoreAsync(Batch batch)
    {
        try
        {
            if (batch.Turn.Batch.Count == 0)
                return;
            if (!await KeepToQuotaAsync(batch.Turn.Batch).ConfigureAwait(false))
            {
                Reject(batch, ErrorOf(HubErrors.Throttled));
                return;
            }

            AppendResult result;
            try
            {
                result = await Device.Session.FlushAsync(batch.Turn.Batch, batch.Ranges.Count > 0 ? connection : null, connection.Closed).ConfigureAwait(false);
            }
            catch (HubException refusal)
            {
                Reject(batch, ErrorOf(refusal.Error));
                return;
            }

            switch (result.Outcome)
            {
                case AppendOutcome.Accepted:
                    connection.Head.Hub.Connected.Seen(Device.Identity);
                    Owe(batch, result.Position);
                    break;
                case AppendOutcome.Failed:
                    Reject(batch, ErrorOf(HubErrors.ServiceUnavailable));
                    break;
                default:
                    Reject(batch, ErrorOf(HubErrors.QuotaExceeded));
                    break;
            }
        }
        finally
        {
            lock (connection.Gate)
                connection.Storing(-1);
            connection.Head.Turns.Return(batch.Turn, batch.LargestBytes);
        }
    }

    private async ValueTask<bool> KeepToQuotaAsync(RecordBatch batch)
    {
        for (var waited = TimeSpan.Zero; Device.Session.Quota.TryTakeTelemetry(batch.Count, batch.Bytes) is var wait && wait > TimeSpan.Zero; waited += wait)
        {
            if (waited + wait > connection.Head.Options.LongestThrottle)
                return false;
            // A quota is of time: it has room again when so much has passed.
            await Task.Delay(wait, connection.Head.Hub.Time, connection.Closed).ConfigureAwait(false);
        }

        return true;
    }

    private void Owe(Batch batch, long position)
    {
        lock (connection.Gate)
        {
            if (_isGone)
                return;
            if (batch.Ranges.Count == 0)
            {
                link.TopUp();
                return;
            }

            foreach (var range in batch.Ranges)
                _owed.Enqueue(new Owed(range, position));
            connection.Owes(this);
        }

        // The commit may have come before; then nobody else settles.
        if (connection.Head.Hub.Log.CommittedPosition(Device.Session.Stamp.Partition) >= position)
            connection.Schedule();
    }

    private void Reject(Batch batch, AmqpError error)
    {
        lock (connection.Gate)
        {
            foreach (var range in batch.Ranges)
                link.Settle(range.First, range.Last, range.Count, DeliveryState.Rejected, error);
            link.TopUp();
        }

        connection.Schedule();
    }

    private static AmqpError Malformed(string what) => new(HubErrors.FormatError.AmqpCondition, what);

    private static AmqpError ErrorOf(HubError error) => new(error.AmqpCondition, error.Meaning);

    private sealed record Batch(TelemetryTurn Turn, List<DeliveryRange> Ranges, int LargestBytes);

    private readonly record struct Owed(DeliveryRange Range, long Position);
}

/// <summary>Deliveries with ids one after the other, in serial arithmetic.</summary>
internal readonly record struct DeliveryRange(uint First, uint Last)
{
    public uint Count => Last - First + 1;

    /// <summary>Adds a delivery to ranges in the order of arrival.</summary>
    public static void Add(List<DeliveryRange> ranges, uint id)
    {
        if (ranges.Count > 0 && ranges[^1].Last + 1 == id)
            ranges[^1] = ranges[^1] with { Last = id };
        else
            ranges.Add(new DeliveryRange(id, id));
    }
}
