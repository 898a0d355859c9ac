using Microsoft.Data.Sqlite;
using Microsoft.Extensions.Logging;
using Sallyport.Storage.Secrets;
using SQLitePCL;

namespace Sallyport.Storage.Metadata;

/// <summary>
/// The metadata store in one SQLite file: write-ahead log, a sync per commit (<c>synchronous=FULL</c>), one
/// <see cref="SqliteWriter"/>, snapshot reads beside it. Thread-safe.
/// </summary>
/// <remarks>
/// Whoever opens it holds the data directory's lock: the file has one owner. A write that fails comes back as
/// <see cref="MetadataWriteException"/>; see there what follows.
/// </remarks>
public sealed class SqliteMetadata : IMetadata
{
    private readonly SqliteWriter _writer;
    private readonly SqliteReaders _readers;
    private readonly IdentityTable _identities;
    private readonly TwinTable _twins = new();
    private readonly OutboxTable _outbox = new();
    private readonly Lazy<string> _hubId;

    private SqliteMetadata(string path, SqliteConnection writing, SecretBox secrets, TimeProvider time, ILogger log)
    {
        _identities = new IdentityTable(secrets);
        Scopes = new ScopeTable(_identities);
        RegistryJobs = new RegistryJobTable(secrets);
        Secrets = secrets;
        Quarantine = new QuarantineTable();
        IpFilter = new IpFilterTable();
        Policies = new PolicyTable(secrets);
        Connections = new ConnectionTable(secrets);
        Subscriptions = new SubscriptionTable();
        Checkpoints = new CheckpointTable();
        ConsumerGroups = new ConsumerGroupTable();
        CertificateAuthorities = new CertificateAuthorityTable();
        _readers = new SqliteReaders(() => Connect(path, SqliteOpenMode.ReadOnly));
        _hubId = new Lazy<string>(() => Read(tx => SqliteSession.Of(tx)["SELECT id FROM hub"].First(row => row.GetString(0))!));
        _writer = new SqliteWriter(new SqliteSession(writing), time, log, _outbox.TellAdded, _twins.TellChanged);
    }

    public string HubId => _hubId.Value;

    public IIdentityStore Identities => _identities;

    public ITwinStore Twins => _twins;

    public IQuarantineStore Quarantine { get; }

    public IIpFilterStore IpFilter { get; }

    public IPolicyStore Policies { get; }

    public ISubscriptionStore Subscriptions { get; }

    public ICheckpointStore Checkpoints { get; }

    public IConsumerGroupStore ConsumerGroups { get; }

    public IConnectionStore Connections { get; }

    public ICertificateAuthorityStore CertificateAuthorities { get; }

    public IOutboxStore Outbox => _outbox;

    public ICommandStore Commands { get; } = new CommandTable();

    public IFeedbackStore Feedback { get; } = new FeedbackTable();

    public IScopeStore Scopes { get; }

    public IRegistryJobStore RegistryJobs { get; }
    public IUploadStore Uploads { get; } = new UploadTable();

    public IFileNotificationStore FileNotifications { get; } = new FileNotificationTable();
    public IJobStore Jobs { get; } = new JobTable();

    public IConfigurationStore Configurations { get; } = new ConfigurationTable();

    public IRevocationStore Revocations { get; } = new RevocationTable();

    /// <summary>Completes, with the reason, when no more changes are taken.</summary>
    public Task<Exception> Failure => _writer.Failure;

    /// <summary>What seals the secrets in it.</summary>
    internal SecretBox Secrets { get; }

    /// <summary>How many commits there were since it was opened; many acts share one.</summary>
    internal long Commits => _writer.Commits;

    /// <summary>Opens the store, making or migrating its file. Runs on the caller's thread until the file is ready.</summary>
    /// <param name="path">The database file; its directory exists.</param>
    /// <param name="secrets">Seals what is secret; stays the caller's to dispose, after this store.</param>
    /// <exception cref="UnusableDataException">The file is not ours, newer than this program, damaged, or cannot be opened.</exception>
    public static Task<SqliteMetadata> OpenAsync(string path, SecretBox secrets, TimeProvider time, ILogger log) =>
        OpenAsync(path, secrets, time, log, MetadataSchema.Steps);

