-- Restore tests that came to a result, here or elsewhere. No foreign key: when one last passed outlives the backup.
CREATE TABLE restore_tests (
    target TEXT NOT NULL,
    backup_id TEXT NOT NULL,
    at TEXT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('passed', 'failed')),
    seconds REAL NOT NULL,
    restore_seconds REAL,
    archive_bytes INTEGER NOT NULL,
    isolation TEXT NOT NULL,
    PRIMARY KEY (target, backup_id, at)
) STRICT, WITHOUT ROWID;

CREATE INDEX restore_tests_by_outcome ON restore_tests (target, outcome, at);
CREATE INDEX restore_tests_by_backup ON restore_tests (backup_id, at);
