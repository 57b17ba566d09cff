-- What should happen, as the daemon read it from the config, and how the daemon is. docs/reference/ledger.md describes each table.

CREATE TABLE targets (
    target TEXT NOT NULL PRIMARY KEY,
    configured_at TEXT NOT NULL, -- kept as long as the config has the target
    system_identifier TEXT -- of its server, once a backup told
) STRICT;

CREATE TABLE schedules (
    job TEXT NOT NULL,
    target TEXT NOT NULL REFERENCES targets (target) ON DELETE CASCADE,
    rule TEXT NOT NULL,
    timezone TEXT NOT NULL,
    interval_seconds INTEGER NOT NULL,
    since TEXT NOT NULL, -- slots up to here were never owed by this rule
    next_run_at TEXT,
    PRIMARY KEY (job, target)
) STRICT;

CREATE TABLE pauses (
    target TEXT NOT NULL PRIMARY KEY,
    since TEXT NOT NULL,
    until TEXT -- none: until somebody resumes it
) STRICT;

CREATE TABLE daemon (
    id INTEGER PRIMARY KEY CHECK (id = 1), -- there is one
    version TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    started_at TEXT NOT NULL,
    stopped_at TEXT,
    tick_at TEXT NOT NULL,
    reloaded_at TEXT NOT NULL,
    reload_error TEXT,
    clock_suspect INTEGER NOT NULL DEFAULT 0 CHECK (clock_suspect IN (0, 1))
) STRICT;

-- Every slot succeeds at most once, whatever a program does.
CREATE UNIQUE INDEX runs_by_slot ON runs (job, target, slot, attempt) WHERE slot IS NOT NULL;
CREATE UNIQUE INDEX runs_succeeded_once ON runs (job, target, slot) WHERE slot IS NOT NULL AND status = 'succeeded';
CREATE INDEX backups_by_slot ON backups (target, slot) WHERE slot IS NOT NULL;
