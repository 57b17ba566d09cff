#!/bin/sh
# @weekly backup /opt/conninfo.sh
set -e
OPTS="--no-password --lock-wait-timeout 60000"
KEEP=3
dest=/nas/weekly/`date +%G`
test -d $dest || mkdir -p $dest
pg_dump $OPTS "host=db2 port=5433 user=reader dbname=warehouse" | zstd -q > $dest/warehouse-`date +%Y-%m-%d`.sql.zst 2>> /var/log/pg_backup.log
vacuumdb -a -z
find /nas/weekly -mtime "+$KEEP" -delete
