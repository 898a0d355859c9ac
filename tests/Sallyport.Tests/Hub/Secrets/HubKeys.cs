using System.Text;
using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Logging.Abstractions;
using Sallyport.Hub.Access;
using Sallyport.Hub.Audit;
using Sallyport.Hub.Secrets;
using Sallyport.Storage;
using Sallyport.Storage.Metadata;
using Sallyport.Storage.Secrets;

namespace Sallyport.Tests.Hub.Secrets;

/// <summary>What of a hub holds keys: data directory, key file, metadata, audit trail; opened as a hub opens it, from what is on disk.</summary>
internal sealed class HubKeys : IAsyncDisposable
{
    private readonly SecretBox _secrets;
    private readonly SqliteMetadata _metadata;
    private readonly AuditTrail _trail;
    private readonly AuditKeys _auditKeys;
    private int _devices;

    private HubKeys(DataDirectory data, HeldKeys keys, SecretBox secrets, SqliteMetadata metadata, AuditTrail trail, AuditKeys auditKeys, IAuditTrail? audit, Action<string> afterStep)
    {
        (Data, Keys, _secrets, _metadata, _trail, _auditKeys) = (data, keys, secrets, metadata, trail, auditKeys);
        Rotation = new KeyRotation(metadata, secrets, keys, auditKeys, audit ?? trail, TimeProvider.System, NullLogger.Instance, afterStep);
    }

    public static Actor Somebody { get; } = new("policy:p", "", Rights.AccessManage, "c-1", "192.0.2.7:50122");

    public DataDirectory Data { get; }

    public HeldKeys Keys { get; }

    public KeyRotation Rotation { get; }

    /// <param name="place">Holds <c>data/</c> and <c>key</c>.</param>
    /// <param name="fromCredential">The key is the systemd credential in that place.</param>
    public static async Task<HubKeys> OpenAsync(string place, Action<string>? afterStep = null, IAuditTrail? audit = null, bool fromCredential = false)
    {
        var data = DataDirectory.Open(Path.Combine(place, "data"), TimeProvider.System);
        try
        {
            var keys = HeldKeys.Open(data, fromCredential ? null : Path.Combine(place, "key"), name => name == "CREDENTIALS_DIRECTORY" ? place : null);
            var auditKeys = new AuditKeys(data.Id, keys.Ring);
            var trail = AuditTrail.Open(data.AuditPath, auditKeys, new AuditTrailOptions(), TimeProvider.System, NullLogger.Instance);
            trail.Note(new AuditEntry("local:hub", "", "hub start", data.Id, "done", "", "c-0", "local"));
            var secrets = new SecretBox(keys.Ring);
            var metadata = await SqliteMetadata.OpenAsync(data.MetadataPath, secrets, TimeProvider.System, NullLogger.Instance);
            return new HubKeys(data, keys, secrets, metadata, trail, auditKeys, audit, afterStep ?? (_ => { })) { _devices = metadata.Read(tx => metadata.Identities.ListDevices(tx, null, 10_000)).Count };
        }
        catch
        {
            data.Dispose();
            throw;
        }
    }

    public static void WriteKeys(string path, params MasterKey[] keys) =>
        PrivateFile.Replace(path, Encoding.ASCII.GetBytes(string.Concat(keys.Select(key => $"sallyport-key:1:{key.ToBase64()}\n"))));

    public static IdentityRecord Device(string id, string key) => new() { DeviceId = id, GenerationId = "g1", ETag = 1, PrimaryKey = key, SecondaryKey = key + "-2" };

    public async Task FillAsync(int devices)
    {
        await _metadata.WriteAsync(tx =>
        {
            for (var i = 0; i < devices; i++)
                _metadata.Identities.Put(tx, Device($"d{i:0000}", $"k{i:0000}"));
            _metadata.Policies.Put(tx, new PolicyRecord("p", 1, "p-key", "p-key-2", 7, DateTimeOffset.UnixEpoch));
            _metadata.Connections.Put(tx, new ConnectionRecord("sql", "sql", "{}", "password", false, "policy:p", 1, 1, DateTimeOffset.UnixEpoch));
            return true;
        });
    }

    public ValueTask<bool> PutAsync(IdentityRecord record) => _metadata.WriteAsync(tx =>
    {
        _metadata.Identities.Put(tx, record);
        return true;
    });

    /// <summary>Changes the last byte of a device's sealed key on disk.</summary>
    public void Spoil(string id)
    {
        using var connection = new SqliteConnection($"Data Source={Data.MetadataPath};Pooling=False");
        connection.Open();
        using var command = connection.CreateCommand();
        command.CommandText = "UPDATE identity SET primary_key = CAST(substr(primary_key, 1, length(primary_key) - 1) || x'00' AS BLOB) WHERE device_id = $1";
        command.Parameters.AddWithValue("$1", id);
        Assert.Equal(1, command.ExecuteNonQuery());
    }

    public async Task RotateAsync()
    {
        await Rotation.StartAsync(Somebody, default);
        await Rotation.Run;
        Assert.Equal(RotationState.Finished, Rotation.Progress.State);
        Assert.Equal(Rotation.Progress.Total, Rotation.Progress.Resealed);
    }

    public IEnumerable<string> Holders(string key) =>
        _metadata.Read(tx => _metadata.Identities.FindByCredential(tx, key, 10)).Select(found => found.DeviceId).Order(StringComparer.Ordinal);

    public void ExpectDevices() => Assert.All(
        _metadata.Read(tx => _metadata.Identities.ListDevices(tx, "d", 10_000)),
        device => Assert.Equal((device.DeviceId.Replace('d', 'k'), device.DeviceId.Replace('d', 'k') + "-2", 1L), (device.PrimaryKey, device.SecondaryKey, device.ETag)));

    /// <summary>Every secret opens and is found, the log's key is the one that it began with, and the trail is whole.</summary>
    public void ExpectEverything(MasterKey first)
    {
        Assert.NotEqual(0, _devices);
        Assert.Equal(_devices, _metadata.Read(tx => _metadata.Identities.ListDevices(tx, null, 10_000)).Count);
        ExpectDevices();
        var policy = _metadata.Read(tx => _metadata.Policies.Find(tx, "p"))!;
        Assert.Equal(("p-key", "p-key-2"), (policy.PrimaryKey, policy.SecondaryKey));
        Assert.Equal("password", _metadata.Read(tx => _metadata.Connections.Find(tx, "sql"))!.Secret);
        Assert.Equal(["d0003"], Holders("k0003"));
        Assert.Equal(["d1099"], Holders("k1099-2"));
        Assert.Empty(MetadataVerification.Verify(_metadata, default));

        Assert.Equal(first.Derive("log-mac"), Keys.Ring.LogMacKey());
        Assert.Empty(AuditVerifier.Verify(Data.AuditPath, new AuditKeys(Data.Id, Keys.Ring), [], default).Findings);
    }

    public async ValueTask DisposeAsync()
    {
        await Rotation.DisposeAsync();
        await _metadata.DisposeAsync();
        await _trail.DisposeAsync();
        _secrets.Dispose();
        Data.Dispose();
    }
}
