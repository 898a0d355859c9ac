using System.Text.Json;

namespace Sallyport.Storage.Metadata;

/// <summary>Which twins a scan goes through.</summary>
/// <param name="Modules">Those of modules; else those of devices.</param>
/// <param name="WithIdentity">The rows have what the registry says of the identity too; costs two look-ups a row.</param>
/// <param name="InOrder">In the order of the ids (ordinal); else as they lie in the file, which is faster.</param>
public sealed record TwinScan(bool Modules, bool WithIdentity, bool InOrder)
{
    /// <summary>Only those behind this identity, of a scan in order; null from the first.</summary>
    public (string DeviceId, string ModuleId)? After { get; init; }

    /// <summary>False: the rows have their identities only, which is much faster than both. What they say of the twin is nothing.</summary>
    public bool WithTwin { get; init; } = true;

    /// <summary>Only of this device, of a scan in order; null for all.</summary>
    public string? OfDevice { get; init; }
}

/// <returns>False ends the scan.</returns>
public delegate bool TwinVisitor(in TwinRow row);

/// <summary>
/// A row of a scan, where the store has it: valid during the visit only. What is not asked for is not read.
/// </summary>
public readonly ref struct TwinRow
{
    private readonly SqliteRow _row;
    private readonly bool _hasIdentity;

    internal TwinRow(SqliteRow row, bool hasIdentity)
    {
        _row = row;
        _hasIdentity = hasIdentity;
    }

    /// <summary>ASCII.</summary>
    public ReadOnlySpan<byte> DeviceIdBytes => Bytes(0);

    public string DeviceId => _row.GetString(0);

    public string? ModuleId => _row.GetString(1) is { Length: > 0 } module ? module : null;

    /// <summary>Of the identity that it belongs to.</summary>
    public string GenerationId => _row.GetString(2);

    public long ETag => _row.GetInt64(3);

    public long Version => _row.GetInt64(4);

    /// <summary>UTF-8 JSON: an object.</summary>
    public ReadOnlySpan<byte> Tags => Bytes(5);

    /// <inheritdoc cref="Tags"/>
    public ReadOnlySpan<byte> Desired => Bytes(6);

    public long DesiredVersion => _row.GetInt64(8);

    /// <inheritdoc cref="Tags"/>
    public ReadOnlySpan<byte> Reported => Bytes(9);

    public long ReportedVersion => _row.GetInt64(11);

    public string? ModelId => _row.TextOrNull(12);

    /// <summary>UTF-8 JSON: an object; empty when it has none. See <see cref="TwinRecord.Configurations"/>.</summary>
    public ReadOnlySpan<byte> Configurations => Bytes(13);

    /// <summary>See <see cref="TwinRecord.Configured"/>; empty for none.</summary>
    public ReadOnlySpan<byte> Configured => Bytes(14);

    /// <summary>Only of a scan with identities.</summary>
    public bool IsOfEdge => _hasIdentity ? _row.GetBoolean(22) : throw new InvalidOperationException("the scan goes without identities");

    public TwinRecord Twin() => TwinTable.Record(_row);

    /// <summary>The identity without its keys. Only of a scan with identities.</summary>
    public IdentityRecord Identity() => !_hasIdentity
        ? throw new InvalidOperationException("the scan goes without identities")
        : new IdentityRecord
        {
            DeviceId = DeviceId,
            ModuleId = ModuleId,
            GenerationId = _row.GetString(2),
            ETag = _row.GetInt64(15),
            Enabled = _row.GetBoolean(16),
            StatusReason = _row.TextOrNull(17),
            StatusUpdatedTime = _row.TimeOrNull(18),
            Authentication = (IdentityAuthentication)_row.GetByte(19),
            PrimaryThumbprint = _row.TextOrNull(20),
            SecondaryThumbprint = _row.TextOrNull(21),
            IotEdge = _row.GetBoolean(22),
            DeviceScope = _row.TextOrNull(23),
            ParentScopes = _row.TextOrNull(24) is { } scopes ? JsonSerializer.Deserialize<string[]>(scopes)! : [],
            ManagedBy = _row.TextOrNull(25),
            LastActivityTime = _row.TimeOrNull(26),
            ConnectionStateUpdatedTime = _row.TimeOrNull(27),
            CommandCount = _row.GetInt32(28),
        };

    // In place: a row that is read and passed over leaves nothing to collect.
    private ReadOnlySpan<byte> Bytes(int column) => _row.Bytes(column);
}
