-- Few copies are damaged or gone, and each scrape counts them.
CREATE INDEX copies_damaged ON copies (store, backup_id) WHERE state IN ('damaged', 'missing');
