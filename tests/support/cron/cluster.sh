#!/bin/sh
PATH=/usr/lib/postgresql/16/bin:$PATH
BACKUP_PATH=/mnt/backup
pg_dumpall -U postgres | gzip -9 > $BACKUP_PATH/all_`date +%Y%m%d`.sql.gz || echo "failed" | mail -s backup root
find $BACKUP_PATH -mtime +60 -name '*.gz' -delete
