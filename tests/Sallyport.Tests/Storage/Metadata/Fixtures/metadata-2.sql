-- A metadata database of format 2, as its version wrote it. Key: bytes 0 to 31.
PRAGMA application_id = 1397510228;
PRAGMA user_version = 2;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
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
INSERT INTO identity VALUES('d1','','g1',1,1,NULL,NULL,0,X'015b07d17f860b3bffc3ea4e8f4fc7e38db9eeb2221fd246cbb2f0da37c9329ef0428c9cb8055ef001e8bb4cc896255ffe',X'015b07d17f860b3bffb97337d2e12b5ed0810cb91a7789fa5c8fcaf336fec30024dfef841200b09502b8ab65c83583250d',NULL,NULL,0,NULL,NULL,NULL);
INSERT INTO identity VALUES('d1','m1','g2',1,1,NULL,NULL,0,X'015b07d17f860b3bff68bdf0ea3b0d61675344fb6cc119fa47081701ee14e330a3af818eddc2fab54444ad5fc1a7a1a544',X'015b07d17f860b3bff9744ae845dc6af80554bf136142ec509d7ef6210976bd2410707d7d02f77381e1e24abc5288e6f55',NULL,NULL,0,NULL,NULL,NULL);
INSERT INTO identity VALUES('d2','','g3',7,0,'sold',639029520000000000,1,NULL,NULL,'AA',NULL,1,'ms-azure-iot-edge://d2-1','["ms-azure-iot-edge://p-1"]',NULL);
CREATE TABLE activity (
    device_id                     TEXT NOT NULL,
    module_id                     TEXT NOT NULL,
    last_activity_time            INTEGER,
    connection_state_updated_time INTEGER,
    PRIMARY KEY (device_id, module_id)
) STRICT, WITHOUT ROWID;
INSERT INTO activity VALUES('d1','',639029520000000000,NULL);
CREATE TABLE device_count (
    enabled INTEGER NOT NULL PRIMARY KEY CHECK (enabled IN (0, 1)),
    devices INTEGER NOT NULL CHECK (devices >= 0)
) STRICT;
INSERT INTO device_count VALUES(0,1);
INSERT INTO device_count VALUES(1,1);
CREATE TABLE policy (
    name          TEXT    NOT NULL PRIMARY KEY,
    rights        INTEGER NOT NULL,
    primary_key   BLOB    NOT NULL,
    secondary_key BLOB    NOT NULL,
    generation    INTEGER NOT NULL,
    created_time  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO policy VALUES('service',62,X'015b07d17f860b3bff30438430cf727419914d17e23d183c624ddc9792f985c738a5247d15d067018395f415b6',X'015b07d17f860b3bff7568ea91431f90b34e745f8ccabf9d5cc1692f1ddfaee937bb5b1b19870e6e66e5fcf230',2,639029520000000000);
CREATE TABLE mqtt_session (
    device_id     TEXT NOT NULL,
    module_id     TEXT NOT NULL,
    generation_id TEXT NOT NULL,
    subscriptions TEXT NOT NULL,
    PRIMARY KEY (device_id, module_id)
) STRICT, WITHOUT ROWID;
INSERT INTO mqtt_session VALUES('d1','','g1','[{"Filter":"devices/d1/messages/devicebound/#","QoS":1}]');
CREATE TABLE checkpoint (
    scope     TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    partition INTEGER NOT NULL,
    next      INTEGER NOT NULL,
    PRIMARY KEY (scope, name, partition)
) STRICT, WITHOUT ROWID;
INSERT INTO checkpoint VALUES('group','$Default',3,42);
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
INSERT INTO connection VALUES('warehouse','sql','{"table":"t"}',X'015b07d17f860b3bff6513f374821608c2f94b8d8eaa7bd98ef5ccaa568de5db98790bc3dd32a37e19368475c918b1e339d513b5e7d9',1,'policy:iothubowner',131071,5,639029520000000000);
CREATE TABLE outbox (
    position  INTEGER PRIMARY KEY AUTOINCREMENT,
    id        BLOB    NOT NULL UNIQUE,
    device_id TEXT    NOT NULL,
    stream    INTEGER NOT NULL,
    source    INTEGER NOT NULL,
    message   BLOB    NOT NULL
) STRICT;
INSERT INTO outbox VALUES(1,X'33221100554477668899aabbccddeeff','d1',2,2,X'010203');
DELETE FROM sqlite_sequence;
INSERT INTO sqlite_sequence VALUES('outbox',1);
CREATE INDEX device ON identity (device_id) WHERE module_id = '';
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
CREATE TABLE hub (id TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;
INSERT INTO hub VALUES('00112233445566778899aabbccddeeff');
COMMIT;
