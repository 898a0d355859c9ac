using Sallyport.Hub.Commands;

namespace Sallyport.Hub.Devices;

public sealed partial class DeviceSession
{
    /// <inheritdoc cref="CommandQueues.Receive"/>
    public IReadOnlyList<LockedCommand> ReceiveCommands(object holder, int top, bool isTimed) =>
        _promises.Commands?.Receive(Identity, _generationId, holder, top, isTimed) ?? [];

    /// <inheritdoc cref="CommandQueues.CompleteAsync"/>
    public ValueTask<bool> CompleteCommandAsync(Guid token) => _promises.Commands?.CompleteAsync(Identity, token) ?? default;

    /// <inheritdoc cref="CommandQueues.AbandonAsync"/>
    public ValueTask<bool> AbandonCommandAsync(Guid token) => _promises.Commands?.AbandonAsync(Identity, token) ?? default;

    /// <inheritdoc cref="CommandQueues.RejectAsync"/>
    public ValueTask<bool> RejectCommandAsync(Guid token) => _promises.Commands?.RejectAsync(Identity, token) ?? default;

    /// <inheritdoc cref="CommandQueues.Release"/>
    public void ReleaseCommands(object holder) => _promises.Commands?.Release(Identity, holder);

    /// <inheritdoc cref="CommandQueues.Return"/>
    public void ReturnCommand(LockedCommand command, IDeviceLink from) => _promises.Commands?.Return(Identity, command, from);
}
