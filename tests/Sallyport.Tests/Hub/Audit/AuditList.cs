using System.Collections.Concurrent;
using Sallyport.Hub.Audit;

namespace Sallyport.Tests.Hub.Audit;

/// <summary>An audit trail in memory, whose disk can fail.</summary>
internal sealed class AuditList : IAuditTrail
{
    private readonly ConcurrentQueue<AuditEntry> _entries = new();

    public IReadOnlyList<AuditEntry> Entries => [.. _entries];

    public bool IsBroken { get; set; }

    /// <summary>Called with each entry once it is "on disk", before the act goes on.</summary>
    public Action<AuditEntry>? Recorded { get; set; }

    public ValueTask RecordAsync(AuditEntry entry, CancellationToken cancel)
    {
        if (IsBroken)
            return ValueTask.FromException(new IOException("no space left on device"));

        _entries.Enqueue(entry);
        Recorded?.Invoke(entry);
        return ValueTask.CompletedTask;
    }

    public void Note(AuditEntry entry) => _entries.Enqueue(entry);
}
