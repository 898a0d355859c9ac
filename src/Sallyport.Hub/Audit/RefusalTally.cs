namespace Sallyport.Hub.Audit;

/// <summary>
/// Counts refusals, or reads, by principal, action, target and reason between two <see cref="Drain"/>s, so that a flood of them is a few
/// lines. Bounded: what finds no place is counted together. Thread-safe.
/// </summary>
/// <param name="result">Of what is counted here.</param>
internal sealed class RefusalTally(int maxTallies, string result)
{
    private readonly Lock _gate = new();
    private Dictionary<(string Principal, string Action, string Target, string Reason), (AuditEntry Last, long Repeated)> _tallies = [];
    private long _beyond;

    /// <summary>True for the first of its kind, to be written at once; others are counted.</summary>
    public bool IsFirst(AuditEntry entry)
    {
        var key = (entry.Principal, entry.Action, entry.Target, entry.Reason);
        lock (_gate)
        {
            if (_tallies.TryGetValue(key, out var tally))
            {
                _tallies[key] = (entry, tally.Repeated + 1);
                return false;
            }

            if (_tallies.Count >= maxTallies)
            {
                _beyond++;
                return false;
            }

            _tallies.Add(key, (entry, 0));
            return true;
        }
    }

    /// <summary>What came more than once, as its last entry and the number of entries not written yet; starts anew.</summary>
    public List<(AuditEntry Entry, long Count)> Drain()
    {
        Dictionary<(string, string, string, string), (AuditEntry Last, long Repeated)> tallies;
        long beyond;
        lock (_gate)
        {
            (tallies, _tallies) = (_tallies, []);
            (beyond, _beyond) = (_beyond, 0);
        }

        var lines = tallies.Values.Where(tally => tally.Repeated > 0).Select(tally => (tally.Last, tally.Repeated)).ToList();
        if (beyond > 0)
            lines.Add((new AuditEntry("anonymous", "", "audit tally", "", result, $"others than the {maxTallies} kinds of this minute", "", ""), beyond));
        return lines;
    }
}
