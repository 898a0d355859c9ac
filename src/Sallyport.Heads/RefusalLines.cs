using Microsoft.Extensions.Logging;

namespace Sallyport.Heads;

/// <summary>
/// Bounds what refusals add to the log: whoever floods a hub with bad requests must not fill its disk or hide other lines. The audit trail counts
/// all of them by kind. Thread-safe.
/// </summary>
internal sealed class RefusalLines(TimeProvider time, ILogger logger)
{
    /// <summary>Lines of one head a minute.</summary>
    public const int PerMinute = 100;

    private readonly Lock _gate = new();
    private long _minute = time.GetTimestamp();
    private int _refusals;

    /// <summary>Whether this refusal may be a line. The first of a later minute first says how many were left out.</summary>
    public bool MayWrite()
    {
        int left;
        bool may;
        lock (_gate)
        {
            left = 0;
            if (time.GetElapsedTime(_minute) >= TimeSpan.FromMinutes(1))
            {
                left = Math.Max(0, _refusals - PerMinute);
                _minute = time.GetTimestamp();
                _refusals = 0;
            }

            may = _refusals < PerMinute;
            if (_refusals < int.MaxValue)
                _refusals++;
        }

        if (left > 0)
            logger.LogWarning(new EventId(4103, "RefusalsNotLogged"), "{Count} more refusals were not logged: one head writes at most {PerMinute} a minute; the audit trail counts them by kind", left, PerMinute);
        return may;
    }
}
