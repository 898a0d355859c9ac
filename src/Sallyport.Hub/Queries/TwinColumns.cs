using Sallyport.Hub.Devices;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Queries;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Queries;

/// <summary>Which twins may be rows of a query: those that are none of them need not be read.</summary>
/// <param name="Identities">In the order of their ids.</param>
/// <param name="HasMore">There are others behind the last.</param>
internal sealed record RowCandidates(IReadOnlyList<Identity> Identities, bool HasMore);

/// <summary>
/// The values of the paths that conditions name, of all devices or all modules, in memory: a column a path, made when a query first names it. To go through a column takes some ns a row,
/// to read the row from the store some µs. Columns only say which rows to read: conditions are evaluated once more, over what is read.
/// </summary>
/// <remarks>
/// Thread-safe. What a commit changes is noted before anybody is told that it is done, and read anew before columns are next used. So a row of which the conditions are true by what
/// was answered as done before is always among the candidates.
/// </remarks>
internal sealed class TwinColumns : IDisposable
{
    private const int MaxTooLarge = 1000;

    private readonly IMetadata _metadata;
    private readonly ConnectedDevices _connected;
    private readonly TwinFields _fields;
    private readonly QueryLimits _limits;
    private readonly bool _ofModules;

    // Of the two locks this one may be taken while the other is held, never the other way: the store's writer takes it.
    private readonly Lock _notes = new();
    private HashSet<Identity> _changed = [];
    private bool _isNoting, _areTooManyChanged;

    private readonly Lock _gate = new();
    private readonly Dictionary<Identity, int> _places = [];
    private readonly List<Identity?> _identities = [];
    private readonly Stack<int> _free = [];
    private readonly HashSet<QueryPath> _tooLarge = [];
    private readonly List<TwinColumn> _columns = [];
    private RowValues _values;
    private bool _isMade;
    private long _uses;

    public TwinColumns(bool ofModules, IMetadata metadata, ConnectedDevices connected, TwinFields fields, QueryLimits limits)
    {
        _ofModules = ofModules;
        _metadata = metadata;
        _connected = connected;
        _fields = fields;
        _limits = limits;
        _values = new RowValues([], fields);
        _metadata.Twins.Changed += Note;
    }

    /// <summary>How often all rows were gone through to make columns.</summary>
    internal int Makings { get; private set; }

    public void Dispose() => _metadata.Twins.Changed -= Note;

    /// <param name="after">Only those behind it.</param>
    /// <param name="most">So many, the first ones; null for all, when they are few.</param>
    /// <param name="makes">Makes the columns that are missing.</param>
    /// <returns>Null: columns do not help with this query, or not now.</returns>
    public RowCandidates? Find(Query query, (string DeviceId, string ModuleId) after, int? most, bool makes, QueryClock clock)
    {
        lock (_gate)
        {
            var conditions = query.Conditions.Where(condition => condition.Slots.All(slot => IsColumn(query.Slots[slot]))).ToList();
            var slots = conditions.SelectMany(condition => condition.Slots).Distinct().ToList();
            if (slots.Count == 0)
                return null;

            List<QueryPath> paths = [.. slots.Select(slot => query.Slots[slot]).Where(path => !IsOfIdentity(path))];
            var isMade = paths.TrueForAll(path => _columns.Exists(column => column.Path.Equals(path)));
            if (!isMade && !makes)
                return null;

            try
            {
                var isCurrent = _isMade && Refresh(clock);
                return (isCurrent && isMade) || (makes && Make(paths, clock)) ? Candidates(query, conditions, slots, after, most) : null;
            }
            catch
            {
                // Given up in the middle: who knows what is in them.
                Forget();
                throw;
            }
        }
    }

    private static bool IsOfIdentity(QueryPath path) => path is { Part: QueryPart.Field, Names: ["deviceId" or "moduleId" or "connectionState"] };

    private bool IsColumn(QueryPath path) => IsOfIdentity(path) || (RowValues.IsStored(path) && !_tooLarge.Contains(path));

    private RowCandidates? Candidates(Query query, List<QueryExpression> conditions, List<int> slots, (string DeviceId, string ModuleId) after, int? most)
    {
        var columns = slots.ConvertAll(slot => _columns.Find(column => column.Path.Equals(query.Slots[slot])));
        foreach (var column in columns)
        {
            if (column is not null)
                column.LastUse = ++_uses;
        }

        var values = new QueryValue[query.Slots.Count];
        var found = new PriorityQueue<Identity, Identity>(IdentityOrder.LastFirst);
        var hasMore = false;
        var bound = most ?? (_places.Count / 5) + 1000; // Beyond it reading all rows is faster.
        for (var place = 0; place < _identities.Count; place++)
        {
            if (_identities[place] is not { } identity)
                continue;

            for (var i = 0; i < columns.Count; i++)
                values[slots[i]] = columns[i] is { } column ? column[place] : OfIdentity(query.Slots[slots[i]], identity);
            if (!conditions.TrueForAll(condition => condition.Evaluate(values).IsTrue) || IdentityOrder.Compare(identity, after) <= 0)
                continue;

            if (found.Count < bound)
                found.Enqueue(identity, identity);
            else if (most is null)
                return null;
            else
                (_, hasMore) = (found.EnqueueDequeue(identity, identity), true);
        }

        var identities = new Identity[found.Count];
        for (var i = identities.Length - 1; i >= 0; i--)
            identities[i] = found.Dequeue();
        return new RowCandidates(identities, hasMore);
    }

