using System.Buffers;
using System.Text.Json;
using Sallyport.Hub.Twins;
using Sallyport.Protocol.Queries;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Queries;

/// <summary>What becomes of the rows of a page. Owned by one request.</summary>
internal interface IPageRows
{
    int Rows { get; }

    /// <summary>What the answer takes so far.</summary>
    int Bytes { get; }

    /// <summary>Rows must come with their identities.</summary>
    bool NeedsIdentity { get; }

    /// <returns>True.</returns>
    bool Add(in TwinRow row);
}

/// <summary>The rows of a page as JSON: whole twins, or the members of them that were named. Owned by one request.</summary>
internal sealed class RowJson : IPageRows
{
    private readonly ArrayBufferWriter<byte> _json = new(4096);
    private readonly IReadOnlyList<QueryColumn>? _columns;
    private readonly TwinFields _fields;
    private readonly bool _isOfFields;

    public RowJson(IReadOnlyList<QueryColumn>? columns, TwinFields fields)
    {
        _columns = columns;
        _fields = fields;
        _isOfFields = columns is not null && columns.All(column => column.Path is { Part: QueryPart.Field } path && TwinFields.IsPrimitive(RowValues.FieldOf(path)));
        NeedsIdentity = columns is null || !_isOfFields || columns.Any(column => TwinFields.NeedsIdentity(RowValues.FieldOf(column.Path!)));
        _json.Write("["u8);
    }

    public int Rows { get; private set; }

    public int Bytes => _json.WrittenCount;

    public bool NeedsIdentity { get; }

    public bool Add(in TwinRow row)
    {
        if (Rows++ > 0)
            _json.Write(","u8);

        if (_columns is null)
            _json.Write(TwinJson.Encode(_fields.StateOf(row)));
        else if (_isOfFields)
            AddFields(row);
        else
            AddMembers(TwinJson.Encode(_fields.StateOf(row)));
        return true;
    }

    /// <summary>The whole array; nothing may be added any more.</summary>
    public ReadOnlyMemory<byte> Ended()
    {
        _json.Write("]"u8);
        return _json.WrittenMemory;
    }

    // Without writing the twin: a list of ids is what is asked for oftenest.
    private void AddFields(in TwinRow row)
    {
        using var json = new Utf8JsonWriter(_json, TwinJson.Options);
        IdentityRecord? identity = null;
        json.WriteStartObject();
        foreach (var column in _columns!)
        {
            var value = _fields.ValueOf(RowValues.FieldOf(column.Path!), row, ref identity);
            if (value.IsDefined)
                QueryJson.Write(json, column.Name, value);
        }

        json.WriteEndObject();
    }

    private void AddMembers(byte[] twin)
    {
        using var document = JsonDocument.Parse(twin);
        using var json = new Utf8JsonWriter(_json, TwinJson.Options);
        json.WriteStartObject();
        foreach (var column in _columns!)
        {
            if (Find(document.RootElement, column.Path!) is not { } value)
                continue;

            json.WritePropertyName(column.Name);
            json.WriteRawValue(value.GetRawText(), skipInputValidation: true);
        }

        json.WriteEndObject();
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

/// <summary>Values as JSON.</summary>
internal static class QueryJson
{
    /// <param name="value">A primitive.</param>
    public static void Write(Utf8JsonWriter json, string name, in QueryValue value)
    {
        json.WritePropertyName(name);
        switch (value.Kind)
        {
            case QueryKind.Number when value.Number == Math.Floor(value.Number) && Math.Abs(value.Number) < 1L << 53:
                json.WriteNumberValue((long)value.Number);
                break;
            case QueryKind.Number:
                json.WriteNumberValue(value.Number);
                break;
            case QueryKind.Text:
                json.WriteStringValue(value.Text);
                break;
            case QueryKind.Boolean:
                json.WriteBooleanValue(value.IsTrue);
                break;
            default:
                json.WriteNullValue();
                break;
        }
    }
}
