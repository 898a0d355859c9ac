using Microsoft.Data.Sqlite;

namespace Sallyport.Storage.Metadata;

/// <summary>
/// The tables of the metadata store and how they became what they are: step n takes a database from version n to n + 1.
/// A landed step never changes; a change is a new step. Described in <c>docs/formats/metadata.md</c>.
/// </summary>
internal static partial class MetadataSchema
{
    /// <summary>"SLPT", in the header of the file: tells <c>file(1)</c> and us whose database it is.</summary>
    public const int ApplicationId = 0x534C5054;

    public static readonly IReadOnlyList<string> Steps = [Initial, HubId, PhysicalZone, CertificateAuthorities, Revocations, IpFilter, Operators, ConsumerGroups, OperatorCertificates, Twins, Commands, Moving, Uploads, Jobs, Configurations, OutboxBatches];

    private const string PhysicalZone = """
        -- Devices whose word is not taken. Bound to the id, not to the registered identity: deleting a device and making it anew
        -- lifts nothing.
        CREATE TABLE quarantine (
            device_id TEXT    NOT NULL PRIMARY KEY,
            since     INTEGER NOT NULL,
            placed_by TEXT    NOT NULL,
            reason    TEXT    NOT NULL
        ) STRICT, WITHOUT ROWID;

        -- Keyed hashes, so that a key or thumbprint is found again although keys are sealed with a nonce; and since when each is in use.
        ALTER TABLE identity ADD COLUMN primary_mark BLOB;
        ALTER TABLE identity ADD COLUMN secondary_mark BLOB;
        ALTER TABLE identity ADD COLUMN primary_since INTEGER;
        ALTER TABLE identity ADD COLUMN secondary_since INTEGER;
        CREATE INDEX identity_primary_mark ON identity (primary_mark) WHERE primary_mark IS NOT NULL;
        CREATE INDEX identity_secondary_mark ON identity (secondary_mark) WHERE secondary_mark IS NOT NULL;

        -- With which key the marks were made, and whether every row has them: rows from before get theirs at start, and all of them do
        -- when that key is gone.
        CREATE TABLE mark_key (key_id TEXT NOT NULL PRIMARY KEY, complete INTEGER NOT NULL CHECK (complete IN (0, 1))) STRICT, WITHOUT ROWID;
        """;

    private const string IpFilter = """
        -- The first rule that fits decides.
        CREATE TABLE ip_filter (
            position INTEGER NOT NULL PRIMARY KEY,
            name     TEXT    NOT NULL UNIQUE COLLATE NOCASE,
            network  TEXT    NOT NULL,
            allows   INTEGER NOT NULL CHECK (allows IN (0, 1))
        ) STRICT;
        """;

    private const string Operators = """
        -- What a policy is limited to, and how long it opens anything: operators are policies with an end, of one person.
        ALTER TABLE policy ADD COLUMN device_prefixes TEXT NOT NULL DEFAULT '';
        ALTER TABLE policy ADD COLUMN consumer_groups TEXT NOT NULL DEFAULT '';
        ALTER TABLE policy ADD COLUMN expires INTEGER;

        -- When each right of a policy was used last; written back every 30 s.
        CREATE TABLE right_use (
            policy    TEXT    NOT NULL,
            right_bit INTEGER NOT NULL,
            last_used INTEGER NOT NULL,
            PRIMARY KEY (policy, right_bit)
        ) STRICT, WITHOUT ROWID;

        -- One row: since when. A bit that is not in right_use was not used since then.
        CREATE TABLE right_use_recorded (since INTEGER NOT NULL) STRICT;
        INSERT INTO right_use_recorded VALUES (unixepoch() * 10000000 + 621355968000000000);
        """;

    private const string ConsumerGroups = """
        -- Told apart without case, kept as given. The default one is a row like the others; it is never deleted.
        CREATE TABLE consumer_group (
            name         TEXT    NOT NULL PRIMARY KEY COLLATE NOCASE,
            created_time INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        INSERT INTO consumer_group VALUES ('$Default', unixepoch() * 10000000 + 621355968000000000);
        """;

    private const string OperatorCertificates = """
        -- The credential of an operator is its key, or the certificate with this SHA-256. Two operators never have the same: the hub sees to it.
        ALTER TABLE policy ADD COLUMN certificate_thumbprint TEXT;
        ALTER TABLE policy ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1));
        """;

