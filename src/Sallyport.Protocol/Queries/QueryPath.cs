namespace Sallyport.Protocol.Queries;

/// <summary>Where in a twin, or in a job's row, a path leads.</summary>
public enum QueryPart : byte
{
    /// <summary>A member of the document itself, with its name in it.</summary>
    Field,
    Tags,
    Desired,
    Reported,
}

/// <summary>A path into the documents of a query. Immutable; equal when they lead to the same place.</summary>
public sealed class QueryPath : IEquatable<QueryPath>
{
    private readonly string _key;

    internal QueryPath(QueryPart part, IReadOnlyList<string> names)
    {
        Part = part;
        Names = names;
        _key = $"{(byte)part}\0{string.Join('\0', names)}";
    }

    public QueryPart Part { get; }

    /// <summary>Behind the part: empty for all of <c>tags</c>. Of a <see cref="QueryPart.Field"/> all of them, in the hub's own case.</summary>
    public IReadOnlyList<string> Names { get; }

    /// <summary>From the root of the document.</summary>
    public IEnumerable<string> FullNames => Part switch
    {
        QueryPart.Tags => ["tags", .. Names],
        QueryPart.Desired => ["properties", "desired", .. Names],
        QueryPart.Reported => ["properties", "reported", .. Names],
        _ => Names,
    };

    public bool Equals(QueryPath? other) => other is not null && _key == other._key;

    public override bool Equals(object? obj) => Equals(obj as QueryPath);

    public override int GetHashCode() => string.GetHashCode(_key, StringComparison.Ordinal);

    public override string ToString() => string.Join('.', FullNames);
}
