namespace Sallyport.Storage.EventLog;

/// <content>Appends that wait, in the order they came, because the forming buffer or the disk's next segment has no room.</content>
public sealed partial class SegmentLog
{
    /// <summary>Gate.</summary>
    private Task<AppendResult> WaitForRoom(RecordBatch batch, ICommitListener? listener, CancellationToken cancel)
    {
        LogMeter.Waited();
        var waiter = new RoomWaiter(batch, listener);
        var node = _awaitingRoom.AddLast(waiter);

        // Not disposed by the one who admits (that would wait for the callback, which waits for the gate), but when the task ends.
        if (cancel.CanBeCanceled)
        {
            var registration = cancel.UnsafeRegister(_ => GiveUp(node, cancel), null);
            waiter.Task.ContinueWith(static (_, held) => ((CancellationTokenRegistration)held!).Dispose(), registration, CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
        }

        return waiter.Task;
    }

    private void GiveUp(LinkedListNode<RoomWaiter> node, CancellationToken cancel)
    {
        lock (_gate)
        {
            if (node.List is null)
                return;

            _awaitingRoom.Remove(node);
            node.Value.SetCanceled(cancel);

            // Who came after it may fit.
            AdmitWaiters();
        }
    }

    /// <summary>Appends for those who wait, as many as there is room for. Gate.</summary>
    private void AdmitWaiters()
    {
        while (_awaitingRoom.First is { } node && TryAppend(node.Value.Batch, node.Value.Listener) is { } result)
        {
            _awaitingRoom.RemoveFirst();
            node.Value.SetResult(result);
        }
    }

    private sealed class RoomWaiter(RecordBatch batch, ICommitListener? listener)
        : TaskCompletionSource<AppendResult>(TaskCreationOptions.RunContinuationsAsynchronously)
    {
        public RecordBatch Batch { get; } = batch;

        public ICommitListener? Listener { get; } = listener;
    }
}
