-- Tombstones that were taken back: whoever can write to a store may put one there again, and it counts for nothing.
CREATE TABLE withdrawn (
    backup_id TEXT NOT NULL,
    store TEXT NOT NULL,
    sha256 TEXT NOT NULL, -- of the document
    PRIMARY KEY (backup_id, store, sha256)
) STRICT, WITHOUT ROWID;
