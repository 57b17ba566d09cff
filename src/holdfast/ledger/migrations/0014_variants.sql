-- Manifests of copies that were encrypted anew: those that differ from the backup's own. docs/reference/ledger.md describes each table.

CREATE TABLE variants (
    backup_id TEXT NOT NULL REFERENCES backups (id) ON DELETE CASCADE,
    store TEXT NOT NULL,
    manifest BLOB NOT NULL, -- the stored bytes
    signature BLOB NOT NULL,
    PRIMARY KEY (backup_id, store)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER copies_with_variants_forgotten AFTER DELETE ON copies
BEGIN
    DELETE FROM variants WHERE backup_id = OLD.backup_id AND store = OLD.store;
END;
