using System.Buffers;
using System.Text.Json;
using Sallyport.Hub.Access;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Queries;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Queries;

/// <summary>A page of rows, in the order of their ids: whole twins, or some members of them. Owned by one request.</summary>
internal sealed class RowPage(Query query, ITwinStore twins, TwinFields fields, Scope scope, QueryLimits limits, QueryClock clock)
{
    private readonly ArrayBufferWriter<byte> _json = new(4096);
    private int _rows;
    private (string DeviceId, string ModuleId) _last;

    /// <param name="from">Null: the first page.</param>
    /// <returns>The rows, and where to go on; null when there are no more.</returns>
    public (ReadOnlyMemory<byte> Json, QueryContinuation? Next) Read(MetadataTransaction tx, QueryContinuation? from, int maxRows)
    {
        var left = from is null ? query.Top : from.Left;
        var values = new RowValues(query.Slots, fields);
        var slots = new QueryValue[query.Slots.Count];
        var rows = (int)Math.Min(maxRows, left ?? maxRows);
        var hasMore = false;
        _json.Write("["u8);
        if (rows > 0)
        {
            var scan = new TwinScan(query.Source is QuerySource.Modules, values.NeedsIdentity, InOrder: true) { After = from is null ? null : (from.After, from.ModuleId) };
            twins.Scan(tx, scan, (in TwinRow row) =>
            {
                if (Admits(row))
                {
                    // A row more than there is room for: only now it is known that there is another page.
                    if (_rows == rows || _json.WrittenCount >= limits.MaxPageBytes)
                    {
                        hasMore = true;
                        return false;
                    }

                    Add(tx, row, values.NeedsIdentity);
                    if (_rows == left)
                        return false;
                }

                if (!clock.IsOver())
                    return true;

                // The page ends early, and the next one goes on from here.
                _last = (row.DeviceId, row.ModuleId ?? "");
                hasMore = true;
                return false;
            });
        }

        _json.Write("]"u8);
        return (_json.WrittenMemory, hasMore ? new QueryContinuation(_last.DeviceId, _last.ModuleId, left - _rows) : null);

        bool Admits(in TwinRow row)
        {
            if (!scope.CoversDevice(row.DeviceIdBytes))
                return false;
            if (query.Conditions.Count == 0)
                return true;

            values.Read(row, slots);
            return query.Admits(slots);
        }
    }

    private void Add(MetadataTransaction tx, in TwinRow row, bool hasIdentity)
    {
        _last = (row.DeviceId, row.ModuleId ?? "");
        if (hasIdentity)
            Write(row);
        else
            twins.Visit(tx, _last.DeviceId, row.ModuleId, (in TwinRow whole) => Write(whole));
    }

    private bool Write(in TwinRow row)
    {
        if (_rows++ > 0)
            _json.Write(","u8);

        var twin = TwinJson.Encode(fields.StateOf(row));
        if (query.Columns is null)
        {
            _json.Write(twin);
            return true;
        }

        using var document = JsonDocument.Parse(twin);
        using var json = new Utf8JsonWriter(_json, TwinJson.Options);
        json.WriteStartObject();
        foreach (var column in query.Columns)
        {
            if (Find(document.RootElement, column.Path!) is not { } value)
                continue;

            json.WritePropertyName(column.Name);
            json.WriteRawValue(value.GetRawText(), skipInputValidation: true);
        }

        json.WriteEndObject();
        return true;
    }

    private static JsonElement? Find(JsonElement from, QueryPath path)
    {
        foreach (var name in path.FullNames)
        {
            if (from.ValueKind is not JsonValueKind.Object || !from.TryGetProperty(name, out from))
                return null;
        }

        return from;
    }
}
