#!/bin/sh
DIR=/srv/dumps
DATABASES="app billing audit"
for db in $DATABASES; do
    pg_dump --host=10.0.0.5 --username=postgres --format=custom --exclude-table-data='logs.*' --file="$DIR/$db-$(date +%Y-%m-%d).dump" "$db"
done
pg_dumpall -h 10.0.0.5 -U postgres --globals-only | gzip > $DIR/globals-$(date +%Y-%m-%d).sql.gz
find $DIR -type f -mtime +30 -exec rm -f {} \;
