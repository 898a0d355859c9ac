using Sallyport.Protocol.Errors;

namespace Sallyport.Protocol.Queries;

/// <summary>
/// Reads a query (IoT Hub developer guide, "IoT Hub query language"; grammar in <c>docs/queries.md</c>). Pure. What it refuses, it refuses with
/// <see cref="HubException"/> (400) that says where (line and column, from 1), what was found and what was expected.
/// </summary>
public static partial class QueryParser
{
    /// <summary>IoT Hub's bound.</summary>
    public const int MaxLength = 8192;

    /// <summary>Parentheses, calls, NOT and operators inside one another. Ours.</summary>
    public const int MaxDepth = 64;

    /// <summary>Ours: each is a look-up in every row.</summary>
    public const int MaxPaths = 64;

    /// <exception cref="HubException">400.</exception>
    public static Query Parse(string query)
    {
        if (query.Length > MaxLength)
            throw new HubException(HubErrors.ArgumentInvalid, $"the query has {query.Length} characters; at most {MaxLength} are allowed");

        return new Reading(query).Query();
    }

    /// <summary>One query being read.</summary>
    private sealed partial class Reading
    {
        private static readonly string[] Keywords = ["SELECT", "TOP", "FROM", "WHERE", "GROUP", "BY", "ORDER", "AS", "AND", "OR", "NOT", "IN", "NIN"];

        private readonly string _query;
        private readonly List<QueryPath> _slots = [];
        private readonly QueryLexer _lexer;
        private QueryToken _token;
        private QuerySource _source;

        public Reading(string query)
        {
            _query = query;
            _lexer = new QueryLexer(query);
            _token = _lexer.Next();
        }

        public Query Query()
        {
            Expect("SELECT");
            var top = Top();
            var items = Items();
            Expect("FROM");
            _source = Source();
            var columns = items?.Select(Column).ToList();

            var conditions = Take("WHERE") ? Conditions() : [];
            var groupBy = GroupBy(columns);
            if (_token.IsKeyword("ORDER"))
                throw Wrong("the end (rows come in the order of their ids; ORDER BY is not part of the language)");
            if (_token.Kind is not QueryTokenKind.End)
                throw Wrong(conditions.Count == 0 && groupBy.Count == 0 ? "WHERE, GROUP BY or the end" : groupBy.Count == 0 ? "an operator, AND, OR, GROUP BY or the end" : "',' or the end");

            return new Query { Source = _source, Columns = columns, Top = top, Conditions = conditions, GroupBy = groupBy, Slots = _slots };
        }

        private IReadOnlyList<QueryExpression> Conditions()
        {
            var condition = Or();
            return condition is LogicalExpression { IsAnd: true } all ? all.Operands : [condition];
        }

        private long? Top()
        {
            if (!Take("TOP"))
                return null;
            if (_token.Kind is not QueryTokenKind.Number || _token.Number < 1 || _token.Number > int.MaxValue || _token.Number != Math.Floor(_token.Number))
                throw Wrong("how many rows at most: a whole number from 1");

            var top = (long)_token.Number;
            Advance();
            return top;
        }

        // Paths are resolved once the collection behind FROM is known.
        private List<Item>? Items()
        {
            if (TakeSymbol("*"))
                return null;

            List<Item> items = [];
            do
                items.Add(NextItem());
            while (TakeSymbol(","));
            return items;
        }

        private Item NextItem()
        {
            var start = _token.Start;
            var isQuoted = _token.Kind is QueryTokenKind.QuotedName;
            var names = Names("*, a path or COUNT, SUM, AVG, MIN or MAX");
            string? called = null;
            List<QueryToken>? path = names;
            if (names.Count == 1 && !isQuoted && _token.IsSymbol("("))
            {
                called = AggregateOf(names[0]);
                Advance();
                path = null;
                if (called == "COUNT" && TakeSymbol("*"))
                    path = null;
                else if (called != "COUNT" || !_token.IsSymbol(")"))
                    path = Names("a path");
                ExpectSymbol(")");
            }

            string? alias = null;
            var aliasAt = start;
            if (Take("AS"))
            {
                if (_token.Kind is not (QueryTokenKind.Name or QueryTokenKind.QuotedName))
                    throw Wrong("a name");
                alias = _token.Value;
                aliasAt = _token.Start;
                Advance();
            }

            return new Item(aliasAt, alias, called, path);
        }

        private string AggregateOf(in QueryToken name) =>
            name.Value.ToUpperInvariant() is "COUNT" or "SUM" or "AVG" or "MIN" or "MAX"
                ? name.Value.ToUpperInvariant()
                : throw QueryFault.At(_query, name.Start, $"found {name.Printed}; expected COUNT, SUM, AVG, MIN or MAX: other functions are for conditions");

