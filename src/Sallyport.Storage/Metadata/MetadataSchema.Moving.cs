namespace Sallyport.Storage.Metadata;

/// <content>Parents of devices, and jobs that move identities in and out.</content>
internal static partial class MetadataSchema
{
    private const string Moving = """
        -- Finds the children of an edge device: parent_scopes holds one scope at most.
        CREATE INDEX identity_parent ON identity (parent_scopes, device_id) WHERE parent_scopes IS NOT NULL;

        -- Import and export jobs. The containers' addresses with their signatures are secret, and go when the job ends.
        CREATE TABLE registry_job (
            id             TEXT    NOT NULL PRIMARY KEY,
            kind           INTEGER NOT NULL,
            status         INTEGER NOT NULL,
            settings       TEXT    NOT NULL,
            secret         BLOB,
            creator        TEXT    NOT NULL,
            creator_rights INTEGER NOT NULL,
            created_time   INTEGER NOT NULL,
            started_time   INTEGER,
            ended_time     INTEGER,
            progress       INTEGER NOT NULL,
            phase          INTEGER NOT NULL,
            lines          INTEGER NOT NULL,
            settled_lines  INTEGER NOT NULL,
            errors         INTEGER NOT NULL,
            failure        TEXT
        ) STRICT;
        CREATE INDEX registry_job_by_age ON registry_job (created_time);

        -- What an import could not do, until its log is written.
        CREATE TABLE registry_job_error (
            job   TEXT    NOT NULL,
            entry INTEGER NOT NULL,
            text  TEXT    NOT NULL,
            PRIMARY KEY (job, entry)
        ) STRICT;
        """;
}
