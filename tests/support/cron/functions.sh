#!/bin/bash
readonly S3_BUCKET="${S3_BUCKET:-company-backups}"
: "${PGHOST:=db1.example.org}"
PGUSER=backup_user
function dump_one() {
  local name="$1"
  local file="/tmp/${name}_$(date -u +%Y%m%d%H%M%S).dump.gz.enc"
  if ! pg_dump -Fc --dbname="$name" --schema=public | gzip -c | openssl enc -aes-256-cbc -pbkdf2 -salt -k "$BACKUP_PASSPHRASE" > "$file"; then
    echo "dump of $name failed" >&2
    return 1
  fi
  aws s3 cp "$file" "s3://${S3_BUCKET}/postgres/${name}/" --storage-class STANDARD_IA
  rm -f "$file"
}
BACKUP_PASSPHRASE=topsecret
dump_one orders
dump_one customers
curl -fsS https://hc-ping.com/abc > /dev/null
