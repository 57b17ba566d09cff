-- Times are RFC 3339 text in UTC, sizes bytes, lists and objects JSON. docs/reference/ledger.md describes each table.

CREATE TABLE meta (
    key TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- never given twice, whatever is deleted
    job TEXT NOT NULL,
    target TEXT NOT NULL,
    "trigger" TEXT NOT NULL,
    slot TEXT,
    attempt INTEGER NOT NULL,
    status TEXT NOT NULL,
    started_at TEXT NOT NULL,
    finished_at TEXT,
    heartbeat_at TEXT,
    bytes_done INTEGER NOT NULL,
    backup_id TEXT, -- no foreign key: the history outlives the backup
    error_code TEXT,
    error TEXT,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL
) STRICT;

CREATE INDEX runs_by_target ON runs (target, job, status, id);

CREATE TABLE backups (
    id TEXT NOT NULL PRIMARY KEY,
    target TEXT NOT NULL,
    slot TEXT,
    started_at TEXT NOT NULL,
    finished_at TEXT NOT NULL,
    size INTEGER NOT NULL,
    stored_size INTEGER NOT NULL,
    encrypted INTEGER NOT NULL CHECK (encrypted IN (0, 1)),
    server_version TEXT NOT NULL,
    databases TEXT NOT NULL,
    labels TEXT NOT NULL,
    imported INTEGER NOT NULL CHECK (imported IN (0, 1)),
    signer TEXT NOT NULL,
    manifest BLOB NOT NULL, -- the stored bytes; the columns above only repeat it
    signature BLOB NOT NULL,
    coverage TEXT,
    proof TEXT NOT NULL DEFAULT 'stored' CHECK (proof IN ('stored', 'verified', 'proven')),
    proof_at TEXT
) STRICT;

CREATE INDEX backups_by_target ON backups (target, id);

CREATE TABLE parts (
    backup_id TEXT NOT NULL REFERENCES backups (id) ON DELETE CASCADE,
    number INTEGER NOT NULL,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    format TEXT NOT NULL,
    "database" TEXT,
    size INTEGER NOT NULL,
    stored_size INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    stored_sha256 TEXT NOT NULL,
    codec TEXT NOT NULL,
    PRIMARY KEY (backup_id, number)
) STRICT;

CREATE TABLE copies (
    backup_id TEXT NOT NULL REFERENCES backups (id) ON DELETE CASCADE,
    store TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('copying', 'complete', 'missing', 'damaged')),
    at TEXT NOT NULL,
    error TEXT,
    PRIMARY KEY (backup_id, store)
) STRICT;
