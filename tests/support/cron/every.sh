#!/bin/bash
export PGHOST=/var/run/postgresql PGUSER=postgres
TARGET_DIR=/data/pg
for database in $(psql -At -c "SELECT datname FROM pg_database WHERE NOT datistemplate"); do
  pg_dump -Fp -Z 9 "$database" > "$TARGET_DIR/$(date +%F)/$database.sql.gz"
done
/usr/bin/find "$TARGET_DIR" -maxdepth 1 -mtime +7 -print0 | xargs -0 rm -rf
