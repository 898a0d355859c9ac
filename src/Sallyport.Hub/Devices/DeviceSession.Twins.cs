using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Twins;

namespace Sallyport.Hub.Devices;

public sealed partial class DeviceSession
{
    // The longest name that a DTDL model may have; a longer one is not kept.
    private const int MaxModelIdLength = 2048;

    /// <summary>The device's twin as it may see it: <c>{"desired":{…,"$version":n},"reported":{…,"$version":m}}</c>. Reads the store.</summary>
    /// <exception cref="HubException">404: the identity is gone; 429: later; 501: there are no twins here.</exception>
    public byte[] ReadTwin()
    {
        var twins = _promises.Twins ?? throw new HubException(HubErrors.NotImplemented, HubErrors.NotImplemented.Meaning);
        return twins.Read(Identity, GenerationId);
    }

    /// <summary>Notes in the twin which model the device named when it connected, if it named one. Once, when it was let in.</summary>
    public ValueTask NoteModelAsync(CancellationToken cancel) =>
        _promises.Twins is { } twins && ModelId is { Length: > 0 and <= MaxModelIdLength } modelId ? twins.NoteModelAsync(Identity, GenerationId, modelId, cancel) : default;

    /// <summary>Merges what the device reports of itself; completes when it is on disk.</summary>
    /// <param name="patch">JSON: an object; null deletes. Read before this returns.</param>
    /// <param name="onlyAt">Only when <c>$version</c> of the reported properties is this; null for any.</param>
    /// <returns><c>$version</c> of the reported properties after it.</returns>
    /// <exception cref="HubException">400: the patch is against a rule (the message names the path); 404: the identity is gone; 412: the version is another; 501: there are no twins here.</exception>
    public ValueTask<long> ReportAsync(ReadOnlySpan<byte> patch, long? onlyAt, CancellationToken cancel)
    {
        var twins = _promises.Twins ?? throw new HubException(HubErrors.NotImplemented, HubErrors.NotImplemented.Meaning);
        return twins.ReportAsync(Identity, GenerationId, TwinReader.Read(patch, TwinLimits.Reported), onlyAt, cancel);
    }
}