        private QuerySource Source()
        {
            if (!_token.IsKeyword("devices"))
                throw Wrong("devices, devices.modules or devices.jobs");

            Advance();
            if (!TakeSymbol("."))
                return QuerySource.Devices;
            if (Take("modules"))
                return QuerySource.Modules;
            return Take("jobs") ? QuerySource.Jobs : throw Wrong("modules or jobs");
        }

        private QueryColumn Column(Item item)
        {
            if (_source is QuerySource.Jobs)
                throw QueryFault.At(_query, item.At, "queries of devices.jobs have SELECT * only; expected '*'");

            var path = item.Path is null ? null : QueryPathNames.Resolve(_query, _source, item.Path);
            if (item.Called is null)
                return new QueryColumn(item.Alias ?? path!.FullNames.Last(), path, null);

            var kind = item.Called switch
            {
                "COUNT" => QueryAggregateKind.Count,
                "SUM" => QueryAggregateKind.Sum,
                "AVG" => QueryAggregateKind.Average,
                "MIN" => QueryAggregateKind.Min,
                _ => QueryAggregateKind.Max,
            };
            return new QueryColumn(item.Alias ?? item.Called.ToLowerInvariant(), null, new QueryAggregate(kind, path is null ? null : Slot(path, item.At)));
        }

        private List<int> GroupBy(List<QueryColumn>? columns)
        {
            List<int> slots = [];
            var at = _token.Start;
            if (Take("GROUP"))
            {
                if (_source is QuerySource.Jobs)
                    throw QueryFault.At(_query, at, "queries of devices.jobs have no groups; expected the end");
                Expect("BY");
                do
                    slots.Add(NextSlot());
                while (TakeSymbol(","));
            }

            Check(columns, slots, at);
            return slots;
        }

        private int NextSlot()
        {
            var at = _token.Start;
            return Slot(QueryPathNames.Resolve(_query, _source, Names("a path")), at);
        }

        private void Check(List<QueryColumn>? columns, List<int> groupBy, int at)
        {
            if (columns is null && groupBy.Count > 0)
                throw QueryFault.At(_query, at, "a query with GROUP BY names what it wants of a group: paths of GROUP BY, COUNT, SUM, AVG, MIN or MAX, instead of *");
            if (columns is null)
                return;

            if (columns.GroupBy(column => column.Name, StringComparer.Ordinal).FirstOrDefault(same => same.Count() > 1) is { } doubled)
                throw QueryFault.At(_query, 0, $"two columns are named '{QueryFault.Printed(doubled.Key)}'; give one of them another name with AS");
            if ((groupBy.Count > 0 || columns.Any(column => column.Aggregate is not null))
                && columns.FirstOrDefault(column => column.Path is not null && !groupBy.Any(slot => _slots[slot].Equals(column.Path))) is { } stray)
            {
                throw QueryFault.At(_query, at, $"'{QueryFault.Printed(stray.Path!.ToString())}' is neither in an aggregate nor in GROUP BY, so a group has no single value of it");
            }
        }

        // A keyword is a name only behind a dot; in double brackets it is one anywhere.
        private List<QueryToken> Names(string expected)
        {
            if (_token.Kind is not (QueryTokenKind.Name or QueryTokenKind.QuotedName) || (_token.Kind is QueryTokenKind.Name && Keywords.Contains(_token.Value, StringComparer.OrdinalIgnoreCase)))
                throw Wrong(expected);

            List<QueryToken> names = [_token];
            Advance();
            while (TakeSymbol("."))
            {
                if (_token.Kind is not (QueryTokenKind.Name or QueryTokenKind.QuotedName))
                    throw Wrong("a name, or [[a name]] in double brackets");
                names.Add(_token);
                Advance();
            }

            return names;
        }

        private int Slot(QueryPath path, int at)
        {
            if (_objection?.Invoke(path) is { } objection)
                throw QueryFault.At(_query, at, $"found {QueryFault.Printed(path.ToString())}; expected {objection}");

            var slot = _slots.IndexOf(path);
            if (slot >= 0)
                return slot;
            if (_slots.Count == MaxPaths)
                throw QueryFault.At(_query, at, $"more than {MaxPaths} different paths");

            _slots.Add(path);
            return _slots.Count - 1;
        }

        private void Advance() => _token = _lexer.Next();

        private bool Take(string keyword)
        {
            if (!_token.IsKeyword(keyword))
                return false;

            Advance();
            return true;
        }

        private bool TakeSymbol(string symbol)
        {
            if (!_token.IsSymbol(symbol))
                return false;

            Advance();
            return true;
        }

        private void Expect(string keyword)
        {
            if (!Take(keyword))
                throw Wrong(keyword);
        }

        private void ExpectSymbol(string symbol)
        {
            if (!TakeSymbol(symbol))
                throw Wrong($"'{symbol}'");
        }

        private HubException Wrong(string expected) => QueryFault.At(_query, _token.Start, $"found {_token.Printed}; expected {expected}");

        /// <param name="Called">The aggregate; null for a path.</param>
        private sealed record Item(int At, string? Alias, string? Called, List<QueryToken>? Path);
    }
}
