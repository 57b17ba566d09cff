-- Drills that came to their end. No foreign key: that one was held outlives the backup.
CREATE TABLE drills (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    target TEXT NOT NULL,
    backup_id TEXT NOT NULL,
    at TEXT NOT NULL,
    seconds REAL NOT NULL,
    phases TEXT NOT NULL,
    databases INTEGER NOT NULL,
    size INTEGER NOT NULL,
    isolation TEXT NOT NULL
) STRICT;

CREATE INDEX drills_by_target ON drills (target, at);
