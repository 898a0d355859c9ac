using System.Text;
using Sallyport.Protocol.Errors;

namespace Sallyport.Protocol.Queries;

internal enum QueryTokenKind
{
    /// <summary>A name or a keyword.</summary>
    Name,

    /// <summary>A name in double brackets: never a keyword.</summary>
    QuotedName,
    Text,
    Number,
    Symbol,
    End,
}

/// <summary>A word of a query, and where it is.</summary>
/// <param name="Value">Of a name or text what it says, of a symbol what it is.</param>
/// <param name="Start">The character it begins at, from 0.</param>
internal readonly record struct QueryToken(QueryTokenKind Kind, string Value, double Number, int Start)
{
    public bool IsKeyword(string word) => Kind is QueryTokenKind.Name && Value.Equals(word, StringComparison.OrdinalIgnoreCase);

    public bool IsSymbol(string symbol) => Kind is QueryTokenKind.Symbol && Value == symbol;

    /// <summary>As a refusal names it.</summary>
    public string Printed => Kind switch
    {
        QueryTokenKind.End => "the end",
        QueryTokenKind.Text => $"the text '{QueryFault.Printed(Value)}'",
        QueryTokenKind.Number => $"the number {Value}",
        _ => $"'{QueryFault.Printed(Value)}'",
    };
}

/// <summary>What is wrong with a query, and where.</summary>
internal static class QueryFault
{
    private const int MaxPrinted = 40;

    /// <param name="at">The character, from 0.</param>
    public static HubException At(string query, int at, string what)
    {
        var (line, column) = (1, 1);
        for (var i = 0; i < at && i < query.Length; i++)
        {
            column++;
            if (query[i] == '\n')
                (line, column) = (line + 1, 1);
        }

        return new HubException(HubErrors.ArgumentInvalid, $"query, line {line}, column {column}: {what}");
    }

    public static string Printed(string text)
    {
        var printed = new StringBuilder();
        foreach (var c in text.AsSpan(0, Math.Min(text.Length, MaxPrinted)))
            printed.Append(char.IsControl(c) || char.IsSurrogate(c) ? '?' : c);
        return text.Length > MaxPrinted ? printed.Append('…').ToString() : printed.ToString();
    }
}
