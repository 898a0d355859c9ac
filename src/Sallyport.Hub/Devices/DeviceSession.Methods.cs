namespace Sallyport.Hub.Devices;

public sealed partial class DeviceSession
{
    /// <summary>Takes the device's answer to a direct method. One that nobody waits for any more, or that is not this device's to give, is dropped.</summary>
    /// <param name="requestId">As the request said it: a GUID with or without dashes.</param>
    /// <param name="status">Of the device's own choice; null when what it sent is no number.</param>
    /// <param name="payload">JSON; empty means null.</param>
    public void AnswerMethod(ReadOnlySpan<byte> requestId, int? status, ReadOnlySpan<byte> payload) =>
        _promises.Methods?.Answer(Identity, requestId, status, payload);
}
