using System.Collections.Concurrent;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Physical;

/// <summary>
/// Which devices are in quarantine, in memory, asked before every append. Whoever puts a device behind the line and then waits for
/// <see cref="DrainAsync"/> knows that nothing of it reaches the stream <c>events</c> any more: every append asked after the line was
/// drawn, or has ended. Thread-safe; an append costs two interlocked additions and allocates nothing.
/// </summary>
/// <param name="capacity">How many devices may be held; at the bound a further one is refused.</param>
public sealed class QuarantineLine(int capacity = QuarantineLine.DefaultCapacity)
{
    /// <summary>Far more than anybody looks through; 10 MB.</summary>
    public const int DefaultCapacity = 100_000;

    // Counters of neighbouring lanes in cache lines of their own.
    private const int Lanes = 64;
    private const int Stride = 16;

    private readonly ConcurrentDictionary<string, QuarantineRecord> _held = new(StringComparer.Ordinal);

    // Appends that are under way: per lane, for the two phases between which a drain changes.
    private readonly int[] _passing = new int[2 * Lanes * Stride];
    private volatile int _phase;
    private volatile TaskCompletionSource? _emptied;
    private int _count;

    public int Capacity { get; } = capacity;

    /// <summary>How many devices are in quarantine.</summary>
    public int Count => Volatile.Read(ref _count);

    /// <summary>Whether the device, and so each of its modules, is in quarantine.</summary>
    public bool Holds(string deviceId) => Count > 0 && _held.ContainsKey(deviceId);

    internal QuarantineRecord? Find(string deviceId) => _held.GetValueOrDefault(deviceId);

    internal IEnumerable<QuarantineRecord> All() => _held.Values;

    /// <summary>Which counter appends of the device use.</summary>
    internal static int LaneOf(string deviceId) => (int)((uint)string.GetHashCode(deviceId, StringComparison.Ordinal) % Lanes) * Stride;

    /// <summary>An append begins; ask <see cref="Holds"/> only after it.</summary>
    /// <returns>To be given to <see cref="Leave"/>, once.</returns>
    internal int Enter(int lane)
    {
        var counter = lane + (_phase * Lanes * Stride);
        Interlocked.Increment(ref _passing[counter]);
        return counter;
    }

    internal void Leave(int counter)
    {
        if (Interlocked.Decrement(ref _passing[counter]) == 0)
            _emptied?.TrySetResult();
    }

    internal void Hold(QuarantineRecord record)
    {
        if (_held.TryAdd(record.DeviceId, record))
            Interlocked.Increment(ref _count);
    }

    internal void Release(string deviceId)
    {
        if (_held.TryRemove(deviceId, out _))
            Interlocked.Decrement(ref _count);
    }

    /// <summary>Completes when every append of the device that began before it was held has ended. One at a time.</summary>
    internal async ValueTask DrainAsync(string deviceId)
    {
        // Twice: an append may have read the phase before the first change and count itself after it.
        var lane = LaneOf(deviceId);
        for (var time = 0; time < 2; time++)
        {
            var before = _phase;
            _phase = 1 - before;
            Interlocked.MemoryBarrier();
            while (true)
            {
                var emptied = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                _emptied = emptied;
                if (Interlocked.CompareExchange(ref _passing[lane + (before * Lanes * Stride)], 0, 0) == 0)
                    break;

                await emptied.Task.ConfigureAwait(false);
            }
        }

        _emptied = null;
    }
}
