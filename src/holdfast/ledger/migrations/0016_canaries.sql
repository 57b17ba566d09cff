-- Whether the identities at hand opened the oldest and the newest backup, when that was last tried. docs/reference/ledger.md describes each table.

CREATE TABLE canaries (
    target TEXT NOT NULL,
    recipient TEXT NOT NULL, -- '': no identity at hand opens the backup
    which TEXT NOT NULL CHECK (which IN ('oldest', 'newest')),
    backup_id TEXT NOT NULL, -- no foreign key: that it was tried outlives the backup
    store TEXT NOT NULL,
    at TEXT NOT NULL,
    error TEXT, -- none: it opens
    PRIMARY KEY (target, recipient, which)
) STRICT, WITHOUT ROWID;
