namespace Sallyport.Services.Sql;

/// <summary>Where a connection writes: a database and a table in it. Two kinds: PostgreSQL and SQLite. Thread-safe.</summary>
internal interface ITelemetryTarget
{
    /// <summary>Which server or file, without any secret.</summary>
    string Description { get; }

    /// <summary>Whether it may be written to over a network without TLS; a file or a unix socket is no network.</summary>
    bool MayBePlain { get; }

    /// <summary>Connects, makes what is missing, and takes the positions over from owners of a lower epoch.</summary>
    /// <exception cref="Outgoing.TargetException">The target is not reached, or said no.</exception>
    /// <exception cref="PositionLostException">An owner of a higher epoch has it.</exception>
    Task<ITelemetryTable> OpenAsync(Ownership ownership, CancellationToken cancel);

    /// <summary>Connects and tries everything that writing needs, then undoes it.</summary>
    /// <exception cref="Outgoing.TargetException">The target is not reached, or said no.</exception>
    Task TestAsync(CancellationToken cancel);
}

/// <summary>An open table. One call at a time. After any exception but <see cref="RowsRefusedException"/> it is only good for disposal.</summary>
internal interface ITelemetryTable : IAsyncDisposable
{
    /// <summary>Where each partition stood when the table was opened.</summary>
    IReadOnlyList<TablePosition> Positions { get; }

    /// <summary>Rows and position in one transaction, all or nothing. Rows that are there already are left as they are.</summary>
    /// <returns>How many rows were new.</returns>
    /// <exception cref="RowsRefusedException">The database cannot hold a value; nothing was written.</exception>
    /// <exception cref="PositionLostException">An owner of a higher epoch has taken over; nothing was written.</exception>
    /// <exception cref="Outgoing.TargetException">Whether it was written is known when the table is opened again.</exception>
    Task<int> CommitAsync(RowBatch batch, CancellationToken cancel);
}

/// <summary>Who writes, and from where if nobody did before.</summary>
/// <param name="HubId">Tells the rows of one hub from those of another in the same table.</param>
/// <param name="ConnectionId">New with every creation, so that a new connection does not go on where a deleted namesake stopped.</param>
/// <param name="Epoch">Grows with every start.</param>
/// <param name="Start">Per partition, the first sequence number to write.</param>
internal sealed record Ownership(string HubId, string ConnectionId, string Name, long Epoch, IReadOnlyList<long> Start);

/// <param name="Next">The first sequence number not written.</param>
/// <param name="Skipped">Records that were gone before they could be written.</param>
internal readonly record struct TablePosition(long Next, long Skipped);

/// <param name="From">Where the partition stands.</param>
/// <param name="Next">Where it stands afterwards.</param>
/// <param name="Skipped">How many between the two are gone.</param>
internal sealed record RowBatch(int Partition, long From, long Next, long Skipped, IReadOnlyList<TelemetryRow> Rows);

/// <summary>The position is not this owner's to move: a newer owner has it, or it is not one of this log. Going on would lose or double rows.</summary>
internal sealed class PositionLostException(string message) : Exception(message);

/// <summary>Who created the connection may not read telemetry any more; somebody has to act.</summary>
internal sealed class RightLostException(string message) : Exception(message);

/// <summary>The database does not take a value of a row, however often it is tried.</summary>
internal sealed class RowsRefusedException(string message, Exception inner) : Exception(message, inner);