    private QueryValue OfIdentity(QueryPath path, in Identity identity) => path.Names[0] switch
    {
        "deviceId" => QueryValue.Of(identity.DeviceId),
        "moduleId" => identity.ModuleId is { } module ? QueryValue.Of(module) : QueryValue.Undefined,
        _ => QueryValue.Of(_connected.IsConnected(identity) ? "Connected" : "Disconnected"),
    };

    // On the writer's thread, behind each commit.
    private void Note(IReadOnlyList<(string DeviceId, string ModuleId)> changes)
    {
        lock (_notes)
        {
            if (!_isNoting || _areTooManyChanged)
                return;

            foreach (var (device, module) in changes)
            {
                if (module.Length > 0 == _ofModules && Identity.TryCreate(device, module.Length == 0 ? null : module, out var identity))
                    _changed.Add(identity);
            }

            // They are cheaper made anew.
            if (_changed.Count > _limits.MaxChangedRows)
            {
                _areTooManyChanged = true;
                _changed = [];
            }
        }
    }

    /// <returns>What was noted since the last call; null when that was too much.</returns>
    private HashSet<Identity>? TakeNotes()
    {
        lock (_notes)
        {
            var taken = _areTooManyChanged ? null : _changed;
            (_isNoting, _areTooManyChanged, _changed) = (true, false, []);
            return taken;
        }
    }

    /// <summary>Reads anew what has changed.</summary>
    /// <returns>False: there are no columns any more.</returns>
    private bool Refresh(QueryClock clock)
    {
        // The notes are taken before the snapshot is: what is committed in between is noted again.
        if (TakeNotes() is not { } changed)
            return Forget();
        if (changed.Count == 0)
            return true;

        var values = new QueryValue[_columns.Count];
        var isOver = false;
        _metadata.Read(tx =>
        {
            foreach (var identity in changed)
            {
                if (!_metadata.Twins.Visit(tx, identity.DeviceId, identity.ModuleId, (in TwinRow row) => Put(identity, row, values)))
                    Remove(identity);
                if (isOver = clock.IsOver())
                    break;
            }

            return 0;
        });
        return (!isOver && _columns.Sum(column => column.Bytes) <= _limits.MaxColumnBytes) || Forget();
    }

    /// <summary>Makes columns beside those that there are, which are as of now, or the first ones.</summary>
    /// <returns>False: they take more memory than they may, or more time than there is; the others stay.</returns>
    private bool Make(List<QueryPath> paths, QueryClock clock)
    {
        var isFirst = !_isMade;
        if (isFirst)
            TakeNotes();
        List<TwinColumn> missing = [.. paths.Where(path => !_columns.Exists(column => column.Path.Equals(path))).Select(path => new TwinColumn(path, _identities.Count))];
        _columns.AddRange(missing);
        foreach (var column in _columns.Where(column => paths.Contains(column.Path)))
            column.LastUse = ++_uses;

        // Apart: to go through both tables at once takes longer than through one after the other.
        var isWhole = (isFirst && missing.Count == 0 ? [[]] : missing.GroupBy(column => RowValues.NeedsTwinOf(column.Path)).Select(group => group.ToList()))
            .All(columns => Fill(columns, paths, isFirst, clock));
        if (!isWhole)
            _columns.RemoveAll(missing.Contains);
        _isMade = isWhole || !isFirst;
        if (!_isMade)
            return Forget();

        _values = new RowValues([.. _columns.Select(column => column.Path)], _fields);
        return isWhole;
    }

    // A row without a place was made since the notes were taken: it is noted, and gets its place when columns are next used.
    private bool Fill(List<TwinColumn> columns, List<QueryPath> paths, bool makesPlaces, QueryClock clock)
    {
        Makings++;
        var source = new RowValues([.. columns.Select(column => column.Path)], _fields);
        var values = new QueryValue[columns.Count];
        var (isWhole, rows) = (true, 0);
        _metadata.Read(tx =>
        {
            _metadata.Twins.Scan(tx, source.Scan(_ofModules, inOrder: false), (in TwinRow row) =>
            {
                if (Identity.TryCreate(row.DeviceId, row.ModuleId, out var identity) && (makesPlaces ? PlaceOf(identity) : _places.GetValueOrDefault(identity, -1)) is >= 0 and var place)
                {
                    source.Read(row, values);
                    for (var i = 0; i < values.Length; i++)
                        columns[i].Put(place, values[i]);
                }

                isWhole = !clock.IsOver() && (++rows % 1024 != 0 || HaveRoom(columns, paths));
                return isWhole;
            });
            return 0;
        });
        return isWhole && HaveRoom(columns, paths);
    }

