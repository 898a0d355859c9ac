using System.Collections.Concurrent;

namespace Sallyport.Hub.Uploads;

/// <summary>
/// How many bodies are received at a time, of one device and in all. Who comes too early waits, without a byte of its body being read; who waits
/// too long, or behind too many of its own device, is refused. Thread-safe.
/// </summary>
public sealed class BodyTurns(UploadOptions options, TimeProvider time) : IDisposable
{
    // Of one device, for each place that it has.
    private const int WaitingPerPlace = 5;

    private readonly SemaphoreSlim _all = new(options.MaxBodies);
    private readonly ConcurrentDictionary<string, Queue> _devices = new(StringComparer.Ordinal);

    /// <summary>Devices of which a body is received or waits; for tests.</summary>
    internal int Devices => _devices.Count;

    /// <summary>Waits for a turn.</summary>
    /// <returns>To be disposed when the body is received, or will not be.</returns>
    /// <exception cref="BlobException">503: it did not come in time.</exception>
    public async ValueTask<IDisposable> EnterAsync(string deviceId, CancellationToken cancel)
    {
        var device = Join(deviceId);
        if (device is null)
            throw new BlobException(BlobErrors.ServerBusy);

        var turn = new Turn(this, deviceId, device);
        using var timeout = new CancellationTokenSource(options.BodyWait, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancel);
        try
        {
            // A device's own places first: one that fills them keeps nobody else waiting.
            await device.Places.WaitAsync(either.Token).ConfigureAwait(false);
            turn.HasPlace = true;
            await _all.WaitAsync(either.Token).ConfigureAwait(false);
            turn.HasTurn = true;
            return turn;
        }
        catch (OperationCanceledException)
        {
            turn.Dispose();
            cancel.ThrowIfCancellationRequested();
            throw new BlobException(BlobErrors.ServerBusy);
        }
    }

    public void Dispose() => _all.Dispose();

    private Queue? Join(string deviceId)
    {
        while (true)
        {
            var device = _devices.GetOrAdd(deviceId, _ => new Queue(options.MaxDeviceBodies));
            lock (device)
            {
                if (device.IsGone)
                    continue;
                if (device.Members >= options.MaxDeviceBodies * WaitingPerPlace)
                    return null;
                device.Members++;
                return device;
            }
        }
    }

    private sealed class Queue(int places)
    {
        public SemaphoreSlim Places { get; } = new(places);

        /// <summary>Bodies that are received or wait; under the lock on this.</summary>
        public int Members { get; set; }

        /// <summary>Nobody joins it any more; under the lock on this.</summary>
        public bool IsGone { get; set; }
    }

    private sealed class Turn(BodyTurns turns, string deviceId, Queue device) : IDisposable
    {
        public bool HasPlace { get; set; }

        public bool HasTurn { get; set; }

        public void Dispose()
        {
            if (HasTurn)
                turns._all.Release();
            if (HasPlace)
                device.Places.Release();
            lock (device)
            {
                if (--device.Members > 0)
                    return;
                device.IsGone = true;
                turns._devices.TryRemove(KeyValuePair.Create(deviceId, device));
            }
        }
    }
}
