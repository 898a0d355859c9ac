using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Logging.Abstractions;
using Sallyport.Storage.Metadata;
using Sallyport.Storage.Secrets;

namespace Sallyport.Tests.Storage.Metadata;

/// <summary>Marks are made with a key of the key file, and made again when that key is gone: otherwise a shared key would be found no more.</summary>
public sealed class CredentialMarkTests : IDisposable
{
    private const string Credential = "cHJpbWFyeQ==";

    private readonly TemporaryDirectory _directory = new();
    private readonly MasterKey _first = MasterKey.Random();
    private readonly MasterKey _next = MasterKey.Random();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Marks_AfterANewKeyAndWithoutTheOld_FindEveryIdentityStill()
    {
        await WithAsync([_first], metadata => PutAsync(metadata, "d1", "d2"));
        await WithAsync([_next, _first], metadata => PutAsync(metadata, "d1", "d2")); // Sealed anew, and marked anew at the start.
        await WithAsync([_next], metadata =>
        {
            Assert.Equal(["d1", "d2"], Found(metadata));
            return Task.CompletedTask;
        });
    }

    [Fact]
    public async Task Marks_OfMoreRowsThanACommitTakes_AreAllMade()
    {
        await WithAsync([_first], metadata => PutAsync(metadata, [.. Enumerable.Range(0, 2001).Select(i => $"d{i:0000}")]));
        Execute("UPDATE identity SET primary_mark = NULL, secondary_mark = NULL; DELETE FROM mark_key;");

        await WithAsync([_first], metadata =>
        {
            Assert.Equal(2001, Found(metadata, 3000).Count);
            return Task.CompletedTask;
        });
    }

    [Fact]
    public async Task Marks_OfASecretThatCannotBeOpened_DoNotKeepTheHubFromStarting()
    {
        await WithAsync([_first], metadata => PutAsync(metadata, "d1", "d2"));
        Execute("UPDATE identity SET primary_key = zeroblob(60) WHERE device_id = 'd1'; DELETE FROM mark_key;");

        await WithAsync([_first], metadata =>
        {
            Assert.NotNull(metadata.Read(tx => metadata.Identities.Find(tx, "d2", null)));
            Assert.Throws<SecretUnreadableException>(() => metadata.Read(tx => metadata.Identities.Find(tx, "d1", null)));
            return Task.CompletedTask;
        });
    }

    [Fact]
    public async Task Marks_InTheDatabase_AreNotTheKeys()
    {
        await WithAsync([_first], metadata => PutAsync(metadata, "d1"));
        using var one = new SecretBox(new KeyRing(_first));
        using var other = new SecretBox(new KeyRing(_next));

        Assert.Equal(16, one.Mark(Credential).Length);
        Assert.Equal(one.Mark(Credential), one.Mark(Credential));
        Assert.NotEqual(one.Mark(Credential), other.Mark(Credential));
        Assert.NotEqual(one.Mark(Credential), one.Mark("c2Vjb25kYXJ5"));
    }

    private async Task WithAsync(MasterKey[] keys, Func<SqliteMetadata, Task> act)
    {
        using var secrets = new SecretBox(new KeyRing(keys));
        await using var metadata = await SqliteMetadata.OpenAsync(_directory["metadata.db"], secrets, TimeProvider.System, NullLogger.Instance);
        await act(metadata);
    }

    private static async Task PutAsync(SqliteMetadata metadata, params string[] ids) =>
        await metadata.WriteAsync(tx =>
        {
            foreach (var id in ids)
                metadata.Identities.Put(tx, new IdentityRecord { DeviceId = id, GenerationId = "1", ETag = 1, PrimaryKey = Credential });
            return true;
        });

    private static List<string> Found(SqliteMetadata metadata, int top = 10) =>
        [.. metadata.Read(tx => metadata.Identities.FindByCredential(tx, Credential, top)).Select(found => found.DeviceId).Order(StringComparer.Ordinal)];

    private void Execute(string sql)
    {
        using var connection = new SqliteConnection($"Data Source={_directory["metadata.db"]};Pooling=False");
        connection.Open();
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        command.ExecuteNonQuery();
    }
}