    private const string Twins = """
        -- Not WITHOUT ROWID: rows are some KB, and a leaf of the table holds them where an index would not. JSON is UTF-8; stamps are in the
        -- order of the values in it.
        CREATE TABLE twin (
            device_id        TEXT    NOT NULL,
            module_id        TEXT    NOT NULL,
            generation_id    TEXT    NOT NULL,
            etag             INTEGER NOT NULL,
            version          INTEGER NOT NULL,
            tags             BLOB    NOT NULL,
            desired          BLOB    NOT NULL,
            desired_stamps   BLOB    NOT NULL,
            desired_version  INTEGER NOT NULL,
            reported         BLOB    NOT NULL,
            reported_stamps  BLOB    NOT NULL,
            reported_version INTEGER NOT NULL,
            model_id         TEXT,
            PRIMARY KEY (device_id, module_id)
        ) STRICT;

        -- Identities from before have new twins, made now: the stamp of their empty parts is format 1, the time, version 1.
        INSERT INTO twin
        SELECT device_id, module_id, generation_id, 1, 2, CAST('{}' AS BLOB),
               CAST('{}' AS BLOB), unhex('01' || printf('%016X', unixepoch() * 10000000 + 621355968000000000) || '01'), 1,
               CAST('{}' AS BLOB), unhex('01' || printf('%016X', unixepoch() * 10000000 + 621355968000000000) || '01'), 1, NULL
        FROM identity;
        """;

    private const string Commands = """
        -- Cloud-to-device messages that wait. AUTOINCREMENT: a sequence is never used twice, so that a lock never fits another command.
        CREATE TABLE command (
            sequence       INTEGER PRIMARY KEY AUTOINCREMENT,
            device_id      TEXT    NOT NULL,
            module_id      TEXT    NOT NULL,
            generation_id  TEXT    NOT NULL,
            message_id     TEXT    NOT NULL,
            enqueued_time  INTEGER NOT NULL,
            expires        INTEGER NOT NULL,
            ack            INTEGER NOT NULL,
            delivery_count INTEGER NOT NULL,
            message        BLOB    NOT NULL
        ) STRICT;
        CREATE INDEX command_queue ON command (device_id, module_id);
        CREATE INDEX command_expires ON command (expires);

        -- Those that were given up: rejected, expired, abandoned too often.
        CREATE TABLE dead_command (
            sequence       INTEGER PRIMARY KEY AUTOINCREMENT,
            device_id      TEXT    NOT NULL,
            module_id      TEXT    NOT NULL,
            generation_id  TEXT    NOT NULL,
            message_id     TEXT    NOT NULL,
            enqueued_time  INTEGER NOT NULL,
            expires        INTEGER NOT NULL,
            ack            INTEGER NOT NULL,
            delivery_count INTEGER NOT NULL,
            message        BLOB    NOT NULL,
            reason         INTEGER NOT NULL,
            dead_time      INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX dead_command_identity ON dead_command (device_id, module_id);
        CREATE TABLE dead_command_count (commands INTEGER NOT NULL) STRICT;
        INSERT INTO dead_command_count VALUES (0);
        CREATE TRIGGER dead_command_insert AFTER INSERT ON dead_command BEGIN UPDATE dead_command_count SET commands = commands + 1; END;
        CREATE TRIGGER dead_command_delete AFTER DELETE ON dead_command BEGIN UPDATE dead_command_count SET commands = commands - 1; END;

        -- What senders are told. batch is null until it is put into one.
        CREATE TABLE feedback (
            sequence      INTEGER PRIMARY KEY AUTOINCREMENT,
            batch         INTEGER,
            device_id     TEXT    NOT NULL,
            module_id     TEXT    NOT NULL,
            generation_id TEXT    NOT NULL,
            message_id    TEXT    NOT NULL,
            time          INTEGER NOT NULL,
            status        INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX feedback_identity ON feedback (device_id, module_id);
        CREATE INDEX feedback_by_batch ON feedback (batch);
        CREATE TABLE feedback_batch (
            batch          INTEGER PRIMARY KEY AUTOINCREMENT,
            enqueued_time  INTEGER NOT NULL,
            expires        INTEGER NOT NULL,
            delivery_count INTEGER NOT NULL
        ) STRICT;
        CREATE TABLE feedback_count (records INTEGER NOT NULL) STRICT;
        INSERT INTO feedback_count VALUES (0);
        CREATE TRIGGER feedback_insert AFTER INSERT ON feedback BEGIN UPDATE feedback_count SET records = records + 1; END;
        CREATE TRIGGER feedback_delete AFTER DELETE ON feedback BEGIN UPDATE feedback_count SET records = records - 1; END;
        """;

    // Tells this hub's rows from another's where both write, also from those of a hub set up anew under the same name.
    private const string HubId = """
        CREATE TABLE hub (id TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;
        INSERT INTO hub VALUES (lower(hex(randomblob(16))));
        """;

