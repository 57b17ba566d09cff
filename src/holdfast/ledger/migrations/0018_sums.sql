-- What the services' own checksums of a copy's objects were when it was first looked at: their digest.
CREATE TABLE sums (
    backup_id TEXT NOT NULL REFERENCES backups (id) ON DELETE CASCADE,
    store TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (backup_id, store)
) STRICT, WITHOUT ROWID;
