using Sallyport.Hub.Audit;
using Sallyport.Hub.Registry;
using Sallyport.Protocol.Errors;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Physical;

/// <summary>
/// Puts devices into quarantine and releases them: one in quarantine connects and may report, receives nothing, and its data reaches only
/// the quarantine view. Placed by hand or by a rule, lifted by hand only; bound to the id, so that deleting a device and making it anew
/// lifts nothing. Every act is in the audit trail before it takes effect. Thread-safe; refuses with <see cref="HubException"/>.
/// </summary>
public sealed class Quarantine : IDisposable
{
    public const int MaxReasonLength = 512;

    private readonly IMetadata _metadata;
    private readonly QuarantineLine _line;
    private readonly IAuditTrail _audit;
    private readonly TimeProvider _time;
    private readonly SemaphoreSlim _oneAct = new(1, 1);

    /// <summary>Reads who is in quarantine, and draws the line.</summary>
    public Quarantine(IMetadata metadata, QuarantineLine line, IAuditTrail audit, TimeProvider time)
    {
        _metadata = metadata;
        _line = line;
        _audit = audit;
        _time = time;
        foreach (var record in metadata.Read(metadata.Quarantine.List))
            line.Hold(record);
    }

    public int Count => _line.Count;

    /// <summary>Told of each device that was put into quarantine, once it is on disk and before whoever did it is answered. Must not block.</summary>
    public event Action<string>? Placed;

    /// <summary>Null when the device is not in quarantine; it need not be registered.</summary>
    public QuarantineRecord? Find(string deviceId) => _line.Find(deviceId);

    /// <summary>In the order of their ids, behind <paramref name="after"/>.</summary>
    /// <param name="top">1 to <see cref="DeviceRegistry.MaxListed"/>.</param>
    public IReadOnlyList<QuarantineRecord> List(string? after, int top) =>
        [.. _line.All().Where(record => string.CompareOrdinal(record.DeviceId, after) > 0).OrderBy(record => record.DeviceId, StringComparer.Ordinal).Take(top)];

    /// <summary>Whether there is anything to say of the device: it is registered or in quarantine.</summary>
    public bool Knows(string deviceId) => Find(deviceId) is not null || IsRegistered(deviceId);

    /// <summary>
    /// Puts a device, with its modules, into quarantine. When it completes, that is on disk, and no message that the hub accepts from
    /// then on reaches the stream <c>events</c>, also of sessions that are open. One that is there already stays as it is.
    /// </summary>
    /// <exception cref="HubException">400: the reason is too long; 404: there is no such device; 403: there are <see cref="QuarantineLine.Capacity"/>; 503: the audit trail cannot be written.</exception>
    public async ValueTask<QuarantineRecord> PlaceAsync(Actor actor, string deviceId, string reason, CancellationToken cancel)
    {
        if (reason.Length > MaxReasonLength)
            throw new HubException(HubErrors.ArgumentInvalid, $"reason: at most {MaxReasonLength} characters");

        await _oneAct.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            if (Find(deviceId) is { } there)
                return there;
            if (!IsRegistered(deviceId))
                throw new HubException(HubErrors.DeviceNotFound, $"there is no device {deviceId}");
            if (_line.Count >= _line.Capacity)
                throw new HubException(HubErrors.QuotaExceeded, $"{_line.Capacity} devices are in quarantine, as many as may be: release some");

            var record = new QuarantineRecord(deviceId, _time.GetUtcNow(), actor.Principal, reason);
            await _audit.RequireAsync(Because(reason, actor.Done("device quarantine", deviceId)), cancel).ConfigureAwait(false);
            _line.Hold(record);
            try
            {
                await WriteAsync(tx => _metadata.Quarantine.Put(tx, record)).ConfigureAwait(false);
            }
            catch (Exception failure)
            {
                _line.Release(deviceId);
                _audit.Note(actor.Refused("device quarantine", deviceId, $"not stored: {failure.GetType().Name}"));
                throw;
            }

            Placed?.Invoke(deviceId);
            await _line.DrainAsync(deviceId).ConfigureAwait(false);
            return record;
        }
        finally
        {
            _oneAct.Release();
        }
    }

    /// <summary>Lifts a quarantine; what the device reports from then on is telemetry again. What it reported before stays where it is.</summary>
    /// <exception cref="HubException">400: the reason is too long; 404: the device is not in quarantine; 503: the audit trail cannot be written.</exception>
    public async ValueTask ReleaseAsync(Actor actor, string deviceId, string reason, CancellationToken cancel)
    {
        if (reason.Length > MaxReasonLength)
            throw new HubException(HubErrors.ArgumentInvalid, $"reason: at most {MaxReasonLength} characters");

        await _oneAct.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            if (Find(deviceId) is null)
                throw new HubException(HubErrors.NotFound, $"the device {deviceId} is not in quarantine");

            await _audit.RequireAsync(Because(reason, actor.Done("device release", deviceId)), cancel).ConfigureAwait(false);
            try
            {
                await WriteAsync(tx => _metadata.Quarantine.Delete(tx, deviceId)).ConfigureAwait(false);
            }
            catch (Exception failure)
            {
                _audit.Note(actor.Refused("device release", deviceId, $"not stored: {failure.GetType().Name}"));
                throw;
            }

            _line.Release(deviceId);
        }
        finally
        {
            _oneAct.Release();
        }
    }

    public void Dispose() => _oneAct.Dispose();

    private bool IsRegistered(string deviceId) => _metadata.Read(tx => _metadata.Identities.Find(tx, deviceId, null)) is not null;

    // What the trail says of the actor by itself stays.
    private static AuditEntry Because(string reason, AuditEntry entry) => entry with
    {
        Reason = reason.Length == 0 ? entry.Reason : entry.Reason.Length == 0 ? reason : $"{reason} ({entry.Reason})",
    };

    // Without a token: once it is recorded it is done.
    private async ValueTask WriteAsync(Action<MetadataTransaction> act) =>
        await _metadata.WriteAsync(tx =>
        {
            act(tx);
            return true;
        }).ConfigureAwait(false);
}