    // Lists are in a table of their own: they may be megabytes, and whoever reads an authority seldom wants them.
    private const string CertificateAuthorities = """
        CREATE TABLE certificate_authority (
            name              TEXT    NOT NULL PRIMARY KEY,
            certificate       BLOB    NOT NULL,
            etag              INTEGER NOT NULL,
            verified          INTEGER NOT NULL CHECK (verified IN (0, 1)),
            id_prefix         TEXT    NOT NULL,
            verification_code TEXT,
            revocation        INTEGER NOT NULL,
            crl_url           TEXT,
            created_time      INTEGER NOT NULL,
            updated_time      INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE revocation_list (
            authority  TEXT    NOT NULL PRIMARY KEY,
            lists      BLOB    NOT NULL,
            taken_time INTEGER NOT NULL
        ) STRICT;

        -- Between an authority and its devices, as shown by them in full handshakes.
        CREATE TABLE intermediate_certificate (
            authority   TEXT    NOT NULL,
            thumbprint  TEXT    NOT NULL,
            certificate BLOB    NOT NULL,
            added_time  INTEGER NOT NULL,
            PRIMARY KEY (authority, thumbprint)
        ) STRICT, WITHOUT ROWID;
        """;

    private const string Revocations = """
        -- accepted_until is null when the end of the token was not known.
        CREATE TABLE revoked_token (
            fingerprint    TEXT    NOT NULL PRIMARY KEY,
            subject        TEXT    NOT NULL,
            accepted_until INTEGER,
            revoked_time   INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE token_reset (
            device_id     TEXT    NOT NULL,
            module_id     TEXT    NOT NULL,
            generation_id TEXT    NOT NULL,
            refused_until INTEGER NOT NULL,
            reset_time    INTEGER NOT NULL,
            PRIMARY KEY (device_id, module_id)
        ) STRICT, WITHOUT ROWID;
        """;

    private const string Initial = """
        -- module_id is '' for a device itself, so that a device and its modules are neighbours.
        CREATE TABLE identity (
            device_id            TEXT    NOT NULL,
            module_id            TEXT    NOT NULL,
            generation_id        TEXT    NOT NULL,
            etag                 INTEGER NOT NULL,
            enabled              INTEGER NOT NULL CHECK (enabled IN (0, 1)),
            status_reason        TEXT,
            status_updated_time  INTEGER,
            authentication       INTEGER NOT NULL,
            primary_key          BLOB,
            secondary_key        BLOB,
            primary_thumbprint   TEXT,
            secondary_thumbprint TEXT,
            iot_edge             INTEGER NOT NULL CHECK (iot_edge IN (0, 1)),
            device_scope         TEXT,
            parent_scopes        TEXT,
            managed_by           TEXT,
            PRIMARY KEY (device_id, module_id)
        ) STRICT, WITHOUT ROWID;

        -- Lists devices without stepping over their modules.
        CREATE INDEX device ON identity (device_id) WHERE module_id = '';

        -- Written back every 30 s for every active identity: small rows of their own, so that 100,000 of them are
        -- 5 MB of pages instead of 60.
        CREATE TABLE activity (
            device_id                     TEXT NOT NULL,
            module_id                     TEXT NOT NULL,
            last_activity_time            INTEGER,
            connection_state_updated_time INTEGER,
            PRIMARY KEY (device_id, module_id)
        ) STRICT, WITHOUT ROWID;

        -- How many devices there are, kept by triggers: counting rows would read them all.
        CREATE TABLE device_count (
            enabled INTEGER NOT NULL PRIMARY KEY CHECK (enabled IN (0, 1)),
            devices INTEGER NOT NULL CHECK (devices >= 0)
        ) STRICT;
        INSERT INTO device_count VALUES (0, 0), (1, 0);

        CREATE TRIGGER device_count_insert AFTER INSERT ON identity WHEN new.module_id = ''
        BEGIN
            UPDATE device_count SET devices = devices + 1 WHERE enabled = new.enabled;
        END;
        CREATE TRIGGER device_count_update AFTER UPDATE OF enabled ON identity WHEN new.module_id = '' AND old.enabled <> new.enabled
        BEGIN
            UPDATE device_count SET devices = devices - 1 WHERE enabled = old.enabled;
            UPDATE device_count SET devices = devices + 1 WHERE enabled = new.enabled;
        END;
        CREATE TRIGGER device_count_delete AFTER DELETE ON identity WHEN old.module_id = ''
        BEGIN
            UPDATE device_count SET devices = devices - 1 WHERE enabled = old.enabled;
        END;

        CREATE TABLE policy (
            name          TEXT    NOT NULL PRIMARY KEY,
            rights        INTEGER NOT NULL,
            primary_key   BLOB    NOT NULL,
            secondary_key BLOB    NOT NULL,
            generation    INTEGER NOT NULL,
            created_time  INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;

        -- One row per MQTT session: a session may exist without subscriptions.
        CREATE TABLE mqtt_session (
            device_id     TEXT NOT NULL,
            module_id     TEXT NOT NULL,
            generation_id TEXT NOT NULL,
            subscriptions TEXT NOT NULL,
            PRIMARY KEY (device_id, module_id)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE checkpoint (
            scope     TEXT    NOT NULL,
            name      TEXT    NOT NULL,
            partition INTEGER NOT NULL,
            next      INTEGER NOT NULL,
            PRIMARY KEY (scope, name, partition)
        ) STRICT, WITHOUT ROWID;

        CREATE TABLE connection (
            name           TEXT    NOT NULL PRIMARY KEY,
            kind           TEXT    NOT NULL,
            settings       TEXT    NOT NULL,
            secret         BLOB    NOT NULL,
            paused         INTEGER NOT NULL CHECK (paused IN (0, 1)),
            creator        TEXT    NOT NULL,
            creator_rights INTEGER NOT NULL,
            epoch          INTEGER NOT NULL,
            created_time   INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;

        -- AUTOINCREMENT: a position is never used twice, so the order is the order of addition.
        CREATE TABLE outbox (
            position  INTEGER PRIMARY KEY AUTOINCREMENT,
            id        BLOB    NOT NULL UNIQUE,
            device_id TEXT    NOT NULL,
            stream    INTEGER NOT NULL,
            source    INTEGER NOT NULL,
            message   BLOB    NOT NULL
        ) STRICT;
        """;

