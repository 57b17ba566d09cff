-- What the newest backup's schema had, so that the next one knows what is gone. docs/reference/ledger.md describes each table.

CREATE TABLE schemas (
    target TEXT NOT NULL,
    "database" TEXT NOT NULL,
    backup_id TEXT NOT NULL, -- no foreign key: it outlives the backup
    fingerprint TEXT NOT NULL,
    dropped_tables INTEGER NOT NULL, -- since the backup before
    dropped_columns INTEGER NOT NULL,
    names BLOB NOT NULL, -- keyed digests of tables and columns: no name can be read from it
    PRIMARY KEY (target, "database")
) STRICT;
