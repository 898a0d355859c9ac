using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;
using Sallyport.Hub.Devices;
using Sallyport.Protocol.Identities;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Registry;

/// <summary>
/// Last activity and the time of the last connect or disconnect of identities. They change with every message, so they live
/// here and reach the metadata store at most every <see cref="Period"/>; a crash loses at most that.
/// </summary>
/// <remarks>
/// Thread-safe. Holds one entry per identity that is connected or was active within the last two periods, so never more than
/// there are registered identities: only admitted ones get here.
/// </remarks>
public sealed class ActivityWriteBack : IAsyncDisposable
{
    public static readonly TimeSpan Period = TimeSpan.FromSeconds(30);

    // One transaction holds the writer for about a millisecond per thousand rows; management acts wait no longer.
    private const int RowsPerTransaction = 1000;

    private readonly ConcurrentDictionary<Identity, Presence> _presences = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly IMetadata _metadata;
    private readonly ConnectedDevices _connected;
    private readonly TimeProvider _time;
    private readonly ILogger<ActivityWriteBack> _log;
    private readonly PeriodicTimer _timer;
    private readonly Task _loop;
    private bool _isDisposed;

    public ActivityWriteBack(IMetadata metadata, ConnectedDevices connected, TimeProvider time, ILogger<ActivityWriteBack> log)
    {
        _metadata = metadata;
        _connected = connected;
        _time = time;
        _log = log;
        _connected.Changed += OnConnectionChanged;
        _connected.Active += Seen;
        _timer = new PeriodicTimer(Period, time);
        _loop = RunAsync();
    }

    /// <summary>The identity sent or received something. Costs a look-up and a write; allocates only the first time.</summary>
    public void Seen(Identity identity) => PresenceOf(identity).Active(_time.GetUtcNow().UtcTicks);

    /// <summary>The record with what is known here and not yet there.</summary>
    internal IdentityRecord Join(IdentityRecord record)
    {
        if (!_presences.TryGetValue(Identity.Of(record.DeviceId, record.ModuleId), out var presence))
            return record;

        return record with
        {
            LastActivityTime = presence.LastActivity ?? record.LastActivityTime,
            ConnectionStateUpdatedTime = presence.ConnectionChanged ?? record.ConnectionStateUpdatedTime,
        };
    }

    /// <summary>The identity was created or deleted: what is known here is about a namesake.</summary>
    internal void Forget(Identity identity) => _presences.TryRemove(identity, out _);

    /// <summary>Writes back everything that changed since the last time.</summary>
    internal async ValueTask FlushAsync(CancellationToken cancel)
    {
        var rows = new List<IdentityActivity>(Math.Min(_presences.Count, RowsPerTransaction));
        foreach (var (identity, presence) in _presences)
        {
            if (presence.TryTake())
                rows.Add(new IdentityActivity(identity.DeviceId, identity.ModuleId, presence.LastActivity, presence.ConnectionChanged));
            else if (!_connected.IsConnected(identity))
                _presences.TryRemove(KeyValuePair.Create(identity, presence));

            if (rows.Count == RowsPerTransaction)
                await WriteAsync(rows, cancel);
        }

        if (rows.Count > 0)
            await WriteAsync(rows, cancel);
    }

    /// <summary>Stops, and writes back what is left.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_isDisposed)
            return;

        _isDisposed = true;
        _connected.Changed -= OnConnectionChanged;
        _connected.Active -= Seen;
        await _stop.CancelAsync();
        await _loop;
        _timer.Dispose();
        _stop.Dispose();
        await FlushAsync(CancellationToken.None);
    }

    private async ValueTask WriteAsync(List<IdentityActivity> rows, CancellationToken cancel)
    {
        try
        {
            await _metadata.WriteAsync(tx => { _metadata.Identities.PutActivity(tx, rows); return 0; }, cancel);
        }
        catch
        {
            foreach (var row in rows)
                PresenceOf(Identity.Of(row.DeviceId, row.ModuleId)).PutBack();
            throw;
        }

        rows.Clear();
    }

    private async Task RunAsync()
    {
        try
        {
            while (await _timer.WaitForNextTickAsync(_stop.Token))
            {
                try
                {
                    await FlushAsync(_stop.Token);
                }
                catch (IOException e)
                {
                    // Kept in memory and tried again next period; acts that need the store report the failure to who asked.
                    _log.LogWarning(new EventId(4301, "ActivityNotWritten"), e, "last activity of identities could not be written; it is kept and tried again in {Period}", Period);
                }
            }
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            return;
        }
    }

    private void OnConnectionChanged(Identity identity, bool isConnected, DateTimeOffset at) => PresenceOf(identity).Changed(at.UtcTicks);

    private Presence PresenceOf(Identity identity) =>
        _presences.TryGetValue(identity, out var presence) ? presence : _presences.GetOrAdd(identity, new Presence());

    /// <summary>UTC ticks; 0 is "not known here". Written by any connection, read by any request.</summary>
    private sealed class Presence
    {
        private long _lastActivity;
        private long _connectionChanged;
        private int _unwritten;

        public DateTimeOffset? LastActivity => Time(Volatile.Read(ref _lastActivity));

        public DateTimeOffset? ConnectionChanged => Time(Volatile.Read(ref _connectionChanged));

        public void Active(long ticks)
        {
            Volatile.Write(ref _lastActivity, ticks);
            PutBack();
        }

        public void Changed(long ticks)
        {
            Volatile.Write(ref _connectionChanged, ticks);
            Active(ticks);
        }

        public bool TryTake() => Interlocked.Exchange(ref _unwritten, 0) != 0;

        // Read first: the line stays shared between cores while a device sends many messages within a period.
        public void PutBack()
        {
            if (Volatile.Read(ref _unwritten) == 0)
                Interlocked.Exchange(ref _unwritten, 1);
        }

        private static DateTimeOffset? Time(long ticks) => ticks == 0 ? null : new DateTimeOffset(ticks, TimeSpan.Zero);
    }
}
