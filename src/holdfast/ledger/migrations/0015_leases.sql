-- Whether each store keeps two writers of one key apart, and who had the leases. docs/reference/ledger.md describes each table.

CREATE TABLE conditions (
    store TEXT NOT NULL PRIMARY KEY,
    location TEXT NOT NULL, -- as it was: another place has to be tried anew
    found TEXT NOT NULL CHECK (found IN ('honoured', 'honoured for small objects', 'ignored')),
    at TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE leases (
    store TEXT NOT NULL,
    target TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('retention', 'copies', 'backup')),
    generation TEXT NOT NULL, -- digits: whoever can write to a store may count high
    ours INTEGER NOT NULL,
    at TEXT NOT NULL,
    boot TEXT NOT NULL, -- of which `passed` are the seconds when the generation was first seen
    passed REAL NOT NULL,
    PRIMARY KEY (store, target, kind)
) STRICT, WITHOUT ROWID;
