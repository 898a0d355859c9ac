namespace Sallyport.Storage.Metadata;

/// <content>Files that devices upload: who may write what until when, what there is, and what services are told.</content>
internal static partial class MetadataSchema
{
    private const string Uploads = """
        -- One hand-out of a URI. It holds one of its device's slots until it is closed (1 done, 2 failed) or its time is over; a closed one is
        -- kept until then, so that a device that tells again is not told that it never was. id is also the name of its directory in blobs.
        CREATE TABLE upload (
            id            TEXT    NOT NULL PRIMARY KEY,
            device_id     TEXT    NOT NULL,
            generation_id TEXT    NOT NULL,
            blob_name     TEXT    NOT NULL,
            created_time  INTEGER NOT NULL,
            expires       INTEGER NOT NULL,
            state         INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX upload_device ON upload (device_id);
        CREATE INDEX upload_expires ON upload (expires);

        -- The files there are, by device and name (without the device's id). AUTOINCREMENT: each version has a number of its own, which is its
        -- ETag. What is in it says the manifest in the directory of the upload.
        CREATE TABLE blob (
            number        INTEGER PRIMARY KEY AUTOINCREMENT,
            device_id     TEXT    NOT NULL,
            blob_name     TEXT    NOT NULL,
            upload        TEXT    NOT NULL,
            manifest      TEXT    NOT NULL,
            bytes         INTEGER NOT NULL,
            content_type  TEXT    NOT NULL,
            content_md5   BLOB,
            modified_time INTEGER NOT NULL,
            UNIQUE (device_id, blob_name)
        ) STRICT;
        CREATE INDEX blob_upload ON blob (upload);

        -- How much there is of each device, and in all ('').
        CREATE TABLE blob_use (
            device_id TEXT    NOT NULL PRIMARY KEY,
            blobs     INTEGER NOT NULL,
            bytes     INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        INSERT INTO blob_use VALUES ('', 0, 0);
        CREATE TRIGGER blob_insert AFTER INSERT ON blob BEGIN
            INSERT INTO blob_use VALUES (NEW.device_id, 1, NEW.bytes) ON CONFLICT (device_id) DO UPDATE SET blobs = blobs + 1, bytes = bytes + NEW.bytes;
            UPDATE blob_use SET blobs = blobs + 1, bytes = bytes + NEW.bytes WHERE device_id = '';
        END;
        CREATE TRIGGER blob_delete AFTER DELETE ON blob BEGIN
            UPDATE blob_use SET blobs = blobs - 1, bytes = bytes - OLD.bytes WHERE device_id IN (OLD.device_id, '');
            DELETE FROM blob_use WHERE device_id = OLD.device_id AND blobs = 0;
        END;

        CREATE TABLE file_notification (
            sequence       INTEGER PRIMARY KEY AUTOINCREMENT,
            device_id      TEXT    NOT NULL,
            blob_name      TEXT    NOT NULL,
            blob_uri       TEXT    NOT NULL,
            bytes          INTEGER NOT NULL,
            modified_time  INTEGER NOT NULL,
            enqueued_time  INTEGER NOT NULL,
            expires        INTEGER NOT NULL,
            delivery_count INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX file_notification_expires ON file_notification (expires);

        -- Whoever holds every right there was holds the two new ones: file-read and file-delete.
        UPDATE policy SET rights = rights | 393216 WHERE rights & 131071 = 131071;
        """;
}
