using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Errors;
using Sallyport.Protocol.Queries;

namespace Sallyport.Hub.Queries;

/// <summary>What COUNT, SUM, AVG, MIN and MAX come to, per group. Owned by one request.</summary>
internal sealed class QueryGroups
{
    // Of the values of a group, so much is in its order; beyond it a hash tells groups apart.
    private const int MaxOrderCharacters = 64;

    private readonly Query _query;
    private readonly QueryLimits _limits;
    private readonly IReadOnlyList<QueryAggregate> _aggregates;
    private readonly Dictionary<QueryValue[], Tally[]> _groups = new(new SameValues());
    private readonly QueryValue[] _key;
    private long _characters;

    public QueryGroups(Query query, QueryLimits limits)
    {
        _query = query;
        _limits = limits;
        _aggregates = [.. query.Columns!.Select(column => column.Aggregate).OfType<QueryAggregate>()];
        _key = new QueryValue[query.GroupBy.Count];
        if (query.GroupBy.Count == 0)
            _groups.Add(_key, new Tally[_aggregates.Count]);
    }

    /// <exception cref="HubException">400: more groups than a query may have.</exception>
    public void Add(ReadOnlySpan<QueryValue> values)
    {
        var tallies = Group(values);
        for (var i = 0; i < tallies.Length; i++)
            _characters += tallies[i].Add(_aggregates[i].Slot is { } slot ? values[slot] : QueryValue.True);
        if (_characters > _limits.MaxGroupCharacters)
            throw TooMany($"the texts of its groups have more than {_limits.MaxGroupCharacters} characters");
    }

    /// <summary>Of a query that counts all rows, and nothing else.</summary>
    public void SetCounts(long rows)
    {
        foreach (ref var tally in _groups[_key].AsSpan())
            tally.Count = rows;
    }

    /// <param name="left">What TOP leaves; null for no TOP.</param>
    /// <param name="after">The order of the last group of the page before; null for the first page.</param>
    public (ReadOnlyMemory<byte> Json, QueryContinuation? Next) Page(string? after, long? left, int maxRows)
    {
        var rest = _groups
            .Select(group => (Order: OrderOf(group.Key), Values: group.Key, Tallies: group.Value))
            .Where(group => after is null || string.CompareOrdinal(group.Order, after) > 0)
            .OrderBy(group => group.Order, StringComparer.Ordinal)
            .Take((int)Math.Min(left ?? int.MaxValue, int.MaxValue))
            .ToList();
        var rows = Math.Min(rest.Count, maxRows);
        var json = TwinJson.Write(1024, writer =>
        {
            writer.WriteStartArray();
            foreach (var (_, values, tallies) in rest.Take(rows))
                WriteRow(writer, values, tallies);
            writer.WriteEndArray();
        });
        return (json, rest.Count > rows ? new QueryContinuation(rest[rows - 1].Order, "", left - rows) : null);
    }

    private Tally[] Group(ReadOnlySpan<QueryValue> values)
    {
        for (var i = 0; i < _key.Length; i++)
        {
            // What is in objects and arrays is not looked at: they are all the same, as what is not there.
            var value = values[_query.GroupBy[i]];
            _key[i] = value.IsPrimitive ? value : QueryValue.Undefined;
        }

        if (_groups.TryGetValue(_key, out var tallies))
            return tallies;
        if (_groups.Count >= _limits.MaxGroups || (long)(_groups.Count + 1) * _aggregates.Count > _limits.MaxTallies)
            throw TooMany($"it has more than {_groups.Count} groups");

        foreach (var value in _key)
            _characters += value.Text.Length;
        _groups.Add([.. _key], tallies = new Tally[_aggregates.Count]);
        return tallies;
    }

    private static HubException TooMany(string what) => new(HubErrors.ArgumentInvalid, $"the query needs too much memory: {what}; group by what has fewer values, or narrow it with WHERE");

    private void WriteRow(Utf8JsonWriter json, QueryValue[] values, Tally[] tallies)
    {
        var next = 0;
        json.WriteStartObject();
        foreach (var column in _query.Columns!)
        {
            var value = column.Aggregate is { } aggregate
                ? tallies[next++].Value(aggregate)
                : values[_query.GroupBy.TakeWhile(slot => !_query.Slots[slot].Equals(column.Path)).Count()];
            if (value.IsDefined)
                QueryJson.Write(json, column.Name, value);
        }

        json.WriteEndObject();
    }

    // Numbers by their bits, turned so that they are ordered as texts; texts by their beginning. The hash is over all of it.
    private static string OrderOf(QueryValue[] values)
    {
        var (order, all) = (new StringBuilder(), new StringBuilder());
        foreach (var value in values)
        {
            var text = value.ToString();
            all.Append((char)('0' + (int)value.Kind)).Append(text.Length).Append(':').Append(text);
            order.Append((char)('0' + (int)value.Kind));
            if (value.Kind is QueryKind.Number)
                order.Append(Sortable(value.Number).ToString("x16", CultureInfo.InvariantCulture));
            else
                order.Append(text.AsSpan(0, Math.Min(text.Length, MaxOrderCharacters))).Append('\0');
        }

        for (var i = 0; i < order.Length; i++)
        {
            if (char.IsSurrogate(order[i]))
                order[i] = '\uFFFD';
        }

        return $"{(order.Length > MaxOrderCharacters ? order.ToString(0, MaxOrderCharacters) : order)}\0{Convert.ToHexStringLower(SHA256.HashData(Encoding.Unicode.GetBytes(all.ToString())).AsSpan(0, 12))}";
    }

    private static ulong Sortable(double number)
    {
        var bits = BitConverter.DoubleToUInt64Bits(number);
        return (bits >> 63) != 0 ? ~bits : bits | (1UL << 63);
    }

    private struct Tally
    {
        private double _sum;
        private long _numbers;
        private QueryValue _min, _max;

        public long Count { get; set; }

        /// <returns>By how much the texts that it holds have grown.</returns>
        public int Add(in QueryValue value)
        {
            if (!value.IsDefined)
                return 0;

            Count++;
            if (value.Kind is QueryKind.Number)
                (_sum, _numbers) = (_sum + value.Number, _numbers + 1);
            if (!value.IsPrimitive)
                return 0;

            var held = _min.Text.Length + _max.Text.Length;
            if (!_min.IsDefined || QueryValue.Order(value, _min) < 0)
                _min = value;
            if (!_max.IsDefined || QueryValue.Order(value, _max) > 0)
                _max = value;
            return _min.Text.Length + _max.Text.Length - held;
        }

        /// <summary>Undefined when there was nothing to make it of.</summary>
        public readonly QueryValue Value(QueryAggregate aggregate) => aggregate.Kind switch
        {
            QueryAggregateKind.Count => QueryValue.Of(Count),
            QueryAggregateKind.Sum when _numbers > 0 => QueryValue.Of(_sum),
            QueryAggregateKind.Average when _numbers > 0 => QueryValue.Of(_sum / _numbers),
            QueryAggregateKind.Min => _min,
            QueryAggregateKind.Max => _max,
            _ => QueryValue.Undefined,
        };
    }

    private sealed class SameValues : IEqualityComparer<QueryValue[]>
    {
        public bool Equals(QueryValue[]? x, QueryValue[]? y) => x.AsSpan().SequenceEqual(y);

        public int GetHashCode(QueryValue[] values)
        {
            var hash = default(HashCode);
            foreach (var value in values)
                hash.Add(value);
            return hash.ToHashCode();
        }
    }
}
