namespace Sallyport.Hub.Limits;

/// <summary>
/// When an address whose connections fail to authenticate is not heard any more. All values are ours: Azure documents none.
/// </summary>
public sealed record BackoffOptions
{
    /// <summary>Failures that are forgiven: an address is refused from this many on. Default 5: an SDK that retries with its usual back-off never has so many.</summary>
    public int Failures { get; init; } = 5;

    /// <summary>One failure is forgotten in this time. Default 5 s.</summary>
    public TimeSpan Forgets { get; init; } = TimeSpan.FromSeconds(5);

    /// <summary>Nobody is refused sooner after its first failure, so that a burst of a fleet with one bad device is over before. Default 1 s.</summary>
    public TimeSpan Grace { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>The first back-off; each that follows lasts twice as long. Default 2 s.</summary>
    public TimeSpan First { get; init; } = TimeSpan.FromSeconds(2);

    /// <summary>The longest back-off. Default 1 min: whoever mends a credential waits no longer.</summary>
    public TimeSpan Longest { get; init; } = TimeSpan.FromMinutes(1);

    /// <summary>An address from which somebody was let in is never refused before TLS while that one is connected, and this long after it was let in. Default 10 min.</summary>
    public TimeSpan Trust { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>Addresses and pairs of address and identity that are remembered, each. Default 16,384: about 3 MB. At the bound new ones are not tracked until others are at rest.</summary>
    public int MaxTracked { get; init; } = 16_384;

    /// <summary>Every value that is out of its range, in a sentence each.</summary>
    public IEnumerable<string> Validate()
    {
        if (Failures < 1)
            yield return "Failures must be at least 1";
        if (Forgets <= TimeSpan.Zero || First <= TimeSpan.Zero || Longest < First || Longest > TimeSpan.FromHours(1))
            yield return "Forgets and First must be positive, and Longest between First and 1 h";
        if (Grace < TimeSpan.Zero || Trust < TimeSpan.Zero)
            yield return "Grace and Trust must not be negative";
        if (MaxTracked < 1)
            yield return "MaxTracked must be at least 1";
    }
}
