using Sallyport.Hub.Devices;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.EventLog;

namespace Sallyport.Heads.Http;

/// <summary>Takes a batch in and waits until it is on disk: one request, one task, which is what HTTP can do.</summary>
internal sealed class CommitAwait : ICommitListener
{
    private readonly TaskCompletionSource _committed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <exception cref="HubException">403: the log takes no telemetry now; 503: it failed or is closing.</exception>
    public static async Task AppendAsync(DeviceSession session, RecordBatch batch, IEventLog log, CancellationToken cancel)
    {
        var listener = new CommitAwait();
        var result = await session.FlushAsync(batch, listener, cancel);
        switch (result.Outcome)
        {
            case AppendOutcome.DiskFull or AppendOutcome.HeldBack:
                throw new HubException(HubErrors.QuotaExceeded, HubErrors.QuotaExceeded.Meaning);
            case AppendOutcome.Failed:
                throw new HubException(HubErrors.ServiceUnavailable, HubErrors.ServiceUnavailable.Meaning);
            default:
                break;
        }

        var committed = listener._committed.Task;
        if (await Task.WhenAny(committed, log.Failure).WaitAsync(cancel) != committed)
            throw new HubException(HubErrors.ServiceUnavailable, HubErrors.ServiceUnavailable.Meaning);
    }

    void ICommitListener.OnCommitted() => _committed.TrySetResult();
}
