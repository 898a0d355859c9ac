namespace Sallyport.Hub.Commands;

/// <summary>Something that services are told, given to one of them.</summary>
/// <param name="Token">By which it is settled.</param>
/// <param name="EnqueuedTime">Since when it waits.</param>
/// <param name="DeliveryCount">How often it was given back.</param>
/// <param name="Body">The JSON that IoT Hub's service SDKs read.</param>
public record LockedNotice(Guid Token, DateTimeOffset EnqueuedTime, int DeliveryCount, byte[] Body);

/// <summary>
/// What services are told by the hub, one after the other: receivers compete, and each notice is one receiver's until it settles it or its lock ends. Kept on
/// disk; locks are in memory. Thread-safe.
/// </summary>
public interface IServiceNotices
{
    /// <summary>There may be notices to take; on any thread. Must not block or throw.</summary>
    event Action? Available;

    /// <summary>IoT Hub's content type of a body.</summary>
    string ContentType { get; }

    /// <summary>Gives the oldest notice that nobody has; null when there is none.</summary>
    /// <param name="holder">Who has it until it is settled, the lock ends, or <see cref="Release"/>; null when only the lock ends it.</param>
    LockedNotice? Receive(object? holder);

    /// <summary>The receiver has it: it is gone.</summary>
    /// <returns>False: the lock has ended (412002).</returns>
    ValueTask<bool> CompleteAsync(Guid token);

    /// <summary>It waits again.</summary>
    /// <returns>False: the lock has ended (412002).</returns>
    ValueTask<bool> AbandonAsync(Guid token);

    /// <summary>What the holder has waits again, uncounted.</summary>
    void Release(object holder);
}
