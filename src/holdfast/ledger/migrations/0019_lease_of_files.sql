-- A lease for the files of a project, too. The rows are remade whenever a lease is wanted.

DROP TABLE leases;

CREATE TABLE leases (
    store TEXT NOT NULL,
    target TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('retention', 'copies', 'backup', 'objects')),
    generation TEXT NOT NULL, -- digits: whoever can write to a store may count high
    ours INTEGER NOT NULL,
    at TEXT NOT NULL,
    boot TEXT NOT NULL, -- of which `passed` are the seconds when the generation was first seen
    passed REAL NOT NULL,
    PRIMARY KEY (store, target, kind)
) STRICT, WITHOUT ROWID;
