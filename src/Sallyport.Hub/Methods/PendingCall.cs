using Sallyport.Hub.Devices;

namespace Sallyport.Hub.Methods;

/// <summary>A call under way. Its fields are guarded by the lock of <see cref="DirectMethods"/>; its tasks complete elsewhere than under it.</summary>
internal sealed class PendingCall(MethodCall call)
{
    private TaskCompletionSource _changed = NewSource();

    public MethodCall Call { get; } = call;

    public MethodRequest Request { get; } = new(Guid.NewGuid(), call.Name, call.Payload);

    /// <summary>Where it was sent, or is being sent; null while the device is waited for.</summary>
    public IDeviceLink? Link { get; set; }

    public TaskCompletionSource<MethodResult> Answer { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Completes with the next <see cref="TellChanged"/>.</summary>
    public Task Changed => _changed.Task;

    /// <summary>What the device's link takes may have changed.</summary>
    public void TellChanged() => _changed.TrySetResult();

    /// <summary>Begins to wait anew.</summary>
    public void Arm()
    {
        if (_changed.Task.IsCompleted)
            _changed = NewSource();
    }

    private static TaskCompletionSource NewSource() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
