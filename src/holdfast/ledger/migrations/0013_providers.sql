-- What the platform of a target last said of its own backups. docs/reference/ledger.md describes each table.
CREATE TABLE providers (
    target TEXT PRIMARY KEY,
    asked_at TEXT NOT NULL,
    last_success_at TEXT, -- null: there is none
    window_start TEXT, -- null: no point in time can be restored
    window_end TEXT
) STRICT, WITHOUT ROWID;
