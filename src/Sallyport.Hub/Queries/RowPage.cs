using Sallyport.Hub.Access;
using Sallyport.Protocol.Identities;
using Sallyport.Protocol.Queries;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Queries;

/// <summary>A page of rows, in the order of their ids. Owned by one request.</summary>
internal sealed class RowPage
{
    private const int SpareCandidates = 100;

    private readonly Query _query;
    private readonly ITwinStore _twins;
    private readonly TwinColumns _columns;
    private readonly MetadataTransaction _tx;
    private readonly Scope _scope;
    private readonly QueryLimits _limits;
    private readonly QueryClock _clock;
    private readonly RowValues _values;
    private readonly QueryValue[] _slots;
    private readonly IPageRows _page;
    private readonly bool _ofModules;
    private int _rowsMax;
    private (string DeviceId, string ModuleId) _last;
    private bool _hasMore;

    /// <param name="page">Where the rows go.</param>
    public RowPage(Query query, IPageRows page, ITwinStore twins, TwinColumns columns, MetadataTransaction tx, TwinFields fields, Scope scope, QueryLimits limits, QueryClock clock)
    {
        _query = query;
        _twins = twins;
        _columns = columns;
        _tx = tx;
        _scope = scope;
        _limits = limits;
        _clock = clock;
        _values = new RowValues(query.Slots, fields);
        _slots = new QueryValue[query.Slots.Count];
        _page = page;
        _ofModules = query.Source is QuerySource.Modules;
    }

    private bool IsFull => _page.Rows == _rowsMax || _page.Bytes >= _limits.MaxPageBytes;

    /// <param name="from">Null: the first page.</param>
    /// <returns>Where to go on; null when there are no more rows.</returns>
    public QueryContinuation? Read(QueryContinuation? from, int maxRows)
    {
        var left = from is null ? _query.Top : from.Left;
        _rowsMax = (int)Math.Min(maxRows, left ?? maxRows);
        _last = from is null ? ("", "") : (from.After, from.ModuleId);
        if (DeviceIds() is { } ids)
            ReadDevices(ids);
        else if (Find(makes: false) is { } candidates)
            ReadFound(candidates);
        else
            ReadAll();

        var isLast = !_hasMore || _page.Rows == left;
        return isLast ? null : new QueryContinuation(_last.DeviceId, _last.ModuleId, left - _page.Rows);
    }

    /// <summary>Those that the conditions name; null when they name none.</summary>
    private List<string>? DeviceIds()
    {
        for (var slot = 0; slot < _query.Slots.Count; slot++)
        {
            if (_query.Slots[slot] is not { Part: QueryPart.Field, Names: ["deviceId"] })
                continue;
            if (_query.Conditions.Select(condition => condition.ValuesOf(slot)).FirstOrDefault(values => values is not null) is { } named)
                return [.. named.Where(value => value.Kind is QueryKind.Text).Select(value => value.Text).Order(StringComparer.Ordinal)];
        }

        return null;
    }

    private void ReadDevices(List<string> ids)
    {
        foreach (var id in ids)
        {
            if (!_hasMore)
                _twins.Scan(_tx, new TwinScan(_ofModules, WithIdentity: true, InOrder: true) { After = _last, OfDevice = id }, (in TwinRow row) => Visit(row, isWhole: true));
        }
    }

    private void ReadAll()
    {
        var (visited, isWhole) = (0, true);
        _twins.Scan(_tx, _values.Scan(_ofModules, inOrder: true) with { After = _last }, (in TwinRow row) =>
        {
            if (!Visit(row, isWhole: _values is { NeedsIdentity: true, NeedsTwin: true }))
                return false;
            if (++visited < _limits.RowsInOrder || _query.Conditions.Count == 0)
                return true;

            _last = IdOf(row);
            isWhole = false;
            return false;
        });
        if (isWhole)
            return;
        if (Find(makes: true) is { } candidates)
            ReadFound(candidates);
        else
            ReadOthers();
    }

    // Some more than the page has room for: not all of them may be rows.
    private RowCandidates? Find(bool makes) => _columns.Find(_query, _last, _rowsMax + SpareCandidates, makes, _clock);

    private void ReadFound(RowCandidates candidates)
    {
        foreach (var identity in candidates.Identities)
        {
            _twins.Visit(_tx, identity.DeviceId, identity.ModuleId, (in TwinRow row) => Visit(row, isWhole: true));
            if (_hasMore)
                return;
        }

        if (!candidates.HasMore)
            return;

        _hasMore = true;
        _last = (candidates.Identities[^1].DeviceId, candidates.Identities[^1].ModuleId ?? "");
    }

    // Those behind the last one visited, as they lie in the file; the first of them make the page.
    private void ReadOthers()
    {
        var others = new PriorityQueue<Identity, Identity>(IdentityOrder.LastFirst);
        var wanted = _rowsMax - _page.Rows + 1;
        var isOver = false;
        _twins.Scan(_tx, _values.Scan(_ofModules, inOrder: false), (in TwinRow row) =>
        {
            if (Admits(row) && Identity.TryCreate(row.DeviceId, row.ModuleId, out var id) && IdentityOrder.Compare(id, _last) > 0)
            {
                if (others.Count < wanted)
                    others.Enqueue(id, id);
                else
                    others.EnqueueDequeue(id, id);
            }

            return !(isOver = _clock.IsOver());
        });

        // What was found may not be the first: the page has what was found in order.
        _hasMore = isOver;
        if (isOver)
            return;

        List<Identity> found = [];
        while (others.TryDequeue(out var id, out _))
            found.Add(id);
        for (var i = found.Count - 1; i >= 0 && !_hasMore; i--)
            _twins.Visit(_tx, found[i].DeviceId, found[i].ModuleId, (in TwinRow row) => Take(row, isWhole: true));
    }

    /// <param name="isWhole">The row has twin and identity.</param>
    /// <returns>Whether to go on.</returns>
    private bool Visit(in TwinRow row, bool isWhole)
    {
        if (Admits(row) && !Take(row, isWhole))
            return false;
        if (!_clock.IsOver())
            return true;

        // The page ends early, and the next one goes on from here.
        _last = IdOf(row);
        _hasMore = true;
        return false;
    }

    private bool Admits(in TwinRow row)
    {
        if (!_scope.CoversDevice(row.DeviceIdBytes))
            return false;
        if (_query.Conditions.Count == 0)
            return true;

        _values.Read(row, _slots);
        return _query.Admits(_slots);
    }

    // A row more than there is room for: only now it is known that there is another page.
    private bool Take(in TwinRow row, bool isWhole)
    {
        if (IsFull)
        {
            _hasMore = true;
            return false;
        }

        _last = IdOf(row);
        if (isWhole || (!_page.NeedsIdentity && _values.NeedsTwin))
            _page.Add(row);
        else
            _twins.Visit(_tx, _last.DeviceId, _last.ModuleId, (in TwinRow whole) => _page.Add(whole));
        return true;
    }

    private static (string DeviceId, string ModuleId) IdOf(in TwinRow row) => (row.DeviceId, row.ModuleId ?? "");
}
