namespace Sallyport.Protocol.Queries;

/// <summary>
/// An expression of a query. What cannot be said is undefined, and so is what is said of it (three-valued logic): comparing values of
/// different types, calculating with what is no number. Immutable; thread-safe.
/// </summary>
public abstract class QueryExpression
{
    private protected QueryExpression(params IReadOnlyList<QueryExpression> parts)
    {
        Parts = parts;
        Depth = parts.Count == 0 ? 1 : parts.Max(part => part.Depth) + 1;
    }

    private protected IReadOnlyList<QueryExpression> Parts { get; }

    /// <summary>Expressions inside one another.</summary>
    internal int Depth { get; }

    /// <summary>The slots that it reads.</summary>
    public virtual IEnumerable<int> Slots => Parts.SelectMany(part => part.Slots);

    /// <summary>The values that a slot has when this is true: of <c>path = constant</c> and <c>path IN […]</c>. Null: it may be others too.</summary>
    public virtual IReadOnlyCollection<QueryValue>? ValuesOf(int slot) => null;

    /// <param name="values">By slot.</param>
    public abstract QueryValue Evaluate(ReadOnlySpan<QueryValue> values);
}

internal sealed class ConstantExpression(QueryValue value) : QueryExpression
{
    public QueryValue Value => value;

    public override QueryValue Evaluate(ReadOnlySpan<QueryValue> values) => value;
}

internal sealed class PathExpression(int slot) : QueryExpression
{
    public int Slot => slot;

    public override IEnumerable<int> Slots => [slot];

    public override QueryValue Evaluate(ReadOnlySpan<QueryValue> values) => values[slot];
}

/// <summary>Chains of AND or of OR are one expression, however long.</summary>
internal sealed class LogicalExpression(bool isAnd, IReadOnlyList<QueryExpression> parts) : QueryExpression(parts)
{
    public bool IsAnd => isAnd;

    public IReadOnlyList<QueryExpression> Operands => Parts;

    public override QueryValue Evaluate(ReadOnlySpan<QueryValue> values)
    {
        // One false decides an AND, one true an OR, whatever is undefined beside it.
        var isKnown = true;
        foreach (var part in Parts)
        {
            var value = part.Evaluate(values);
            if (isAnd ? value.IsFalse : value.IsTrue)
                return value;
            isKnown &= value.Kind is QueryKind.Boolean;
        }

        return isKnown ? QueryValue.Of(isAnd) : QueryValue.Undefined;
    }
}

internal sealed class NotExpression(QueryExpression operand) : QueryExpression(operand)
{
    public override QueryValue Evaluate(ReadOnlySpan<QueryValue> values) =>
        Parts[0].Evaluate(values) is { Kind: QueryKind.Boolean } value ? QueryValue.Of(value.IsFalse) : QueryValue.Undefined;
}

internal sealed class ComparisonExpression(string symbol, QueryExpression left, QueryExpression right) : QueryExpression(left, right)
{
    public override IReadOnlyCollection<QueryValue>? ValuesOf(int slot) => (symbol, left, right) switch
    {
        ("=", PathExpression path, ConstantExpression constant) when path.Slot == slot => [constant.Value],
        ("=", ConstantExpression constant, PathExpression path) when path.Slot == slot => [constant.Value],
        _ => null,
    };

    public override QueryValue Evaluate(ReadOnlySpan<QueryValue> values) =>
        QueryValue.Compare(left.Evaluate(values), right.Evaluate(values)) is not { } order ? QueryValue.Undefined : QueryValue.Of(symbol switch
        {
            "=" => order == 0,
            "!=" or "<>" => order != 0,
            "<" => order < 0,
            "<=" => order <= 0,
            ">" => order > 0,
            _ => order >= 0,
        });
}

/// <summary>IN and NIN: what is compared with constants of other types only is not among them.</summary>
internal sealed class MembershipExpression(QueryExpression operand, IReadOnlyList<QueryValue> list, bool isNegated) : QueryExpression(operand)
{
    private readonly HashSet<QueryValue> _list = [.. list];

    public override IReadOnlyCollection<QueryValue>? ValuesOf(int slot) => !isNegated && operand is PathExpression path && path.Slot == slot ? _list : null;

    public override QueryValue Evaluate(ReadOnlySpan<QueryValue> values)
    {
        var value = operand.Evaluate(values);
        return value.IsPrimitive ? QueryValue.Of(_list.Contains(value) != isNegated) : QueryValue.Undefined;
    }
}

internal sealed class ArithmeticExpression(char symbol, QueryExpression left, QueryExpression right) : QueryExpression(left, right)
{
    public override QueryValue Evaluate(ReadOnlySpan<QueryValue> values)
    {
        var (a, b) = (left.Evaluate(values), right.Evaluate(values));
        if (a.Kind is not QueryKind.Number || b.Kind is not QueryKind.Number)
            return QueryValue.Undefined;

        return QueryValue.Of(symbol switch
        {
            '+' => a.Number + b.Number,
            '-' => a.Number - b.Number,
            '*' => a.Number * b.Number,
            '/' => a.Number / b.Number,
            _ => a.Number % b.Number,
        });
    }
}

internal sealed class CallExpression(QueryFunction function, IReadOnlyList<QueryExpression> arguments) : QueryExpression(arguments)
{
    public override QueryValue Evaluate(ReadOnlySpan<QueryValue> values)
    {
        var given = new QueryValue[Parts.Count];
        for (var i = 0; i < given.Length; i++)
            given[i] = Parts[i].Evaluate(values);
        return function.Of(given);
    }
}