    /// <summary>
    /// Brings the database to the newest version: makes it when it is empty, migrates it after a copy when it is older.
    /// Each step is one transaction; a crash in between leaves a whole database of the version before.
    /// </summary>
    /// <returns>The path of the copy; null when none was needed.</returns>
    /// <exception cref="UnusableDataException">It is not ours, or newer than this program.</exception>
    public static string? Apply(SqliteConnection connection, string path, IReadOnlyList<string> steps)
    {
        var application = Pragma(connection, "application_id");
        var version = Pragma(connection, "user_version");
        var isEmpty = Number(connection, "SELECT count(*) FROM sqlite_schema") == 0;
        if (isEmpty && application == 0 && version == 0)
        {
            Advance(connection, steps, 0);
            return null;
        }

        if (application != ApplicationId)
            throw new UnusableDataException($"'{path}' is a database of another program: move it away, or give another directory with --data.");
        if (version > steps.Count)
            throw new UnusableDataException($"'{path}' has metadata format {version}, and this Sallyport knows up to {steps.Count}: start the newer Sallyport that wrote it, or restore a backup.");
        if (version == steps.Count)
            return null;

        var copy = CopyOf(connection, path, version);
        Advance(connection, steps, (int)version);
        return copy;
    }

    private static void Advance(SqliteConnection connection, IReadOnlyList<string> steps, int version)
    {
        for (; version < steps.Count; version++)
        {
            using var transaction = connection.BeginTransaction();
            Execute(connection, steps[version], transaction);
            Execute(connection, $"PRAGMA application_id = {ApplicationId}; PRAGMA user_version = {version + 1};", transaction);
            transaction.Commit();
        }
    }

    // VACUUM INTO writes a whole, consistent database, with what is still in the write-ahead log.
    private static string CopyOf(SqliteConnection connection, string path, long version)
    {
        var copy = $"{path}.format-{version}";
        var partial = copy + ".partial";
        File.Delete(partial);
        PrivateFile.Create(partial);
        using (var vacuum = connection.CreateCommand())
        {
            vacuum.CommandText = "VACUUM INTO $1";
            vacuum.Parameters.AddWithValue("$1", partial);
            vacuum.ExecuteNonQuery();
        }

        PrivateFile.Sync(partial);
        File.Move(partial, copy, overwrite: true);
        Posix.SyncDirectory(Path.GetDirectoryName(Path.GetFullPath(path))!);
        return copy;
    }

    private static long Pragma(SqliteConnection connection, string name) => Number(connection, $"PRAGMA {name}");

    private static long Number(SqliteConnection connection, string sql)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        return (long)command.ExecuteScalar()!;
    }

    private static void Execute(SqliteConnection connection, string sql, SqliteTransaction transaction)
    {
        using var command = connection.CreateCommand();
        command.CommandText = sql;
        command.Transaction = transaction;
        command.ExecuteNonQuery();
    }
}