    /// <inheritdoc cref="OpenAsync(string, SecretBox, TimeProvider, ILogger)"/>
    /// <param name="steps">The schema's history; tests give a longer or shorter one.</param>
    internal static Task<SqliteMetadata> OpenAsync(string path, SecretBox secrets, TimeProvider time, ILogger log, IReadOnlyList<string> steps) =>
        Task.Run(async () =>
        {
            SqliteConnection? connection = null;
            try
            {
                if (!File.Exists(path))
                    PrivateFile.Create(path);

                connection = Connect(path, SqliteOpenMode.ReadWrite);
                var copy = MetadataSchema.Apply(connection, path, steps);
                if (copy is not null)
                    log.LogInformation(MetadataEvents.Migrated, "The metadata was migrated to format {Version}; the database as it was is in {Copy}.", steps.Count, copy);

                var metadata = new SqliteMetadata(path, connection, secrets, time, log);
                connection = null;
                try
                {
                    await metadata.MarkIdentitiesAsync().ConfigureAwait(false);
                }
                catch
                {
                    await metadata.DisposeAsync().ConfigureAwait(false);
                    throw;
                }

                return metadata;
            }
            catch (SqliteException exception) when (exception.SqliteErrorCode is raw.SQLITE_NOTADB or raw.SQLITE_CORRUPT)
            {
                throw new UnusableDataException($"'{path}' is damaged or not a metadata database: restore it from a backup.", exception);
            }
            catch (Exception exception) when (exception is SqliteException or IOException or UnauthorizedAccessException)
            {
                throw new UnusableDataException($"The metadata database '{path}' cannot be opened: {exception.Message}", exception);
            }
            finally
            {
                connection?.Dispose();
            }
        });

    public ValueTask<T> WriteAsync<T>(Func<MetadataTransaction, T> act, CancellationToken cancel = default) => _writer.WriteAsync(act, null, cancel);

    public ValueTask<T> WriteAsync<T>(Func<MetadataTransaction, T> act, Action<T> committed, CancellationToken cancel = default) => _writer.WriteAsync(act, committed, cancel);

    public T Read<T>(Func<MetadataTransaction, T> look) => _readers.Read(look);

    /// <summary>Commits what waits, then closes the file. Later calls are refused.</summary>
    public async ValueTask DisposeAsync()
    {
        // The writer goes last: closing the last connection folds the write-ahead log into the file, which a reader may not.
        _readers.Dispose();
        await _writer.StopAsync().ConfigureAwait(false);
    }

    /// <summary>Marks every identity whose mark is missing or was made with another key than the newest: 100,000 take a few seconds. Other acts have their turn.</summary>
    internal async ValueTask MarkIdentitiesAsync()
    {
        const int perCommit = 1000;
        IdentityFacts? at = null;
        do
        {
            var from = at;
            at = await WriteAsync(tx => _identities.MarkSome(tx, from, perCommit)).ConfigureAwait(false);
        }
        while (at is not null);
    }

    private static SqliteConnection Connect(string path, SqliteOpenMode mode)
    {
        var connection = new SqliteConnection(new SqliteConnectionStringBuilder { DataSource = path, Mode = mode, Pooling = false }.ToString());
        try
        {
            connection.Open();

            // A plan is for all values: else SQLite parses and plans each statement that compares with a column of a partial index's condition ("module_id = $2") anew whenever it is bound,
            // which was two thirds of what a look for an identity cost.
            raw.sqlite3_db_config(connection.Handle, raw.SQLITE_DBCONFIG_ENABLE_QPSG, 1, out _);
            using var pragmas = connection.CreateCommand();

            // Nothing in the schema may call functions with side effects. The writer keeps up to 32 MiB of pages: with SQLite's 2 MB it reads back what it wrote a moment ago.
            // The log is folded into the file every 32 MiB instead of every 4, so that pages written over and over are folded once; its file shrinks again after a burst.
            pragmas.CommandText = mode == SqliteOpenMode.ReadOnly
                ? "PRAGMA busy_timeout = 30000; PRAGMA trusted_schema = OFF; PRAGMA query_only = ON;"
                : "PRAGMA busy_timeout = 30000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -32768; PRAGMA wal_autocheckpoint = 8192; PRAGMA journal_size_limit = 67108864;";
            pragmas.ExecuteNonQuery();
            return connection;
        }
        catch (SqliteException)
        {
            connection.Dispose();
            throw;
        }
    }
}
