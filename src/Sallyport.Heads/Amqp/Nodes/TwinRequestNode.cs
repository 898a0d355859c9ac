using Sallyport.Hub.Telemetry;
using Sallyport.Protocol.Amqp;
using Sallyport.Protocol.Amqp.Endpoints;
using Sallyport.Protocol.Amqp.Messages;
using Sallyport.Protocol.Amqp.Performatives;
using Sallyport.Protocol.Errors;

namespace Sallyport.Heads.Amqp.Nodes;

/// <summary>
/// Where a device asks about its twin. Its requests are answered one after the other, in their order, beside the read loop: waiting for the disk
/// does not hold up the other devices of the connection.
/// </summary>
internal sealed class TwinRequestNode(AmqpPeer connection, AmqpReceiver link, AmqpDevice device) : IReceivingNode, IDeviceNode, IThreadPoolWorkItem
{
    /// <summary>Requests that may be on their way; as many may wait for the disk.</summary>
    public const uint Credit = 50;

    /// <summary>As of telemetry, and so as over MQTT: a report that is too large for a twin is answered, not cut off.</summary>
    public const int MaxMessageBytes = Ingest.MaxMessageBytes;

    private readonly Queue<TwinRequest> _waiting = []; // under the gate
    private bool _isAnswering; // under the gate
    private bool _isGone; // under the gate

    public AmqpDevice Device { get; } = device;

    public void Begin()
    {
        link.Accept(MaxMessageBytes);
        link.MaxMessageSize = MaxMessageBytes;
        link.Grant(Credit);
    }

    public bool Take(in AmqpDelivery delivery)
    {
        var request = TwinMessages.TryReadRequest(delivery.Message);
        if (!delivery.Settled)
            link.Settle(delivery.Id, delivery.Id, 1, request is null ? DeliveryState.Rejected : DeliveryState.Accepted, request is null ? NotARequest : null);
        if (request is null)
        {
            link.TopUp();
            return true;
        }

        _waiting.Enqueue(request);
        if (_isAnswering)
            return true;

        _isAnswering = true;
        ThreadPool.UnsafeQueueUserWorkItem(this, preferLocal: false);
        return true;
    }

    public ValueTask CompleteAsync() => default;

    public void OnGone() => _isGone = true;

    void IThreadPoolWorkItem.Execute() => _ = AnswerAllAsync();

    private async Task AnswerAllAsync()
    {
        try
        {
            while (true)
            {
                TwinRequest request;
                lock (connection.Gate)
                {
                    if (_isGone || !_waiting.TryDequeue(out request!))
                    {
                        _isAnswering = false;
                        return;
                    }
                }

                var answer = await AnswerAsync(request).ConfigureAwait(false);
                bool isTaken;
                lock (connection.Gate)
                {
                    // A client that is slow to attach the other link, or has detached it, gets no answer.
                    isTaken = Device.FindTwinReply(link.Session) is not { } reply || reply.Send(answer);
                    if (_waiting.Count == 0)
                        link.TopUp();
                }

                connection.Schedule();
                if (!isTaken)
                    Device.Close(HubErrors.Throttled, "it does not read the answers about its twin");
            }
        }
        catch (OperationCanceledException) when (connection.Closed.IsCancellationRequested)
        {
            return; // Nobody is there any more to be answered.
        }
        catch (Exception e)
        {
            connection.Fail(e);
        }
    }

    private async ValueTask<byte[]> AnswerAsync(TwinRequest request)
    {
        try
        {
            await KeepToQuotaAsync(request.Body.Length).ConfigureAwait(false);
            connection.Head.Hub.Connected.Seen(Device.Identity);
            switch (request.Operation)
            {
                case TwinOperation.Get:
                    return TwinMessages.EncodeResponse(request.EncodedId, 200, null, Device.Session.ReadTwin());
                case TwinOperation.Report:
                    var version = await Device.Session.ReportAsync(request.Body, onlyAt: null, connection.Closed).ConfigureAwait(false);
                    return TwinMessages.EncodeResponse(request.EncodedId, 204, version, []);
                case TwinOperation.Subscribe or TwinOperation.Unsubscribe:
                    Device.WantsDesired = request.Operation is TwinOperation.Subscribe;
                    return TwinMessages.EncodeResponse(request.EncodedId, 200, null, []);
                default:
                    throw new HubException(HubErrors.ArgumentInvalid, "operation and resource: GET, PATCH /properties/reported, PUT or DELETE /notifications/twin/properties/desired");
            }
        }
        catch (HubException refusal)
        {
            return TwinMessages.EncodeResponse(request.EncodedId, refusal.Error.HttpStatus, null, TwinRefusal.Encode(refusal));
        }
        catch (Storage.Metadata.MetadataWriteException)
        {
            var unavailable = new HubException(HubErrors.ServiceUnavailable, HubErrors.ServiceUnavailable.Meaning);
            return TwinMessages.EncodeResponse(request.EncodedId, unavailable.Error.HttpStatus, null, TwinRefusal.Encode(unavailable));
        }
    }

    // Nothing more of the device is answered, and it gets no credit, until it or the hub may take more: a quota is of time, which is what is waited for.
    private async ValueTask KeepToQuotaAsync(int bytes)
    {
        while (Device.Session.Quota.TryTakeTelemetry(1, bytes) is var wait && wait > TimeSpan.Zero)
            await Task.Delay(wait, connection.Head.Hub.Time, connection.Closed).ConfigureAwait(false);
    }

    private static AmqpError NotARequest { get; } = new(HubErrors.FormatError.AmqpCondition, "a request about a twin has a correlation-id");
}
