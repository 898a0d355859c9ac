using System.Net.Http.Headers;
using System.Text;
using System.Text.Json.Nodes;

namespace Sallyport.Client.Service;

public sealed partial class ServiceClient
{
    private const string BatchContentType = "application/vnd.microsoft.iothub.json";

    /// <summary>Sends telemetry in the place of a device or module; needs the right to connect as one.</summary>
    /// <param name="properties">System properties under IoT Hub's names for HTTPS (<c>iothub-messageid</c>, <c>iothub-contenttype</c>, …), all others are the application's.</param>
    /// <inheritdoc cref="SendAsync" path="/exception"/>
    public async Task SendTelemetryAsync(
        string deviceId, string? moduleId, ReadOnlyMemory<byte> body, IReadOnlyDictionary<string, string>? properties = null, CancellationToken cancel = default)
    {
        // As a batch of one, whose properties hold any text; headers do not.
        var own = new JsonObject();
        foreach (var (name, value) in properties ?? new Dictionary<string, string>())
            own[name] = value;
        var batch = new JsonArray(new JsonObject { ["body"] = Convert.ToBase64String(body.Span), ["properties"] = own });
        var path = $"devices/{Uri.EscapeDataString(deviceId)}{(moduleId is null ? "" : $"/modules/{Uri.EscapeDataString(moduleId)}")}/messages/events";
        await ExchangeAsync(
            () =>
            {
                var request = Request(HttpMethod.Post, path, null, null);
                request.Content = new StringContent(batch.ToJsonString(), Encoding.UTF8);
                request.Content.Headers.ContentType = new MediaTypeHeaderValue(BatchContentType);
                return request;
            },
            _timeout, cancel).ConfigureAwait(false);
    }

    /// <summary>Takes the next batch of feedback on commands, which no other receiver gets for the next 60 s; null when there is none.</summary>
    /// <inheritdoc cref="SendAsync" path="/exception"/>
    public async Task<FeedbackBatch?> ReceiveFeedbackAsync(CancellationToken cancel = default)
    {
        var (answer, headers) = await ExchangeAsync(() => Request(HttpMethod.Get, "messages/serviceBound/feedback", null, null), _timeout, cancel).ConfigureAwait(false);
        return answer is null ? null : new FeedbackBatch(answer.AsArray(), headers.ETag?.Tag.Trim('"') ?? throw new InvalidDataException("the hub gave a batch of feedback without its lock token"));
    }

    /// <summary>A batch of feedback is taken: the hub forgets it.</summary>
    /// <inheritdoc cref="SendAsync" path="/exception"/>
    public Task CompleteFeedbackAsync(FeedbackBatch batch, CancellationToken cancel = default) =>
        SendAsync(HttpMethod.Delete, $"messages/serviceBound/feedback/{Uri.EscapeDataString(batch.LockToken)}", cancel: cancel);
}

/// <param name="Records">As IoT Hub writes them: <c>originalMessageId</c>, <c>statusCode</c>, <c>deviceId</c>, ….</param>
/// <param name="LockToken">Completes it.</param>
public sealed record FeedbackBatch(JsonArray Records, string LockToken);
