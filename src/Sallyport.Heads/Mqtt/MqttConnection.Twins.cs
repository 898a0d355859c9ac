using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Unicode;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Mqtt;
using Sallyport.Protocol.Topics;
using Sallyport.Storage.Metadata;

namespace Sallyport.Heads.Mqtt;

/// <content>
/// The twin: requests are answered in their order, each before the next packet is read; what is against a rule is an answer and leaves the
/// connection be. Answers and changes of desired properties go out with QoS 0, while the device is subscribed to them.
/// </content>
internal sealed partial class MqttConnection
{
    private static readonly byte[] DesiredTopic = Encoding.ASCII.GetBytes("$iothub/twin/PATCH/properties/desired/?$version=");

    // Of what stands before and behind the request's id: words, a status, a version.
    private const int MaxAnswerTopicBytes = 64;

    // Written by the read loop, read by whoever changes a twin.
    private volatile bool _takesDesired;

    public bool TakesDesired => _takesDesired && !IsEnding;

    public void Offer(DesiredChange change)
    {
        Span<byte> topic = stackalloc byte[DesiredTopic.Length + 20];
        DesiredTopic.CopyTo(topic);
        change.Version.TryFormat(topic[DesiredTopic.Length..], out var digits, provider: CultureInfo.InvariantCulture);
        if (!TryPublish(topic[..(DesiredTopic.Length + digits)], change.Json.Span, qos: 0, packetId: 0) && !IsEnding)
            Close(HubErrors.Throttled, "it does not read what it is told of its desired properties");
    }

    private async ValueTask OnTwinRequestAsync(MqttRequest request)
    {
        await KeepToQuotaAsync(messages: 1, request.Payload.Length).ConfigureAwait(false);
        _head.Devices.Seen(Identity);
        try
        {
            if (request.Target == PublishTarget.TwinGet)
            {
                AnswerTwin(request, 200, null, _device!.ReadTwin());
                return;
            }

            if (!DeviceTopics.TryReadVersion(request.Query.Span, out var onlyAt))
                throw new HubException(HubErrors.ArgumentInvalid, "$version: not a number");

            var report = _device!.ReportAsync(request.Payload.Span, onlyAt, _closed);
            if (!report.IsCompleted)
                Stall(HubErrors.ServiceUnavailable);
            var version = await report.ConfigureAwait(false);
            AnswerTwin(request, 204, version, default);
        }
        catch (HubException refusal)
        {
            AnswerTwin(request, refusal.Error.HttpStatus, null, TwinRefusal.Encode(refusal));
        }
        catch (MetadataWriteException)
        {
            AnswerTwin(request, 503, null, TwinRefusal.Encode(new HubException(HubErrors.ServiceUnavailable, HubErrors.ServiceUnavailable.Meaning)));
        }
        finally
        {
            Resume();
        }
    }

    // $rid first, and nothing before it: the C client reads it there.
    private void AnswerTwin(MqttRequest request, int status, long? version, ReadOnlySpan<byte> body)
    {
        var id = request.RequestId;
        if (id.IsEmpty || !_session.IsSubscribed(DeviceTopics.TwinResponses))
            return;

        Span<byte> head = stackalloc byte[MaxAnswerTopicBytes], tail = stackalloc byte[MaxAnswerTopicBytes];
        Utf8.TryWrite(head, CultureInfo.InvariantCulture, $"$iothub/twin/res/{status}/?$rid=", out var headLength);
        var tailLength = 0;
        if (version is { } number)
            Utf8.TryWrite(tail, CultureInfo.InvariantCulture, $"&$version={number}", out tailLength);
        var length = headLength + id.Length + tailLength;
        if (length > ushort.MaxValue)
            throw new MqttProtocolException("the request id does not fit into the topic of the answer");

        var topic = ArrayPool<byte>.Shared.Rent(length);
        head[..headLength].CopyTo(topic);
        id.CopyTo(topic.AsSpan(headLength));
        tail[..tailLength].CopyTo(topic.AsSpan(headLength + id.Length));
        Post();
        var isTaken = TryEnqueue(topic.AsSpan(0, length), body, qos: 0, packetId: 0);
        ArrayPool<byte>.Shared.Return(topic);
        SendNow();
        if (!isTaken && !IsEnding)
            throw new MqttProtocolException(HubErrors.Throttled, "answers about its twin are unread");
    }
}
