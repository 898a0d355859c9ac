namespace Sallyport.Storage.Metadata;

internal static partial class MetadataSchema
{
    private const string Jobs = """
        -- AUTOINCREMENT: a sequence is never used twice, so that a place in a list never leads to another job.
        CREATE TABLE job (
            sequence         INTEGER PRIMARY KEY AUTOINCREMENT,
            job_id           TEXT    NOT NULL UNIQUE,
            type             INTEGER NOT NULL,
            status           INTEGER NOT NULL,
            query_condition  TEXT    NOT NULL,
            act              BLOB    NOT NULL,
            creator          TEXT    NOT NULL,
            creator_rights   INTEGER NOT NULL,
            creator_prefixes TEXT    NOT NULL,
            creator_tags     TEXT    NOT NULL,
            credential       TEXT    NOT NULL,
            correlation_id   TEXT    NOT NULL,
            created_time     INTEGER NOT NULL,
            start_time       INTEGER NOT NULL,
            max_execution_s  INTEGER NOT NULL,
            end_time         INTEGER,
            failure_reason   TEXT,
            ending           INTEGER NOT NULL,
            chosen_device_id TEXT    NOT NULL,
            chosen_module_id TEXT    NOT NULL,
            chosen           INTEGER NOT NULL CHECK (chosen IN (0, 1)),
            devices          INTEGER NOT NULL,
            pending          INTEGER NOT NULL,
            running          INTEGER NOT NULL,
            succeeded        INTEGER NOT NULL,
            failed           INTEGER NOT NULL,
            canceled         INTEGER NOT NULL,
            outcomes         INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX job_open ON job (sequence) WHERE status <= 2 OR ending > 0;

        CREATE TABLE job_device (
            job               INTEGER NOT NULL,
            device_id         TEXT    NOT NULL,
            module_id         TEXT    NOT NULL,
            generation_id     TEXT    NOT NULL,
            status            INTEGER NOT NULL,
            created_time      INTEGER NOT NULL,
            updated_time      INTEGER NOT NULL,
            start_time        INTEGER,
            end_time          INTEGER,
            response_status   INTEGER,
            response_payload  BLOB,
            error_code        TEXT,
            error_description TEXT,
            PRIMARY KEY (job, device_id, module_id)
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX job_device_identity ON job_device (device_id);
        """;
}
