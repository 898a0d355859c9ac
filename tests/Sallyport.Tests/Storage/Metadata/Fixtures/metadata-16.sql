-- A metadata database of format 16, as its version wrote it. Key: bytes 0 to 31.
PRAGMA application_id = 1397510228;
PRAGMA user_version = 16;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE activity (
    device_id                     TEXT NOT NULL,
    module_id                     TEXT NOT NULL,
    last_activity_time            INTEGER,
    connection_state_updated_time INTEGER,
    PRIMARY KEY (device_id, module_id)
) STRICT, WITHOUT ROWID;
INSERT INTO "activity" VALUES('d1','',639029520000000000,NULL);
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
INSERT INTO "blob" VALUES(4,'d1','logs/a b.txt','0123456789abcdef0123456789abcdef','m-00000002',1234,'text/plain',X'000102030405060708090A0B0C0D0E0F',639029520000000000);
CREATE TABLE blob_use (
    device_id TEXT    NOT NULL PRIMARY KEY,
    blobs     INTEGER NOT NULL,
    bytes     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "blob_use" VALUES('',1,1234);
INSERT INTO "blob_use" VALUES('d1',1,1234);
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
INSERT INTO "certificate_authority" VALUES('plant',X'3003020101',7,1,'plant-',NULL,2,'https://pki.test/plant.crl',639029520000000000,639029520000000001);
CREATE TABLE checkpoint (
    scope     TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    partition INTEGER NOT NULL,
    next      INTEGER NOT NULL,
    PRIMARY KEY (scope, name, partition)
) STRICT, WITHOUT ROWID;
INSERT INTO "checkpoint" VALUES('consumer-group/DASHBOARDS','nightly',0,17);
INSERT INTO "checkpoint" VALUES('group','$Default',3,42);
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
INSERT INTO "command" VALUES(7,'d1','','g1','m',639029520000000000,639029556000000000,3,2,X'005375A00101');
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
INSERT INTO "configuration" VALUES(4,'fast',3,'1.0',X'7B2277686F223A226F7073227D',X'7B22646576696365436F6E74656E74223A7B2270726F706572746965732E646573697265642E612E62223A317D7D','tags.site = ''a''',10,X'7B7D',639029520000000000,639029520000000001,'policy:service',1086);
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
INSERT INTO "connection" VALUES('warehouse','sql','{"table":"t"}',X'015B07D17F860B3BFF6513F374821608C2F94B8D8EAA7BD98EF5CCAA568DE5DB98790BC3DD32A37E19368475C918B1E339D513B5E7D9',1,'policy:iothubowner',131071,5,639029520000000000);
CREATE TABLE consumer_group (
    name         TEXT    NOT NULL PRIMARY KEY COLLATE NOCASE,
    created_time INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "consumer_group" VALUES('$Default',639029510000000000);
INSERT INTO "consumer_group" VALUES('Dashboards',639029520000000000);
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
INSERT INTO "dead_command" VALUES(5,'d1','','g1','dead',639029520000000000,639029520000000000,2,9,X'005375A000',1,639029520010000000);
CREATE TABLE dead_command_count (commands INTEGER NOT NULL) STRICT;
INSERT INTO "dead_command_count" VALUES(1);
CREATE TABLE device_count (
    enabled INTEGER NOT NULL PRIMARY KEY CHECK (enabled IN (0, 1)),
    devices INTEGER NOT NULL CHECK (devices >= 0)
) STRICT;
INSERT INTO "device_count" VALUES(0,1);
INSERT INTO "device_count" VALUES(1,1);
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
INSERT INTO "feedback" VALUES(9,3,'d1','','g1','told',639029520000000000,3);
INSERT INTO "feedback" VALUES(10,NULL,'d1','m1','g2','loose',639029520000000000,0);
CREATE TABLE feedback_batch (
    batch          INTEGER PRIMARY KEY AUTOINCREMENT,
    enqueued_time  INTEGER NOT NULL,
    expires        INTEGER NOT NULL,
    delivery_count INTEGER NOT NULL
) STRICT;
INSERT INTO "feedback_batch" VALUES(3,639029520000000000,639029556000000000,1);
CREATE TABLE feedback_count (records INTEGER NOT NULL) STRICT;
INSERT INTO "feedback_count" VALUES(2);
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
INSERT INTO "file_notification" VALUES(6,'d1','d1/logs/a b.txt','https://hub.test/uploads/d1/logs/a%20b.txt',1234,639029520000000000,639029520000000000,639029530000000000,2);
CREATE TABLE hub (id TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;
INSERT INTO "hub" VALUES('00112233445566778899aabbccddeeff');
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
    managed_by           TEXT, primary_mark BLOB, secondary_mark BLOB, primary_since INTEGER, secondary_since INTEGER,
    PRIMARY KEY (device_id, module_id)
) STRICT, WITHOUT ROWID;
INSERT INTO "identity" VALUES('d1','','g1',1,1,NULL,NULL,0,X'015B07D17F860B3BFFC3EA4E8F4FC7E38DB9EEB2221FD246CBB2F0DA37C9329EF0428C9CB8055EF001E8BB4CC896255FFE',X'015B07D17F860B3BFFB97337D2E12B5ED0810CB91A7789FA5C8FCAF336FEC30024DFEF841200B09502B8AB65C83583250D',NULL,NULL,0,NULL,NULL,NULL,X'F38E6D192C59CE24DCEC006D7B505906',X'D0AA5D9740C90C2553148F7FE299D24C',NULL,NULL);
INSERT INTO "identity" VALUES('d1','m1','g2',1,1,NULL,NULL,0,X'015B07D17F860B3BFF68BDF0EA3B0D61675344FB6CC119FA47081701EE14E330A3AF818EDDC2FAB54444AD5FC1A7A1A544',X'015B07D17F860B3BFF9744AE845DC6AF80554BF136142EC509D7EF6210976BD2410707D7D02F77381E1E24ABC5288E6F55',NULL,NULL,0,NULL,NULL,NULL,X'F38E6D192C59CE24DCEC006D7B505906',X'D0AA5D9740C90C2553148F7FE299D24C',NULL,NULL);
INSERT INTO "identity" VALUES('d2','','g3',7,0,'sold',639029520000000000,1,NULL,NULL,'AA',NULL,1,'ms-azure-iot-edge://d2-1','["ms-azure-iot-edge://p-1"]',NULL,X'DD8581C286677CB3D50E2894AF54D06D',NULL,NULL,NULL);
CREATE TABLE intermediate_certificate (
    authority   TEXT    NOT NULL,
    thumbprint  TEXT    NOT NULL,
    certificate BLOB    NOT NULL,
    added_time  INTEGER NOT NULL,
    PRIMARY KEY (authority, thumbprint)
) STRICT, WITHOUT ROWID;
INSERT INTO "intermediate_certificate" VALUES('plant','AB',X'3000',639029520000000000);
CREATE TABLE ip_filter (
    position INTEGER NOT NULL PRIMARY KEY,
    name     TEXT    NOT NULL UNIQUE COLLATE NOCASE,
    network  TEXT    NOT NULL,
    allows   INTEGER NOT NULL CHECK (allows IN (0, 1))
) STRICT;
INSERT INTO "ip_filter" VALUES(0,'office','192.0.2.0/24',1);
INSERT INTO "ip_filter" VALUES(1,'rest','::/0',0);
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
INSERT INTO "job" VALUES(4,'winter',1,2,'*',X'7B226D6574686F644E616D65223A226D227D','policy:service',512,'plant-','','f','c',639029520000000000,639029520000000000,60,NULL,NULL,0,'d1','m1',0,2,1,0,1,0,0,2);
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
INSERT INTO "job_device" VALUES(4,'d1','','g1',2,639029520000000000,639029520000000001,639029520000000000,639029520000000001,200,X'31',NULL,NULL);
INSERT INTO "job_device" VALUES(4,'d1','m1','g1',0,639029520000000000,639029520000000000,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE mark_key (key_id TEXT NOT NULL PRIMARY KEY, complete INTEGER NOT NULL CHECK (complete IN (0, 1))) STRICT, WITHOUT ROWID;
INSERT INTO "mark_key" VALUES('5b07d17f860b3bff',1);
CREATE TABLE mqtt_session (
    device_id     TEXT NOT NULL,
    module_id     TEXT NOT NULL,
    generation_id TEXT NOT NULL,
    subscriptions TEXT NOT NULL,
    PRIMARY KEY (device_id, module_id)
) STRICT, WITHOUT ROWID;
INSERT INTO "mqtt_session" VALUES('d1','','g1','[{"Filter":"devices/d1/messages/devicebound/#","QoS":1}]');
CREATE TABLE outbox (
    position INTEGER PRIMARY KEY,
    events   BLOB    NOT NULL
) STRICT;
INSERT INTO "outbox" VALUES(1,X'0133221100554477668899AABBCCDDEEFF00020202643100000003010203');
CREATE TABLE policy (
    name          TEXT    NOT NULL PRIMARY KEY,
    rights        INTEGER NOT NULL,
    primary_key   BLOB    NOT NULL,
    secondary_key BLOB    NOT NULL,
    generation    INTEGER NOT NULL,
    created_time  INTEGER NOT NULL
, device_prefixes TEXT NOT NULL DEFAULT '', consumer_groups TEXT NOT NULL DEFAULT '', expires INTEGER, certificate_thumbprint TEXT, disabled INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1))) STRICT, WITHOUT ROWID;
INSERT INTO "policy" VALUES('service',62,X'015B07D17F860B3BFF30438430CF727419914D17E23D183C624DDC9792F985C738A5247D15D067018395F415B6',X'015B07D17F860B3BFF7568EA91431F90B34E745F8CCABF9D5CC1692F1DDFAEE937BB5B1B19870E6E66E5FCF230',2,639029520000000000,'plant- mill-','$Default',639029530000000000,'ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB',1);
CREATE TABLE quarantine (
    device_id TEXT    NOT NULL PRIMARY KEY,
    since     INTEGER NOT NULL,
    placed_by TEXT    NOT NULL,
    reason    TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "quarantine" VALUES('d2',639029520000000000,'policy:iothubowner','seal broken');
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
INSERT INTO "registry_job" VALUES('0f0e0d0c0b0a09080706050403020100',1,2,'{"inputBlobName":"devices.txt"}',NULL,'policy:iothubowner',511,639029510000000000,639029520000000000,639029530000000000,100,1,3,3,1,NULL);
CREATE TABLE registry_job_error (
            job   TEXT    NOT NULL,
            entry INTEGER NOT NULL,
            text  TEXT    NOT NULL,
            PRIMARY KEY (job, entry)
        ) STRICT;
INSERT INTO "registry_job_error" VALUES('0f0e0d0c0b0a09080706050403020100',1,'{"errorCode":409001}');
CREATE TABLE revocation_list (
    authority  TEXT    NOT NULL PRIMARY KEY,
    lists      BLOB    NOT NULL,
    taken_time INTEGER NOT NULL
) STRICT;
INSERT INTO "revocation_list" VALUES('plant',X'3000',639029520000000000);
CREATE TABLE revoked_token (
    fingerprint    TEXT    NOT NULL PRIMARY KEY,
    subject        TEXT    NOT NULL,
    accepted_until INTEGER,
    revoked_time   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "revoked_token" VALUES('00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff','d1',639029520000000000,639029510000000000);
CREATE TABLE right_use (
    policy    TEXT    NOT NULL,
    right_bit INTEGER NOT NULL,
    last_used INTEGER NOT NULL,
    PRIMARY KEY (policy, right_bit)
) STRICT, WITHOUT ROWID;
INSERT INTO "right_use" VALUES('service',2,639029520000000000);
CREATE TABLE right_use_recorded (since INTEGER NOT NULL) STRICT;
INSERT INTO "right_use_recorded" VALUES(639029510000000000);
CREATE TABLE token_reset (
    device_id     TEXT    NOT NULL,
    module_id     TEXT    NOT NULL,
    generation_id TEXT    NOT NULL,
    refused_until INTEGER NOT NULL,
    reset_time    INTEGER NOT NULL,
    PRIMARY KEY (device_id, module_id)
) STRICT, WITHOUT ROWID;
INSERT INTO "token_reset" VALUES('d1','','g1',639029520000000000,639029510000000000);
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
    model_id         TEXT, configurations BLOB, configured BLOB,
    PRIMARY KEY (device_id, module_id)
) STRICT;
INSERT INTO "twin" VALUES('d1','','g1',3,5,X'7B2273697465223A2261227D',X'7B2261223A7B2262223A317D7D',X'0108DE49F67496A0000208DE49F67496A0000208DE49F67496A00002',2,X'7B2274223A32312E357D',X'0108DE49F67496A0000208DE49F67496A00002',2,'dtmi:x:y;1',X'7B2266617374223A7B22737461747573223A224170706C696564227D7D',X'5B22612E62225D');
INSERT INTO "twin" VALUES('d1','m1','g2',1,2,X'7B7D',X'7B7D',X'0108DE49F4208ABC0001',1,X'7B7D',X'0108DE49F4208ABC0001',1,NULL,NULL,NULL);
INSERT INTO "twin" VALUES('d2','','g3',1,2,X'7B7D',X'7B7D',X'0108DE49F4208ABC0001',1,X'7B7D',X'0108DE49F4208ABC0001',1,NULL,NULL,NULL);
CREATE TABLE upload (
    id            TEXT    NOT NULL PRIMARY KEY,
    device_id     TEXT    NOT NULL,
    generation_id TEXT    NOT NULL,
    blob_name     TEXT    NOT NULL,
    created_time  INTEGER NOT NULL,
    expires       INTEGER NOT NULL,
    state         INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "upload" VALUES('0123456789abcdef0123456789abcdef','d1','g1','logs/a b.txt',639029510000000000,639029530000000000,1);
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
CREATE INDEX identity_primary_mark ON identity (primary_mark) WHERE primary_mark IS NOT NULL;
CREATE INDEX identity_secondary_mark ON identity (secondary_mark) WHERE secondary_mark IS NOT NULL;
CREATE INDEX configured_twin ON twin (configurations, module_id) WHERE configurations IS NOT NULL;
CREATE INDEX command_queue ON command (device_id, module_id);
CREATE INDEX command_expires ON command (expires);
CREATE INDEX dead_command_identity ON dead_command (device_id, module_id);
CREATE TRIGGER dead_command_insert AFTER INSERT ON dead_command BEGIN UPDATE dead_command_count SET commands = commands + 1; END;
CREATE TRIGGER dead_command_delete AFTER DELETE ON dead_command BEGIN UPDATE dead_command_count SET commands = commands - 1; END;
CREATE INDEX feedback_identity ON feedback (device_id, module_id);
CREATE INDEX feedback_by_batch ON feedback (batch);
CREATE TRIGGER feedback_insert AFTER INSERT ON feedback BEGIN UPDATE feedback_count SET records = records + 1; END;
CREATE TRIGGER feedback_delete AFTER DELETE ON feedback BEGIN UPDATE feedback_count SET records = records - 1; END;
CREATE INDEX identity_parent ON identity (parent_scopes, device_id) WHERE parent_scopes IS NOT NULL;
CREATE INDEX registry_job_by_age ON registry_job (created_time);
CREATE INDEX upload_device ON upload (device_id);
CREATE INDEX upload_expires ON upload (expires);
CREATE INDEX blob_upload ON blob (upload);
CREATE TRIGGER blob_insert AFTER INSERT ON blob BEGIN
    INSERT INTO blob_use VALUES (NEW.device_id, 1, NEW.bytes) ON CONFLICT (device_id) DO UPDATE SET blobs = blobs + 1, bytes = bytes + NEW.bytes;
    UPDATE blob_use SET blobs = blobs + 1, bytes = bytes + NEW.bytes WHERE device_id = '';
END;
CREATE TRIGGER blob_delete AFTER DELETE ON blob BEGIN
    UPDATE blob_use SET blobs = blobs - 1, bytes = bytes - OLD.bytes WHERE device_id IN (OLD.device_id, '');
    DELETE FROM blob_use WHERE device_id = OLD.device_id AND blobs = 0;
END;
CREATE INDEX file_notification_expires ON file_notification (expires);
CREATE INDEX job_open ON job (sequence) WHERE status <= 2 OR ending > 0;
CREATE INDEX job_device_identity ON job_device (device_id);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('command',7);
INSERT INTO "sqlite_sequence" VALUES('dead_command',5);
INSERT INTO "sqlite_sequence" VALUES('feedback_batch',3);
INSERT INTO "sqlite_sequence" VALUES('feedback',10);
INSERT INTO "sqlite_sequence" VALUES('blob',4);
INSERT INTO "sqlite_sequence" VALUES('file_notification',6);
INSERT INTO "sqlite_sequence" VALUES('job',4);
INSERT INTO "sqlite_sequence" VALUES('configuration',4);
COMMIT;
