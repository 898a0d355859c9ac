namespace Sallyport.Hub.Methods;

/// <summary>How many calls of direct methods may be under way. At each bound a call is refused with 429001.</summary>
public sealed record MethodOptions
{
    /// <summary>Calls of all callers. Default 10,000.</summary>
    public int MaxPending { get; init; } = 10_000;

    /// <summary>Calls of one device or module. Default 100.</summary>
    public int MaxPendingPerDevice { get; init; } = 100;

    /// <summary>Payloads of all calls together, in bytes. Default 64 MiB.</summary>
    public long MaxPendingBytes { get; init; } = 64 * 1024 * 1024;
}
