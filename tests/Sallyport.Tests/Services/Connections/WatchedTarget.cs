using Sallyport.Services.Sql;

namespace Sallyport.Tests.Services.Connections;

/// <summary>A real target, with a place to step in before and after each commit. The hooks run while the runner waits for them.</summary>
internal sealed class WatchedTarget(ITelemetryTarget inner) : ITelemetryTarget
{
    private int _commits;

    /// <summary>Told the number of the commit, from 1.</summary>
    public Func<int, Task> BeforeCommit { get; init; } = _ => Task.CompletedTask;

    /// <summary>Told the number of the commit and whether it is done; not called when it failed.</summary>
    public Func<int, Task> AfterCommit { get; init; } = _ => Task.CompletedTask;

    public string Description => inner.Description;

    public bool MayBePlain => false;

    public async Task<ITelemetryTable> OpenAsync(Ownership ownership, CancellationToken cancel) => new Table(this, await inner.OpenAsync(ownership, cancel));

    public Task TestAsync(CancellationToken cancel) => inner.TestAsync(cancel);

    private sealed class Table(WatchedTarget target, ITelemetryTable table) : ITelemetryTable
    {
        public IReadOnlyList<TablePosition> Positions => table.Positions;

        public async Task<int> CommitAsync(RowBatch batch, CancellationToken cancel)
        {
            var number = Interlocked.Increment(ref target._commits);
            await target.BeforeCommit(number);
            var written = await table.CommitAsync(batch, cancel);
            await target.AfterCommit(number);
            return written;
        }

        public ValueTask DisposeAsync() => table.DisposeAsync();
    }
}
