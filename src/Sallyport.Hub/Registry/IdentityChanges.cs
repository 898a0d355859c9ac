using Sallyport.Protocol.Identities;

namespace Sallyport.Hub.Registry;

/// <summary>
/// Tells whoever keeps identities in memory (authentication's cache) that one is not as it was: created, changed or deleted.
/// Thread-safe.
/// </summary>
public sealed class IdentityChanges
{
    /// <summary>
    /// Raised after the change is on disk and before its requester is answered. A device's modules change with it: they may
    /// do nothing without it. A reader that fetched the record before the change may still be about to remember it; a cache
    /// must not let it.
    /// </summary>
    public event Action<Identity>? Changed;

    internal void Publish(Identity identity) => Changed?.Invoke(identity);
}
