using System.Numerics;
using Microsoft.Extensions.Logging;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Access;

/// <summary>When each right of one policy or operator was used last. Thread-safe; noting a use costs a write to memory a right.</summary>
internal sealed class RightUse
{
    // UTC ticks by the number of the right's bit; 0 is never.
    private readonly long[] _lastUsed = new long[64];
    private int _unwritten;

    public RightUse(IEnumerable<RightUseRecord> stored)
    {
        foreach (var use in stored)
            _lastUsed[BitOperations.TrailingZeroCount(use.Right)] = use.LastUsed.UtcTicks;
    }

    public void Used(Rights rights, DateTimeOffset now)
    {
        for (var left = (ulong)rights; left != 0; left &= left - 1)
            Volatile.Write(ref _lastUsed[BitOperations.TrailingZeroCount(left)], now.UtcTicks);
        if (Volatile.Read(ref _unwritten) == 0)
            Interlocked.Exchange(ref _unwritten, 1);
    }

    public DateTimeOffset? LastUsed(Rights right) =>
        Volatile.Read(ref _lastUsed[BitOperations.TrailingZeroCount((ulong)right)]) is var ticks and not 0 ? new DateTimeOffset(ticks, TimeSpan.Zero) : null;

    /// <summary>Everything, if some of it is not stored yet.</summary>
    public IEnumerable<RightUseRecord> Take(string name) =>
        Interlocked.Exchange(ref _unwritten, 0) == 0 ? [] : Enumerable.Range(0, 64)
            .Where(bit => Volatile.Read(ref _lastUsed[bit]) != 0)
            .Select(bit => new RightUseRecord(name, 1L << bit, new DateTimeOffset(Volatile.Read(ref _lastUsed[bit]), TimeSpan.Zero)));

    public void PutBack() => Interlocked.Exchange(ref _unwritten, 1);
}

/// <summary>
/// Stores the use of rights every <see cref="Period"/>; a crash loses at most that. Bounded by the bounds of <see cref="Policies"/>.
/// Thread-safe.
/// </summary>
public sealed class RightUseWriteBack : IAsyncDisposable
{
    public static readonly TimeSpan Period = TimeSpan.FromSeconds(30);

    private readonly Policies _policies;
    private readonly IMetadata _metadata;
    private readonly ILogger _log;
    private readonly PeriodicTimer _timer;
    private readonly Task _loop;

    public RightUseWriteBack(Policies policies, IMetadata metadata, TimeProvider time, ILogger log)
    {
        _policies = policies;
        _metadata = metadata;
        _log = log;
        _timer = new PeriodicTimer(Period, time);
        _loop = RunAsync();
    }

    /// <summary>Stops, and writes back what is left.</summary>
    public async ValueTask DisposeAsync()
    {
        _timer.Dispose();
        await _loop;
    }

    internal async ValueTask FlushAsync()
    {
        var known = _policies.Uses().ToList();
        var uses = known.SelectMany(policy => policy.Use.Take(policy.Name)).ToList();
        if (uses.Count == 0)
            return;

        try
        {
            await _metadata.WriteAsync(tx => { _metadata.Policies.PutUse(tx, uses); return true; });
        }
        catch (IOException e)
        {
            // Kept in memory and tried again next period; nobody waits for it.
            known.ForEach(policy => policy.Use.PutBack());
            _log.LogWarning(new EventId(2210, "RightUseNotWritten"), e, "the use of rights could not be written; it is kept and tried again in {Period}", Period);
        }
    }

    private async Task RunAsync()
    {
        while (await _timer.WaitForNextTickAsync())
            await FlushAsync();
        await FlushAsync();
    }
}
