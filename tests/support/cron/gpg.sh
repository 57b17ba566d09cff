#!/bin/bash
DUMP_DIR=/backups
DATABASE_URL=postgres://u:p%40ss@db/app
PASSPHRASE="do not tell"
NOW=`date '+%s'`
pg_dump $DATABASE_URL -Fc | gpg --batch --symmetric --passphrase "$PASSPHRASE" -o $DUMP_DIR/app.$NOW.dump.gpg
gsutil cp $DUMP_DIR/app.$NOW.dump.gpg gs://acme-db/app/
