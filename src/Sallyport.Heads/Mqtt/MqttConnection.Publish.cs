using System.Buffers;
using System.Text;
using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Messages;
using Sallyport.Protocol.Mqtt;
using Sallyport.Protocol.Topics;
using Sallyport.Storage.EventLog;

namespace Sallyport.Heads.Mqtt;

/// <content>Telemetry on its way in: all messages of one read buffer become one batch and one append.</content>
internal sealed partial class MqttConnection
{
    // A batch is appended early at this size, so that one connection cannot hold much memory.
    private const int BatchBytes = 256 * 1024;
    private static readonly TimeSpan RetryInterval = TimeSpan.FromSeconds(1);

    private TelemetryTurn? _turn;
    private int _largestBatchBytes;

    // Of the last batch with something to acknowledge: an acknowledgement without a message of its own waits for it.
    private long _ackPosition = long.MinValue;

    private bool HoldsTelemetry => _turn is { Batch.Count: > 0 };

    // Takes packets until one needs more than this thread can do at once.
    private MqttServerStep Take(ref ReadOnlySequence<byte> input)
    {
        var before = input.Length;
        while (true)
        {
            var step = _session.Next(ref input, _replies, out var telemetry);
            if (step == MqttServerStep.Telemetry)
                Publish(telemetry);
            if (step == MqttServerStep.Handled || (step == MqttServerStep.Telemetry && _turn!.Batch.Bytes < BatchBytes))
                continue;

            if (input.Length < before)
                StayQuietUntil();
            return step;
        }
    }

    private void Publish(in MqttTelemetry telemetry)
    {
        RefuseInjected();
        _turn ??= _head.Turns.Rent();
        var properties = _turn.Properties;
        properties.Clear();
        if (PropertyBag.Read(telemetry.Bag, properties) is { } wrong)
            throw new MqttProtocolException(HubErrors.FormatError, wrong);
        if (telemetry.Retain)
            properties.TryAdd("mqtt-retain"u8, "true"u8);

        switch (_device!.SendTelemetry(properties, telemetry.Payload, _turn.Batch))
        {
            case TelemetryOutcome.TooLarge:
                throw new MqttProtocolException(HubErrors.MessageTooLarge, $"a message of {telemetry.Payload.Length} bytes and {properties.SizeBytes} of properties");
            case TelemetryOutcome.BadProperty:
                throw new MqttProtocolException(HubErrors.ArgumentInvalid, "a property of the message is not allowed");
        }

        _largestBatchBytes = Math.Max(_largestBatchBytes, _turn.Batch.Bytes);
        if (telemetry.PacketId != 0)
            _session.Acks.Stage(telemetry.PacketId); // [MQTT-3.3.4-1] [MQTT-4.3.2-2]
    }

    // Appends the batch; its acknowledgements go out when it is on disk.
    private async ValueTask StoreAsync()
    {
        var owes = _session.Acks.HasStaged;
        if (HoldsTelemetry)
        {
            await KeepToQuotaAsync(_turn!.Batch.Count, _turn.Batch.Bytes).ConfigureAwait(false);
            var position = await AppendAsync(_turn!.Batch, owes ? this : null).ConfigureAwait(false);
            _turn.Batch.Clear();
            if (owes)
                _ackPosition = position;
        }

        if (!owes)
            return;

        _session.Acks.Release(_ackPosition);
        // The commit may have come before the release; then nobody else sends.
        if (_head.Log.CommittedPosition(_device!.Stamp.Partition) >= _ackPosition)
            Schedule();
        if (_session.Acks.Count > _head.Options.MaxUnacknowledged)
            await WaitForRoomAsync().ConfigureAwait(false);
    }

    // Nothing is read and nothing acknowledged until the device, or the hub, may take more; the watch ends what lasts too long.
    private async ValueTask KeepToQuotaAsync(int messages, int bytes)
    {
        var wait = _device!.Quota.TryTakeTelemetry(messages, bytes);
        if (wait == TimeSpan.Zero)
            return;

        Stall(HubErrors.Throttled);
        do
        {
            await Task.Delay(wait, _head.Time, _closed).ConfigureAwait(false);
            wait = _device.Quota.TryTakeTelemetry(messages, bytes);
        }
        while (wait > TimeSpan.Zero);
        Resume();
    }

