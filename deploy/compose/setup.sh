#!/bin/sh
# Makes the keys and the passwords, each in a file that only its reader can open. What is there already, stays.
set -eu
umask 077

give() { # FILE MODE USER: by the numbers that the images run as
  chmod "$2" "$1"
  chown "$3" "$1"
}
password() { # NAME MODE USER
  [ -e "/secrets/$1" ] && return
  head -c 24 /dev/urandom | base64 | tr '+/' '-_' >"/secrets/$1.new"
  give "/secrets/$1.new" "$2" "$3"
  mv "/secrets/$1.new" "/secrets/$1"
}

chmod 711 /secrets /identity
password postgres_password 400 999:999
password holdfast_password 440 10001:999 # PostgreSQL's group reads it, too, when it makes the role
password grafana_password 400 472:0

if [ ! -e /secrets/recipient.txt ]; then
  # A first start that was cut short may have left keys. Nothing is encrypted to them yet.
  rm -f /identity/identity.txt /secrets/signing.key /secrets/recipient.new
  holdfast keygen -o /identity/identity.txt --signing-key /secrets/signing.key >/secrets/recipient.new
  give /identity/identity.txt 400 10001:10001
  give /secrets/signing.key 400 10001:10001
  give /secrets/recipient.new 400 10001:10001
  mv /secrets/recipient.new /secrets/recipient.txt
fi
chown 10001:10001 /var/backups/holdfast
