using Sallyport.Storage.EventLog;

namespace Sallyport.Services.Connections;

public enum ConnectionState
{
    /// <summary>Writes what comes.</summary>
    Running,

    /// <summary>The target was not reached; tried again.</summary>
    Waiting,

    /// <summary>By somebody's wish. What comes is held for it.</summary>
    Paused,

    /// <summary>The target, or a rule here, said no: somebody has to act. Tried again.</summary>
    Failed,

    /// <summary>Not tried again before the next start.</summary>
    Stopped,
}

/// <summary>How a connection is doing. Without secrets.</summary>
/// <param name="Target">Server or file, and table.</param>
/// <param name="LastError">The last thing that went wrong, also when it is mended; null when nothing did since the start.</param>
/// <param name="RowsWritten">Since the start.</param>
public sealed record ConnectionDescription(
    string Name,
    string Kind,
    string Table,
    string Target,
    bool FromEarliest,
    HoldPolicy Hold,
    string Creator,
    DateTimeOffset CreatedTime,
    ConnectionState State,
    string? LastError,
    DateTimeOffset? LastErrorTime,
    long RowsWritten,
    IReadOnlyList<PartitionLag> Behind);

/// <param name="Records">Not written yet.</param>
/// <param name="Seconds">How long the oldest of them has been waiting; 0 when there is none.</param>
/// <param name="Skipped">Records that were gone before they could be written, since the connection was created.</param>
public readonly record struct PartitionLag(int Partition, long Records, double Seconds, long Skipped);
