using Sallyport.Hub.Twins;
using Sallyport.Protocol.Queries;
using Sallyport.Storage.Metadata;

namespace Sallyport.Hub.Queries;

/// <summary>Takes the values that a query needs out of rows. Immutable; thread-safe.</summary>
internal sealed class RowValues
{
    private readonly TwinFields _fields;
    private readonly JsonPaths _tags, _desired, _reported, _configurations;
    private readonly (int Slot, string Field)[] _named;
    private readonly (int Slot, bool OfDesired)[] _versions;

    // Of $metadata, which a row does not have as JSON: the whole twin is written, and read again.
    private readonly JsonPaths _written;

    public RowValues(IReadOnlyList<QueryPath> slots, TwinFields fields)
    {
        _fields = fields;
        var paths = slots.Select((path, slot) => (Path: path, Slot: slot, Kind: KindOf(path))).ToList();
        _tags = Of(QueryPart.Tags);
        _desired = Of(QueryPart.Desired);
        _reported = Of(QueryPart.Reported);
        _configurations = new JsonPaths(paths.Where(one => IsOfConfigurations(one.Path)).Select(one => ((IReadOnlyList<string>)[.. one.Path.Names.Skip(1)], one.Slot)));
        _named = [.. paths.Where(one => one.Path.Part is QueryPart.Field && !IsOfConfigurations(one.Path)).Select(one => (one.Slot, FieldOf(one.Path)))];
        _versions = [.. paths.Where(one => one.Kind is Kind.Version).Select(one => (one.Slot, one.Path.Part is QueryPart.Desired))];
        _written = new JsonPaths(paths.Where(one => one.Kind is Kind.Metadata).Select(one => ((IReadOnlyList<string>)[.. one.Path.FullNames], one.Slot)));
        NeedsIdentity = !_written.IsEmpty || _named.Any(one => TwinFields.NeedsIdentity(one.Field));
        NeedsTwin = !NeedsIdentity || paths.Exists(one => NeedsTwinOf(one.Path));

        JsonPaths Of(QueryPart part) => new(paths.Where(one => one.Path.Part == part && one.Kind is Kind.Stored).Select(one => (one.Path.Names, one.Slot)));
    }

    private enum Kind
    {
        Stored,
        Version,
        Metadata,
    }

    public bool NeedsIdentity { get; }

    /// <summary>False: the identity says all.</summary>
    public bool NeedsTwin { get; }

    public static bool NeedsTwinOf(QueryPath path) => path.Part is not QueryPart.Field || TwinFields.NeedsTwin(FieldOf(path));

    /// <summary>What a scan must go through.</summary>
    public TwinScan Scan(bool ofModules, bool inOrder) => new(ofModules, NeedsIdentity, inOrder) { WithTwin = NeedsTwin };

    public static string FieldOf(QueryPath path) => string.Join('.', path.Names);

    /// <summary>Whether it can be taken out of what the store has, as it is there.</summary>
    public static bool IsStored(QueryPath path) => KindOf(path) is Kind.Stored && (path.Part is not QueryPart.Field || !TwinFields.IsVolatile(FieldOf(path)));

    public void Read(in TwinRow row, Span<QueryValue> values)
    {
        values.Clear();
        if (!_tags.IsEmpty)
            _tags.Read(row.Tags, values);
        if (!_desired.IsEmpty)
            _desired.Read(row.Desired, values);
        if (!_reported.IsEmpty)
            _reported.Read(row.Reported, values);
        if (!_configurations.IsEmpty && row.Configurations is { IsEmpty: false } configurations)
            _configurations.Read(configurations, values);
        foreach (var (slot, ofDesired) in _versions)
            values[slot] = QueryValue.Of(ofDesired ? row.DesiredVersion : row.ReportedVersion);
        if (_named.Length > 0)
        {
            IdentityRecord? identity = null;
            foreach (var (slot, field) in _named)
                values[slot] = _fields.ValueOf(field, row, ref identity);
        }

        if (!_written.IsEmpty)
            _written.Read(TwinJson.Encode(_fields.StateOf(row)), values);
    }

    private static bool IsOfConfigurations(QueryPath path) => path is { Part: QueryPart.Field, Names: ["configurations", ..] };

    private static Kind KindOf(QueryPath path) => path switch
    {
        { Part: QueryPart.Desired or QueryPart.Reported, Names: ["$version"] } => Kind.Version,
        { Part: QueryPart.Desired or QueryPart.Reported, Names: ["$metadata", ..] } => Kind.Metadata,
        _ => Kind.Stored,
    };
}
