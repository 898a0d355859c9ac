using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Posture;

/// <summary>How many there are, and the first of them.</summary>
public sealed class Tally
{
    private readonly List<string> _examples = [];

    public long Count { get; private set; }

    public IReadOnlyList<string> Examples => _examples;

    internal void Add(string example)
    {
        Count++;
        if (_examples.Count < Finding.MaxExamples)
            _examples.Add(example);
    }
}

/// <summary>What a walk through the registry counts: a page at a time, each a short look of its own, so that the writer is not held up and memory does not grow.</summary>
internal sealed class RegistryTally
{
    private const int PerPage = 1000;

    /// <summary>Not heard of for so long. Azure's guidance on stale identities is 90 days.</summary>
    public static readonly TimeSpan UnusedAfter = TimeSpan.FromDays(90);

    /// <summary>A key that nobody renewed for so long has seen people come and go.</summary>
    public static readonly TimeSpan OldKeyAfter = TimeSpan.FromDays(365);

    public Tally NeverConnected { get; } = new();

    public Tally Unused { get; } = new();

    public Tally OldSecondaryKeys { get; } = new();

    public static async Task<RegistryTally> OfAsync(IMetadata metadata, DateTimeOffset now, CancellationToken cancel)
    {
        var tally = new RegistryTally();
        IdentityFacts? after = null;
        while (true)
        {
            cancel.ThrowIfCancellationRequested();
            var from = after;
            var page = metadata.Read(tx => metadata.Identities.Survey(tx, from, PerPage));
            foreach (var facts in page)
                tally.Count(facts, now);
            if (page.Count < PerPage)
                return tally;

            after = page[^1];
            await Task.Yield();
        }
    }

    private void Count(IdentityFacts facts, DateTimeOffset now)
    {
        var newest = Nullable.Compare(facts.PrimarySince, facts.SecondarySince) >= 0 ? facts.PrimarySince : facts.SecondarySince;
        if (facts.LastActivityTime is not { } active)
        {
            // A key that was given lately is about to be used.
            if (facts.Enabled && (newest is null || now - newest > UnusedAfter))
                NeverConnected.Add(facts.ToString());
        }
        else if (facts.Enabled && now - active > UnusedAfter)
        {
            Unused.Add($"{facts} ({active:yyyy-MM-dd})");
        }

        if (facts.Authentication == IdentityAuthentication.Sas && (facts.SecondarySince is null || now - facts.SecondarySince > OldKeyAfter))
            OldSecondaryKeys.Add(facts.ToString());
    }
}
