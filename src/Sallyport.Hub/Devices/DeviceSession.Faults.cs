using Sallyport.Hub.Faults;

namespace Sallyport.Hub.Devices;

public sealed partial class DeviceSession
{
    private SessionFaults? _faults;

    /// <summary>Messages of this session may ask for faults of its link, where the hub injects any. Before the first message.</summary>
    public void MayFail(IFaultyLink link) => _faults = _promises.Faults?.Of(Identity, link);

    /// <summary>What a message is refused with now, because one before it asked for that; null: nothing. A head asks before it takes telemetry in.</summary>
    public InjectedRefusal? InjectedRefusal => _faults?.Refusal;
}
