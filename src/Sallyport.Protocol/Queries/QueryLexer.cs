using System.Globalization;
using System.Text;
using Sallyport.Protocol.Errors;

namespace Sallyport.Protocol.Queries;

/// <summary>Divides a query into words. Owned by who reads with it.</summary>
internal sealed class QueryLexer(string query)
{
    private static readonly string[] Symbols = ["!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", "[", "]", ",", ".", "*", "+", "-", "/", "%"];

    private int _at;
    private bool _afterDot;

    /// <exception cref="HubException">400: there is no word; says where.</exception>
    public QueryToken Next()
    {
        while (_at < query.Length && char.IsWhiteSpace(query[_at]))
            _at++;

        var token = Read();
        _afterDot = token.IsSymbol(".");
        return token;
    }

    private QueryToken Read()
    {
        var start = _at;
        if (start == query.Length)
            return new QueryToken(QueryTokenKind.End, "", 0, start);

        var first = query[start];
        if (first is '\'' or '"')
            return Text(first);
        if (query.AsSpan(start).StartsWith("[["))
            return QuotedName();
        if (IsNamePart(first) && (_afterDot || !char.IsAsciiDigit(first)))
            return Name();
        if (char.IsAsciiDigit(first))
            return Number();

        foreach (var symbol in Symbols)
        {
            if (query.AsSpan(start).StartsWith(symbol))
            {
                _at += symbol.Length;
                return new QueryToken(QueryTokenKind.Symbol, symbol, 0, start);
            }
        }

        throw QueryFault.At(query, start, $"found '{QueryFault.Printed(first.ToString())}', which no query has outside of a text");
    }

    // Twins have names with any other character too: those are in double brackets.
    private static bool IsNamePart(char c) => char.IsLetterOrDigit(c) || c is '_' or '$';

    private QueryToken Name()
    {
        var start = _at;
        while (_at < query.Length && IsNamePart(query[_at]))
            _at++;
        return new QueryToken(QueryTokenKind.Name, query[start.._at], 0, start);
    }

    private QueryToken QuotedName()
    {
        var start = _at;
        var end = query.IndexOf("]]", start + 2, StringComparison.Ordinal);
        if (end < 0)
            throw QueryFault.At(query, start, "found '[['; expected ']]' behind the name");

        // A name may end in a bracket itself.
        while (end + 2 < query.Length && query[end + 2] == ']')
            end++;
        if (end == start + 2)
            throw QueryFault.At(query, end, "found ']]'; expected a name");

        _at = end + 2;
        return new QueryToken(QueryTokenKind.QuotedName, query[(start + 2)..end], 0, start);
    }

    private QueryToken Number()
    {
        var start = _at;
        if (query[start] == '0' && start + 1 < query.Length && query[start + 1] is 'x' or 'X')
        {
            _at += 2;
            while (_at < query.Length && char.IsAsciiHexDigit(query[_at]))
                _at++;
            var digits = query.AsSpan((start + 2).._at);
            if (digits.Length is 0 or > 16)
                throw QueryFault.At(query, start, "found '0x'; expected 1 to 16 hexadecimal digits behind it");
            return Ended(start, ulong.Parse(digits, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture));
        }

        Digits();
        if (_at + 1 < query.Length && query[_at] == '.' && char.IsAsciiDigit(query[_at + 1]))
        {
            _at++;
            Digits();
        }

        if (_at < query.Length && query[_at] is 'e' or 'E')
        {
            var exponent = _at + 1;
            if (exponent < query.Length && query[exponent] is '+' or '-')
                exponent++;
            if (exponent < query.Length && char.IsAsciiDigit(query[exponent]))
            {
                _at = exponent;
                Digits();
            }
        }

        var number = double.Parse(query.AsSpan(start.._at), NumberStyles.Float, CultureInfo.InvariantCulture);
        return double.IsFinite(number) ? Ended(start, number) : throw QueryFault.At(query, start, "the number is too large");
    }

    private void Digits()
    {
        while (_at < query.Length && char.IsAsciiDigit(query[_at]))
            _at++;
    }

    private QueryToken Ended(int start, double number)
    {
        if (_at < query.Length && IsNamePart(query[_at]))
            throw QueryFault.At(query, start, $"found '{QueryFault.Printed(query[start..(_at + 1)])}'; expected a number, or [[a name]] in double brackets");
        return new QueryToken(QueryTokenKind.Number, query[start.._at], number, start);
    }

    private QueryToken Text(char quote)
    {
        var start = _at++;
        var text = new StringBuilder();
        while (_at < query.Length)
        {
            var c = query[_at++];
            if (c == quote)
                return new QueryToken(QueryTokenKind.Text, text.ToString(), 0, start);
            text.Append(c == '\\' ? Escaped() : c);
        }

        throw QueryFault.At(query, start, $"the text that begins here has no end; expected {quote}");
    }

    private char Escaped()
    {
        switch (_at < query.Length ? query[_at] : '\0')
        {
            case '\'' or '"' or '\\':
                return query[_at++];
            case 'u' when _at + 5 <= query.Length && ushort.TryParse(query.AsSpan(_at + 1, 4), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var code):
                _at += 5;
                return (char)code;
            default:
                throw QueryFault.At(query, _at - 1, "found '\\'; expected \\', \\\", \\\\ or \\u and four hexadecimal digits");
        }
    }
}