    /// <summary>Makes room by forgetting what was used longest ago, but none of <paramref name="paths"/>.</summary>
    private bool HaveRoom(List<TwinColumn> made, List<QueryPath> paths)
    {
        while (_columns.Count > _limits.MaxColumns || _columns.Sum(column => column.Bytes) > _limits.MaxColumnBytes)
        {
            if (_columns.Where(column => !paths.Contains(column.Path)).MinBy(column => column.LastUse) is { } oldest)
            {
                _columns.Remove(oldest);
                continue;
            }

            if (_columns.Sum(column => column.Bytes) <= _limits.MaxColumnBytes)
                return true; // A query may name more paths than are kept otherwise.

            // The largest is not tried again.
            if (_tooLarge.Count < MaxTooLarge && made.MaxBy(column => column.Bytes) is { } largest)
                _tooLarge.Add(largest.Path);
            return false;
        }

        return true;
    }

    private bool Put(in Identity identity, in TwinRow row, QueryValue[] values)
    {
        var place = PlaceOf(identity);
        _values.Read(row, values);
        for (var i = 0; i < values.Length; i++)
            _columns[i].Put(place, values[i]);
        return true;
    }

    private int PlaceOf(in Identity identity)
    {
        if (_places.TryGetValue(identity, out var place))
            return place;

        if (!_free.TryPop(out place))
        {
            place = _identities.Count;
            _identities.Add(null);
            foreach (var column in _columns)
                column.Add();
        }

        _identities[place] = identity;
        _places.Add(identity, place);
        return place;
    }

    private void Remove(in Identity identity)
    {
        if (!_places.Remove(identity, out var place))
            return;

        _identities[place] = null;
        _free.Push(place);
    }

    /// <returns>False.</returns>
    private bool Forget()
    {
        lock (_notes)
            (_isNoting, _areTooManyChanged, _changed) = (false, false, []);
        _isMade = false;
        _columns.Clear();
        _places.Clear();
        _identities.Clear();
        _free.Clear();
        return false;
    }
}

/// <summary>The values of one path, by place. Owned by <see cref="TwinColumns"/>.</summary>
internal sealed class TwinColumn
{
    private const int BytesPerValue = 24;
    private const int BytesPerText = 32;

    // Tags have few values: each is kept once.
    private const int MaxShared = 4096;

    private readonly List<QueryValue> _values = [];
    private readonly Dictionary<string, string> _shared = new(StringComparer.Ordinal);

    /// <param name="places">How many it begins with, undefined.</param>
    public TwinColumn(QueryPath path, int places)
    {
        Path = path;
        for (var i = 0; i < places; i++)
            Add();
    }

    public QueryPath Path { get; }

    public long LastUse { get; set; }

    /// <summary>In memory, about.</summary>
    public long Bytes { get; private set; }

    public QueryValue this[int place] => _values[place];

    /// <summary>Another place, undefined.</summary>
    public void Add()
    {
        _values.Add(default);
        Bytes += BytesPerValue;
    }

    public void Put(int place, in QueryValue value)
    {
        Bytes -= BytesOf(_values[place]);
        _values[place] = value.Kind is QueryKind.Text ? QueryValue.Of(Shared(value.Text)) : value;
        Bytes += BytesOf(_values[place]);
    }

    private string Shared(string text)
    {
        if (_shared.TryGetValue(text, out var shared) || _shared.Count == MaxShared)
            return shared ?? text;

        _shared.Add(text, text);
        Bytes += BytesPerText + (2 * text.Length);
        return text;
    }

    private long BytesOf(in QueryValue value) =>
        value.Kind is QueryKind.Array ? BytesPerText + (2 * value.ArrayJson.Length)
        : value.Kind is not QueryKind.Text || (_shared.TryGetValue(value.Text, out var shared) && ReferenceEquals(shared, value.Text)) ? 0 : BytesPerText + (2 * value.Text.Length);
}

/// <summary>The order of ids: devices, and behind each its modules.</summary>
internal static class IdentityOrder
{
    public static IComparer<Identity> LastFirst { get; } = Comparer<Identity>.Create((x, y) => Compare(y, (x.DeviceId, x.ModuleId ?? "")));

    public static int Compare(in Identity identity, (string DeviceId, string ModuleId) other) =>
        string.CompareOrdinal(identity.DeviceId, other.DeviceId) is not 0 and var order ? order : string.CompareOrdinal(identity.ModuleId ?? "", other.ModuleId);
}
