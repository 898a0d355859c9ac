using Sallyport.Services.Connections;
using Sallyport.Storage.EventLog;

namespace Sallyport.Connections;

/// <summary>What a client sends to create a connection. Holds a secret: never printed.</summary>
/// <param name="Kind">Null: <c>sql</c>.</param>
/// <param name="Table">Null: as it is, at first <c>telemetry</c>.</param>
/// <param name="From"><c>earliest</c> or <c>latest</c>; null: as it is, at first <c>earliest</c>.</param>
/// <param name="Hold"><c>skip</c> or <c>refuse-ingest</c>; null: as it is, at first <c>skip</c>.</param>
internal sealed record ConnectionRequestJson(string? Kind, string? ConnectionString, string? Table, string? From, string? Hold)
{
    public override string ToString() => $"{Kind} into {Table}";
}

/// <summary>What a client gets to see of a connection.</summary>
internal sealed record ConnectionJson(
    string Name, string Kind, string Table, string Target, string From, string Hold, string Creator, DateTimeOffset CreatedTime, ConnectionStatusJson Status)
{
    public static ConnectionJson Of(ConnectionDescription one) => new(
        one.Name, one.Kind, one.Table, one.Target, one.FromEarliest ? "earliest" : "latest", HoldOf(one.Hold), one.Creator, one.CreatedTime,
        new ConnectionStatusJson(one.State, one.LastError, one.LastErrorTime, one.RowsWritten, one.Behind));

    public static string HoldOf(HoldPolicy policy) => policy == HoldPolicy.RefuseIngest ? "refuse-ingest" : "skip";
}

internal sealed record ConnectionStatusJson(
    ConnectionState State, string? LastError, DateTimeOffset? LastErrorTime, long RowsWritten, IReadOnlyList<PartitionLag> Behind);

/// <param name="Problem">Null when all is well.</param>
internal sealed record ConnectionTestJson(bool Ok, string? Problem);
