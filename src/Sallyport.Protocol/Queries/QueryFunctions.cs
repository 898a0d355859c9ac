using System.Globalization;

namespace Sallyport.Protocol.Queries;

/// <param name="Of">What it gives; undefined for arguments it cannot do anything with.</param>
internal sealed record QueryFunction(string Name, int MinArguments, int MaxArguments, Func<QueryValue[], QueryValue> Of);

/// <summary>The functions of conditions (IoT Hub developer guide, "Expressions and conditions"): those it has for twins, and those it has for routes.</summary>
internal static class QueryFunctions
{
    /// <summary>Longer texts than any twin holds are undefined.</summary>
    public const int MaxTextLength = 65_536;

    public const string Names =
        "IS_DEFINED, IS_NULL, IS_BOOL, IS_NUMBER, IS_STRING, IS_ARRAY, IS_OBJECT, IS_PRIMITIVE, STARTS_WITH, ENDS_WITH, CONTAINS, ARRAY_CONTAINS, INDEX_OF, SUBSTRING, LENGTH, LOWER, UPPER, CONCAT, " +
        "AS_NUMBER, ABS, CEILING, EXP, FLOOR, POWER, SIGN, SQRT or SQUARE";

    private static readonly Dictionary<string, QueryFunction> All = new(StringComparer.OrdinalIgnoreCase);

    static QueryFunctions()
    {
        Is("IS_DEFINED", value => value.IsDefined);
        Is("IS_NULL", value => value.Kind is QueryKind.Null);
        Is("IS_BOOL", value => value.Kind is QueryKind.Boolean);
        Is("IS_NUMBER", value => value.Kind is QueryKind.Number);
        Is("IS_STRING", value => value.Kind is QueryKind.Text);
        Is("IS_ARRAY", value => value.Kind is QueryKind.Array);
        Is("IS_OBJECT", value => value.Kind is QueryKind.Object);
        Is("IS_PRIMITIVE", value => value.IsPrimitive);

        Numeric("ABS", Math.Abs);
        Numeric("CEILING", Math.Ceiling);
        Numeric("EXP", Math.Exp);
        Numeric("FLOOR", Math.Floor);
        Numeric("SIGN", x => Math.Sign(x));
        Numeric("SQRT", Math.Sqrt);
        Numeric("SQUARE", x => x * x);
        Add("POWER", 2, 2, given => given is [{ Kind: QueryKind.Number } x, { Kind: QueryKind.Number } y] ? QueryValue.Of(Math.Pow(x.Number, y.Number)) : QueryValue.Undefined);
        Add("AS_NUMBER", 1, 1, given => AsNumber(given[0]));

        Textual("STARTS_WITH", (text, part) => QueryValue.Of(text.StartsWith(part, StringComparison.Ordinal)));
        Textual("ENDS_WITH", (text, part) => QueryValue.Of(text.EndsWith(part, StringComparison.Ordinal)));
        Textual("CONTAINS", (text, part) => QueryValue.Of(text.Contains(part, StringComparison.Ordinal)));
        Add("ARRAY_CONTAINS", 2, 2, given => given is [{ Kind: QueryKind.Array } array, { IsPrimitive: true } value] ? QueryValue.Of(JsonPaths.ArrayHas(array.ArrayJson, value)) : QueryValue.Undefined);
        Textual("INDEX_OF", (text, part) => QueryValue.Of(text.IndexOf(part, StringComparison.Ordinal)));
        foreach (var (spelled, name) in (ReadOnlySpan<(string, string)>)[("STARTSWITH", "STARTS_WITH"), ("ENDSWITH", "ENDS_WITH")])
            All.Add(spelled, All[name]);
        Add("LENGTH", 1, 1, given => given is [{ Kind: QueryKind.Text } text] ? QueryValue.Of(text.Text.Length) : QueryValue.Undefined);
        Add("LOWER", 1, 1, given => given is [{ Kind: QueryKind.Text } text] ? QueryValue.Of(text.Text.ToLowerInvariant()) : QueryValue.Undefined);
        Add("UPPER", 1, 1, given => given is [{ Kind: QueryKind.Text } text] ? QueryValue.Of(text.Text.ToUpperInvariant()) : QueryValue.Undefined);
        Add("CONCAT", 2, int.MaxValue, Concat);
        Add("SUBSTRING", 2, 3, Substring);
    }

    public static QueryFunction? Find(string name) => All.GetValueOrDefault(name);

    private static void Add(string name, int min, int max, Func<QueryValue[], QueryValue> of) => All.Add(name, new QueryFunction(name, min, max, of));

    private static void Is(string name, Func<QueryValue, bool> of) => Add(name, 1, 1, given => QueryValue.Of(of(given[0])));

    private static void Numeric(string name, Func<double, double> of) =>
        Add(name, 1, 1, given => given is [{ Kind: QueryKind.Number } x] ? QueryValue.Of(of(x.Number)) : QueryValue.Undefined);

    private static void Textual(string name, Func<string, string, QueryValue> of) =>
        Add(name, 2, 2, given => given is [{ Kind: QueryKind.Text } text, { Kind: QueryKind.Text } part] ? of(text.Text, part.Text) : QueryValue.Undefined);

    private static QueryValue AsNumber(QueryValue value) => value.Kind switch
    {
        QueryKind.Number => value,
        QueryKind.Text when double.TryParse(value.Text, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) => QueryValue.Of(number),
        _ => QueryValue.Undefined,
    };

    private static QueryValue Concat(QueryValue[] given)
    {
        if (given.Any(value => value.Kind is not QueryKind.Text) || given.Sum(value => (long)value.Text.Length) > MaxTextLength)
            return QueryValue.Undefined;
        return QueryValue.Of(string.Concat(given.Select(value => value.Text)));
    }

    // SUBSTRING(text, first character from 0[, how many]); fewer when there are no more.
    private static QueryValue Substring(QueryValue[] given)
    {
        if (given[0].Kind is not QueryKind.Text || given.Skip(1).Any(value => value.Kind is not QueryKind.Number))
            return QueryValue.Undefined;

        var text = given[0].Text;
        var (start, length) = (given[1].Number, given.Length > 2 ? given[2].Number : text.Length);
        if (start < 0 || start > text.Length || length < 0 || start != Math.Floor(start) || length != Math.Floor(length))
            return QueryValue.Undefined;
        return QueryValue.Of(text.Substring((int)start, (int)Math.Min(length, text.Length - start)));
    }
}
