namespace Sallyport.Heads.Http;

/// <summary>Bounds of the streaming read.</summary>
public sealed record EventReadOptions
{
    /// <summary>How many requests may read events at the same time; one more is answered 503. Default 64: each holds 64 KiB per partition.</summary>
    public int MaxReaders { get; init; } = 64;

    /// <summary>An idle stream gets a heartbeat line after one to two of these. Default 15 s.</summary>
    public TimeSpan Heartbeat { get; init; } = TimeSpan.FromSeconds(15);
}
