-- What retention did in each store, and what kept it from doing more. docs/reference/ledger.md describes each table.

DROP TABLE retention;

CREATE TABLE retention (
    target TEXT NOT NULL,
    store TEXT NOT NULL,
    at TEXT NOT NULL,
    hidden INTEGER NOT NULL,
    removed INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (target, store)
) STRICT, WITHOUT ROWID;

CREATE TABLE retention_refusals (
    target TEXT NOT NULL,
    store TEXT NOT NULL,
    cause TEXT NOT NULL,
    since TEXT NOT NULL, -- kept as long as each run is refused for it
    said TEXT NOT NULL,
    PRIMARY KEY (target, store, cause)
) STRICT, WITHOUT ROWID;
