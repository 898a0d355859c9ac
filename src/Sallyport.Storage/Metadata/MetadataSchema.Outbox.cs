namespace Sallyport.Storage.Metadata;

/// <content>The outbox: a row per commit instead of one per event.</content>
internal static partial class MetadataSchema
{
    private const string OutboxBatches = """
        ALTER TABLE outbox RENAME TO outbox_of_events;

        -- Events that were committed together, OutboxBatch; what waits there goes in the order of the positions.
        CREATE TABLE outbox (
            position INTEGER PRIMARY KEY,
            events   BLOB    NOT NULL
        ) STRICT;

        INSERT INTO outbox (events)
        SELECT unhex('01' || hex(id) || printf('%04X%02X%02X', stream, source, length(CAST(device_id AS BLOB))) || hex(CAST(device_id AS BLOB)) || printf('%08X', length(message)) || hex(message))
        FROM outbox_of_events ORDER BY position;
        DROP TABLE outbox_of_events;
        """;
}
