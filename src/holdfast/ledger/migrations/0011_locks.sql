-- What is known of the locks on each copy. It is a memory that spares requests: without it every lock is looked at again.
CREATE TABLE locks (
    backup_id TEXT NOT NULL,
    store TEXT NOT NULL,
    at TEXT NOT NULL,
    until TEXT, -- when the first of its objects is locked no more; null where none is locked until a date
    held TEXT NOT NULL CHECK (held IN ('no', 'ours', 'foreign')),
    objects INTEGER NOT NULL, -- how many there were
    kept INTEGER NOT NULL, -- whether retention kept it then
    PRIMARY KEY (backup_id, store),
    FOREIGN KEY (backup_id, store) REFERENCES copies (backup_id, store) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
