-- The outbox: what is to be told to whom, and what became of it. docs/reference/ledger.md describes each table.

CREATE TABLE notifications (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    channel TEXT NOT NULL,
    key TEXT NOT NULL, -- what it tells of; nothing is told twice
    kind TEXT NOT NULL,
    job TEXT NOT NULL,
    target TEXT NOT NULL,
    event TEXT NOT NULL,
    at TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'delivered', 'gave_up', 'superseded')),
    attempts INTEGER NOT NULL DEFAULT 0,
    next_try_at TEXT NOT NULL, -- while it is being sent: when somebody else may send it, if the sender died
    finished_at TEXT,
    error TEXT,
    UNIQUE (channel, key)
) STRICT;

CREATE INDEX notifications_pending ON notifications (channel, id) WHERE state = 'pending';
CREATE INDEX notifications_routine ON notifications (at) WHERE kind IN ('start', 'success');

CREATE TABLE notification_tallies (
    channel TEXT NOT NULL,
    result TEXT NOT NULL CHECK (result IN ('delivered', 'failed', 'gave_up')),
    notifications INTEGER NOT NULL, -- only ever grows, whatever becomes of the notifications
    PRIMARY KEY (channel, result)
) STRICT, WITHOUT ROWID;
