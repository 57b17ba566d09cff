#!/bin/bash
source /etc/backup.conf
CONTAINER=postgres-1
STAMP="$(date +"%Y%m%dT%H%M%S")"
docker exec -e PGPASSWORD="$DB_PASSWORD" "$CONTAINER" pg_dump -U app -d app_production -n public -T 'tmp_*' | gzip > "/opt/backups/app_${STAMP}.sql.gz"
aws --endpoint-url https://minio.example.com s3 cp "/opt/backups/app_${STAMP}.sql.gz" "s3://backups/prod/db/"
find /opt/backups/ -mmin +2880 -delete