    private async ValueTask<long> AppendAsync(RecordBatch batch, ICommitListener? listener)
    {
        AppendResult result;
        try
        {
            var append = _device!.FlushAsync(batch, listener, _closed);
            if (!append.IsCompleted)
                Stall(HubErrors.Throttled);
            result = await append.ConfigureAwait(false);
        }
        catch (HubException refusal)
        {
            batch.Clear();
            throw new MqttProtocolException(refusal.Error, refusal.Message);
        }

        if (result.Outcome is AppendOutcome.DiskFull or AppendOutcome.HeldBack)
            result = await RetryAsync(batch, listener).ConfigureAwait(false);

        Resume();
        if (result.Outcome == AppendOutcome.Accepted)
        {
            _head.Devices.Seen(Identity);
            return result.Position;
        }

        batch.Clear();
        throw new MqttProtocolException(HubErrors.ServiceUnavailable, "the event log takes nothing any more");
    }

    // MQTT 3.1.1 cannot say "later": not reading is all there is, until the watch ends the connection.
    private async ValueTask<AppendResult> RetryAsync(RecordBatch batch, ICommitListener? listener)
    {
        Stall(HubErrors.QuotaExceeded);
        using var timer = new PeriodicTimer(RetryInterval, _head.Time);
        while (true)
        {
            await timer.WaitForNextTickAsync(_closed).ConfigureAwait(false);
            var result = await _device!.FlushAsync(batch, listener, _closed).ConfigureAwait(false);
            if (result.Outcome is not (AppendOutcome.DiskFull or AppendOutcome.HeldBack))
                return result;
        }
    }

    // A will is stored when the connection ends in any way but DISCONNECT. [MQTT-3.1.2-8] [MQTT-3.1.2-12]
    private async ValueTask StoreWillAsync()
    {
        if (_session.Will is not { } will)
            return;

        var turn = _head.Turns.Rent();
        using var bound = new CancellationTokenSource(_head.Options.StallTimeout, _head.Time);
        try
        {
            var topic = Encoding.UTF8.GetBytes(will.Topic);
            new DeviceTopics(Identity).Classify(topic, out var bag);
            var wrong = PropertyBag.Read(bag, turn.Properties);
            turn.Properties.TrySet(SystemProperty.MessageType, "Will"u8);
            if (will.Retain) // [MQTT-3.1.2-17]
                turn.Properties.TryAdd("mqtt-retain"u8, "true"u8);

            if (wrong is null && _device!.SendTelemetry(turn.Properties, new ReadOnlySequence<byte>(will.Payload), turn.Batch) is var outcome and not TelemetryOutcome.Accepted)
                wrong = outcome.ToString();
            if (wrong is null && await _device!.FlushAsync(turn.Batch, listener: null, bound.Token).ConfigureAwait(false) is { Outcome: var appended and not AppendOutcome.Accepted })
                wrong = appended.ToString();
            if (wrong is not null)
                _head.Logger.WillLost(Name, wrong);
        }
        catch (OperationCanceledException)
        {
            _head.Logger.WillLost(Name, "no room in the log");
        }
        catch (HubException refusal)
        {
            _head.Logger.WillLost(Name, refusal.Message);
        }
        finally
        {
            _head.Turns.Return(turn, largestBatchBytes: 0);
        }
    }

    private void Stall(HubError error)
    {
        _stallError = error;
        Volatile.Write(ref _stalledUntil, In(_head.Options.StallTimeout));
    }

    private void Resume()
    {
        if (_stalledUntil == Never)
            return;

        StayQuietUntil();
        Volatile.Write(ref _stalledUntil, Never);
    }

    private void EndTurn()
    {
        _session.ReleaseBuffers();
        _session.Acks.Drop();
        if (_turn is not { } turn)
            return;

        _turn = null;
        _head.Turns.Return(turn, _largestBatchBytes);
        _largestBatchBytes = 0;
    }
}
