namespace Sallyport.Protocol.Queries;

/// <summary>What a query goes through.</summary>
public enum QuerySource
{
    Devices,
    Modules,
    Jobs,
}

public enum QueryAggregateKind
{
    Count,
    Sum,
    Average,
    Min,
    Max,
}

/// <param name="Slot">Of the path that it is of; null for <c>COUNT()</c>, which counts rows.</param>
public sealed record QueryAggregate(QueryAggregateKind Kind, int? Slot);

/// <summary>A member of the rows that a query answers.</summary>
/// <param name="Path">Null for an aggregate.</param>
public sealed record QueryColumn(string Name, QueryPath? Path, QueryAggregate? Aggregate);

/// <summary>A query as it was meant: read by <see cref="QueryParser"/>. Immutable; thread-safe.</summary>
public sealed record Query
{
    public required QuerySource Source { get; init; }

    /// <summary>Null for <c>*</c>: whole documents.</summary>
    public required IReadOnlyList<QueryColumn>? Columns { get; init; }

    /// <summary>At most so many rows in all; null for no such limit.</summary>
    public required long? Top { get; init; }

    /// <summary>All of these must be true; empty when there is no condition.</summary>
    public required IReadOnlyList<QueryExpression> Conditions { get; init; }

    /// <summary>Slots of the paths that rows are grouped by.</summary>
    public required IReadOnlyList<int> GroupBy { get; init; }

    /// <summary>The paths whose values conditions, groups and aggregates need; a slot is a place in it.</summary>
    public required IReadOnlyList<QueryPath> Slots { get; init; }

    /// <summary>Answers a row per group, or one.</summary>
    public bool IsAggregate => GroupBy.Count > 0 || (Columns?.Any(column => column.Aggregate is not null) ?? false);

    /// <param name="values">By slot.</param>
    public bool Admits(ReadOnlySpan<QueryValue> values)
    {
        foreach (var condition in Conditions)
        {
            if (!condition.Evaluate(values).IsTrue)
                return false;
        }

        return true;
    }
}
