using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Moving;

/// <summary>The row of a job that runs: every change asks whether it still does. Thread-safe.</summary>
internal sealed class RegistryJobState(IMetadata metadata, string id)
{
    /// <summary>As it is now, with its secret.</summary>
    /// <exception cref="OperationCanceledException">It has ended: it was cancelled.</exception>
    public RegistryJobRecord Read() => metadata.Read(Require);

    /// <exception cref="OperationCanceledException">It has ended: it was cancelled.</exception>
    public RegistryJobRecord Require(MetadataTransaction tx) =>
        metadata.RegistryJobs.Find(tx, id) is { HasEnded: false } job ? job : throw new OperationCanceledException($"job {id} has ended");

    public void Change(MetadataTransaction tx, Func<RegistryJobRecord, RegistryJobRecord> change) => metadata.RegistryJobs.Put(tx, change(Require(tx)));

    public async ValueTask ChangeAsync(Func<RegistryJobRecord, RegistryJobRecord> change, CancellationToken cancel) =>
        await metadata.WriteAsync(
            tx =>
            {
                Change(tx, change);
                return true;
            },
            cancel).ConfigureAwait(false);

    /// <summary>Does something again and again while the hub cannot: its limits or its disk are full, the audit trail cannot be written.</summary>
    /// <exception cref="HubException">It could not for <see cref="Patience"/>.</exception>
    public static async ValueTask<T> PersistAsync<T>(Func<ValueTask<T>> act, TimeProvider time, CancellationToken cancel)
    {
        var since = time.GetTimestamp();
        while (true)
        {
            TimeSpan wait;
            try
            {
                return await act().ConfigureAwait(false);
            }
            catch (HubException busy) when (busy.Error.HttpStatus is 429 or 503 && time.GetElapsedTime(since) < Patience)
            {
                wait = busy.RetryAfter ?? Pause;
            }
            catch (MetadataWriteException full) when (!full.IsPermanent && time.GetElapsedTime(since) < Patience)
            {
                wait = Pause;
            }

            // Limits are over with time, and a full disk tells nobody when it is not.
            await Task.Delay(wait < Pause ? wait : Pause, time, cancel).ConfigureAwait(false);
        }
    }

    /// <summary>How long a job waits for a hub that cannot.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);
}
