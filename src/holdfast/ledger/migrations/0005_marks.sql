-- The small signed objects beside the manifests, and copies that a tombstone hides. docs/reference/ledger.md describes each table.

CREATE TABLE marks (
    backup_id TEXT NOT NULL, -- no foreign key: a tombstone outlives its backup
    store TEXT NOT NULL,
    name TEXT NOT NULL,
    target TEXT NOT NULL,
    kind TEXT NOT NULL,
    at TEXT NOT NULL,
    document BLOB NOT NULL, -- the stored bytes; the columns above only repeat it
    signature BLOB NOT NULL,
    PRIMARY KEY (backup_id, store, name)
) STRICT, WITHOUT ROWID;

CREATE INDEX marks_by_target ON marks (target, kind);

-- A copy may be hidden; SQLite cannot change a check, so the table is made anew, with its triggers.
CREATE TABLE copies_before AS SELECT * FROM copies;
DROP TABLE copies;
CREATE TABLE copies (
    backup_id TEXT NOT NULL REFERENCES backups (id) ON DELETE CASCADE,
    store TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('copying', 'complete', 'missing', 'damaged', 'hidden')),
    at TEXT NOT NULL,
    error TEXT,
    PRIMARY KEY (backup_id, store)
) STRICT;
INSERT INTO copies SELECT * FROM copies_before;
DROP TABLE copies_before;

CREATE TRIGGER copies_recorded AFTER INSERT ON copies WHEN NEW.state = 'complete'
BEGIN
    INSERT INTO copy_tallies
    SELECT target, NEW.store, 1, stored_size, objects, id FROM backups WHERE id = NEW.backup_id
    ON CONFLICT DO UPDATE SET backups = backups + 1, bytes = bytes + excluded.bytes,
        objects = objects + excluded.objects, newest = max(newest, excluded.newest);
    UPDATE backups SET complete = complete + 1 WHERE id = NEW.backup_id;
END;

CREATE TRIGGER copies_completed AFTER UPDATE OF state ON copies WHEN OLD.state <> 'complete' AND NEW.state = 'complete'
BEGIN
    INSERT INTO copy_tallies
    SELECT target, NEW.store, 1, stored_size, objects, id FROM backups WHERE id = NEW.backup_id
    ON CONFLICT DO UPDATE SET backups = backups + 1, bytes = bytes + excluded.bytes,
        objects = objects + excluded.objects, newest = max(newest, excluded.newest);
    UPDATE backups SET complete = complete + 1 WHERE id = NEW.backup_id;
END;

CREATE TRIGGER copies_spoilt AFTER UPDATE OF state ON copies WHEN OLD.state = 'complete' AND NEW.state <> 'complete'
BEGIN
    INSERT INTO copy_tallies
    SELECT target, OLD.store, -1, -stored_size, -objects, '' FROM backups WHERE id = OLD.backup_id
    ON CONFLICT DO UPDATE SET backups = backups - 1, bytes = bytes + excluded.bytes, objects = objects + excluded.objects;
    UPDATE copy_tallies SET newest = coalesce((
        SELECT id FROM backups JOIN copies ON backup_id = id AND copies.store = OLD.store AND state = 'complete'
        WHERE backups.target = copy_tallies.target ORDER BY id DESC LIMIT 1
    ), '') WHERE store = OLD.store AND newest = OLD.backup_id;
    UPDATE backups SET complete = complete - 1 WHERE id = OLD.backup_id;
END;

CREATE TRIGGER copies_forgotten AFTER DELETE ON copies WHEN OLD.state = 'complete'
BEGIN
    INSERT INTO copy_tallies
    SELECT target, OLD.store, -1, -stored_size, -objects, '' FROM backups WHERE id = OLD.backup_id
    ON CONFLICT DO UPDATE SET backups = backups - 1, bytes = bytes + excluded.bytes, objects = objects + excluded.objects;
    UPDATE copy_tallies SET newest = coalesce((
        SELECT id FROM backups JOIN copies ON backup_id = id AND copies.store = OLD.store AND state = 'complete'
        WHERE backups.target = copy_tallies.target ORDER BY id DESC LIMIT 1
    ), '') WHERE store = OLD.store AND newest = OLD.backup_id;
    UPDATE backups SET complete = complete - 1 WHERE id = OLD.backup_id;
END;

