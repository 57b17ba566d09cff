-- What the metrics tell, kept so that a scrape need not count the history. docs/reference/ledger.md describes each table.

CREATE TABLE run_tallies (
    job TEXT NOT NULL,
    target TEXT NOT NULL,
    status TEXT NOT NULL,
    error_code TEXT NOT NULL, -- '' where there is none
    runs INTEGER NOT NULL, -- only ever grows, whatever becomes of the runs
    PRIMARY KEY (job, target, status, error_code)
) STRICT, WITHOUT ROWID;

INSERT INTO run_tallies
SELECT job, target, status, coalesce(error_code, ''), count(*) FROM runs WHERE status <> 'running' GROUP BY 1, 2, 3, 4;

CREATE TRIGGER runs_recorded AFTER INSERT ON runs WHEN NEW.status <> 'running'
BEGIN
    INSERT INTO run_tallies VALUES (NEW.job, NEW.target, NEW.status, coalesce(NEW.error_code, ''), 1)
    ON CONFLICT DO UPDATE SET runs = runs + 1;
END;

-- A run that was taken for lost and ends all the same stays counted as lost, once.
CREATE TRIGGER runs_ended AFTER UPDATE OF status ON runs WHEN OLD.status = 'running' AND NEW.status <> 'running'
BEGIN
    INSERT INTO run_tallies VALUES (NEW.job, NEW.target, NEW.status, coalesce(NEW.error_code, ''), 1)
    ON CONFLICT DO UPDATE SET runs = runs + 1;
END;

CREATE INDEX runs_running ON runs (id) WHERE status = 'running';

ALTER TABLE backups ADD COLUMN objects INTEGER NOT NULL DEFAULT 0;
ALTER TABLE backups ADD COLUMN complete INTEGER NOT NULL DEFAULT 0; -- how many of its copies are whole

UPDATE backups SET
    objects = 2
        + coalesce(json_array_length(CAST(manifest AS TEXT), '$.documents'), 0)
        + (SELECT coalesce(sum(json_array_length(value, '$.segments')), 0) FROM json_each(CAST(manifest AS TEXT), '$.parts')),
    complete = (SELECT count(*) FROM copies WHERE backup_id = backups.id AND state = 'complete');

CREATE INDEX backups_good ON backups (target, id) WHERE complete > 0;

CREATE TABLE backup_tallies (
    target TEXT NOT NULL,
    proof TEXT NOT NULL,
    backups INTEGER NOT NULL,
    PRIMARY KEY (target, proof)
) STRICT, WITHOUT ROWID;

INSERT INTO backup_tallies SELECT target, proof, count(*) FROM backups WHERE complete > 0 GROUP BY 1, 2;

CREATE TRIGGER backups_proven AFTER UPDATE OF proof, complete ON backups
BEGIN
    INSERT INTO backup_tallies VALUES (OLD.target, OLD.proof, -(OLD.complete > 0))
    ON CONFLICT DO UPDATE SET backups = backups + excluded.backups;
    INSERT INTO backup_tallies VALUES (NEW.target, NEW.proof, NEW.complete > 0)
    ON CONFLICT DO UPDATE SET backups = backups + excluded.backups;
END;

CREATE TABLE copy_tallies (
    target TEXT NOT NULL,
    store TEXT NOT NULL,
    backups INTEGER NOT NULL,
    bytes REAL NOT NULL, -- integers add up to more than an integer holds
    objects INTEGER NOT NULL,
    newest TEXT NOT NULL, -- the id of the newest backup that is whole there, or ''
    PRIMARY KEY (target, store)
) STRICT, WITHOUT ROWID;

INSERT INTO copy_tallies
SELECT target, store, count(*), total(stored_size), sum(objects), max(backups.id)
FROM copies JOIN backups ON backups.id = backup_id WHERE state = 'complete' GROUP BY 1, 2;

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

-- Also when a backup goes and takes its copies with it: then the row of the backup is gone before, see below.
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

CREATE TRIGGER backups_forgotten BEFORE DELETE ON backups WHEN OLD.complete > 0
BEGIN
    INSERT INTO copy_tallies
    SELECT OLD.target, store, -1, -OLD.stored_size, -OLD.objects, '' FROM copies WHERE backup_id = OLD.id AND state = 'complete'
    ON CONFLICT DO UPDATE SET backups = backups - 1, bytes = bytes + excluded.bytes, objects = objects + excluded.objects;
    UPDATE backup_tallies SET backups = backups - 1 WHERE target = OLD.target AND proof = OLD.proof;
END;

CREATE TABLE measures (
    target TEXT NOT NULL,
    "database" TEXT NOT NULL,
    measure TEXT NOT NULL CHECK (measure IN ('size', 'tables', 'rows')),
    backup_id TEXT NOT NULL, -- no foreign key: what is usual outlives the backups that showed it
    value INTEGER NOT NULL,
    expected REAL,
    score REAL,
    PRIMARY KEY (target, "database", measure, backup_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX measures_by_backup ON measures (target, backup_id);

CREATE TABLE stores (
    store TEXT NOT NULL PRIMARY KEY,
    probed_at TEXT NOT NULL,
    error TEXT -- none: it answered
) STRICT;

CREATE TABLE retention (
    target TEXT NOT NULL PRIMARY KEY,
    at TEXT NOT NULL,
    deleted INTEGER NOT NULL,
    blocked TEXT -- none: nothing kept it from deleting
) STRICT;
