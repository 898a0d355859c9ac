namespace Sallyport.Storage.Metadata;

internal static partial class MetadataSchema
{
    private const string Configurations = """
        -- AUTOINCREMENT: a number is never used twice, so that what twins hold of one that is gone is never taken for a later one's.
        CREATE TABLE configuration (
            number            INTEGER PRIMARY KEY AUTOINCREMENT,
            id                TEXT    NOT NULL UNIQUE,
            etag              INTEGER NOT NULL,
            schema_version    TEXT    NOT NULL,
            labels            BLOB    NOT NULL,
            content           BLOB    NOT NULL,
            target_condition  TEXT    NOT NULL,
            priority          INTEGER NOT NULL,
            metric_queries    BLOB    NOT NULL,
            created_time      INTEGER NOT NULL,
            last_updated_time INTEGER NOT NULL,
            writer            TEXT    NOT NULL,
            writer_rights     INTEGER NOT NULL
        ) STRICT;

        -- What a twin shows of its configurations, and which of its desired properties they have set: both null without any.
        ALTER TABLE twin ADD COLUMN configurations BLOB;
        ALTER TABLE twin ADD COLUMN configured BLOB;

        -- Says how many twins have what, and which have anything, without reading a twin.
        CREATE INDEX configured_twin ON twin (configurations, module_id) WHERE configurations IS NOT NULL;
        """;
}
