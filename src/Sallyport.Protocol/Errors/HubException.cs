namespace Sallyport.Protocol.Errors;

/// <summary>
/// A request that the hub refuses by rule: the head that took the request catches it in one place and answers on its protocol's level.
/// Never used for the hub's own mistakes.
/// </summary>
/// <param name="error">What the wire says.</param>
/// <param name="message">What is wrong and where, for the one who asked. Never holds a secret.</param>
public sealed class HubException(HubError error, string message) : Exception(message)
{
    public HubError Error { get; } = error;

    /// <summary>When to come back, for who was throttled; null: the error says it all.</summary>
    public TimeSpan? RetryAfter { get; init; }
}
