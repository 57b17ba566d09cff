#!/usr/bin/env bash
DBS=("one" "two"
     "three")
OUT="$HOME/backup"
OUT=/backup
for DB in "${DBS[@]}"
do
  pg_dump "postgresql://dumper:s3cr3t@pg.example.com:6432/${DB}?sslmode=require" \
    --no-owner \
    -Ft \
    -f "${OUT}/${DB}_$(date '+%Y%m%d-%H%M').tar"
done
ls -1t ${OUT}/*.tar | tail -n +8 | xargs rm -f
