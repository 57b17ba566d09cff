-- Few copies or none are covered, and each scrape counts them.
CREATE INDEX copies_covered ON copies (store, backup_id) WHERE covered IS NOT NULL;
