namespace Sallyport.Protocol.Queries;

/// <summary>The types that a value of a query may have, in the order in which <c>MIN</c> and <c>MAX</c> put values of different types.</summary>
public enum QueryKind : byte
{
    /// <summary>There is no such value: nothing can be said of it.</summary>
    Undefined,
    Null,
    Boolean,
    Number,
    Text,

    /// <summary>That it is an array; what is in it is of use to <c>ARRAY_CONTAINS</c> only.</summary>
    Array,

    /// <summary>That it is an object; what is in it is of no use to a query.</summary>
    Object,
}

/// <summary>A value as queries see it: JSON, or undefined. Immutable.</summary>
public readonly record struct QueryValue
{
    private readonly double _number;
    private readonly string? _text;

    private QueryValue(QueryKind kind, double number = 0, string? text = null)
    {
        Kind = kind;
        _number = number;
        _text = text;
    }

    public QueryKind Kind { get; }

    public static QueryValue Undefined => default;

    public static QueryValue Null => new(QueryKind.Null);

    public static QueryValue True => Of(true);

    /// <param name="json">All of it.</param>
    public static QueryValue ArrayOf(string json) => new(QueryKind.Array, text: json);

    public static QueryValue Object => new(QueryKind.Object);

    /// <summary>Of a <see cref="QueryKind.Number"/>, else 0.</summary>
    public double Number => Kind is QueryKind.Number ? _number : 0;

    /// <summary>Of a <see cref="QueryKind.Text"/>, else empty.</summary>
    public string Text => Kind is QueryKind.Text ? _text! : "";

    /// <summary>Of a <see cref="QueryKind.Array"/>, else empty.</summary>
    public string ArrayJson => Kind is QueryKind.Array ? _text! : "";

    /// <summary>A condition is fulfilled by this and by nothing else.</summary>
    public bool IsTrue => Kind is QueryKind.Boolean && _number != 0;

    public bool IsFalse => Kind is QueryKind.Boolean && _number == 0;

    public bool IsDefined => Kind is not QueryKind.Undefined;

    public bool IsPrimitive => Kind is QueryKind.Null or QueryKind.Boolean or QueryKind.Number or QueryKind.Text;

    public static QueryValue Of(bool value) => new(QueryKind.Boolean, value ? 1 : 0);

    /// <summary>What is no number (a division by zero, say) is undefined. There is one zero.</summary>
    public static QueryValue Of(double value) => double.IsFinite(value) ? new(QueryKind.Number, value == 0 ? 0 : value) : Undefined;

    public static QueryValue Of(string? text) => text is null ? Null : new(QueryKind.Text, text: text);

    /// <summary>Below, equal or above; null when the two cannot be compared: types differ, or one is no primitive.</summary>
    public static int? Compare(in QueryValue left, in QueryValue right)
    {
        if (left.Kind != right.Kind)
            return null;

        return left.Kind switch
        {
            QueryKind.Null => 0,
            QueryKind.Boolean or QueryKind.Number => left._number.CompareTo(right._number),
            QueryKind.Text => string.CompareOrdinal(left._text, right._text),
            _ => null,
        };
    }

    /// <summary>A total order of primitives: by type, then by value.</summary>
    public static int Order(in QueryValue left, in QueryValue right) => Compare(left, right) ?? left.Kind.CompareTo(right.Kind);

    public override string ToString() => Kind switch
    {
        QueryKind.Boolean => IsTrue ? "true" : "false",
        QueryKind.Number => _number.ToString("R", System.Globalization.CultureInfo.InvariantCulture),
        QueryKind.Text => _text!,
        _ => Kind.ToString().ToLowerInvariant(),
    };
}
