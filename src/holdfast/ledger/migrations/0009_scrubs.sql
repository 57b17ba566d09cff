-- When each copy was last seen to be as it was written; one that is not here was read back when it was.
CREATE TABLE scrubs (
    backup_id TEXT NOT NULL REFERENCES backups (id) ON DELETE CASCADE,
    store TEXT NOT NULL,
    at TEXT NOT NULL,
    PRIMARY KEY (backup_id, store)
) STRICT, WITHOUT ROWID;
