#!/bin/bash
# Run nightly: 30 3 * * * /usr/local/bin/classic.sh
set -euo pipefail
DB_HOST=${DB_HOST:-localhost}
DB_PORT="5433"
DB_USER='backup'
DB_NAME="shop"
BACKUP_DIR="/var/backups/postgres"
RETENTION_DAYS=14
TIMESTAMP=$(date +%Y%m%d_%H%M%S)
export PGPASSWORD="hunter2"
mkdir -p "$BACKUP_DIR"
pg_dump -h "$DB_HOST" -p "$DB_PORT" -U "$DB_USER" -Fc "$DB_NAME" > "${BACKUP_DIR}/backup_${TIMESTAMP}.dump"
find "$BACKUP_DIR" -name "backup_*.dump" -mtime +$RETENTION_DAYS -delete
