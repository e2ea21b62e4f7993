#!/bin/sh
# Makes the certificates of an engine in a container: an authority, the server's for 127.0.0.1, and the client's.
set -eu
umask 077

certificate() { # certificate FOLDER NAME EXTENSIONS...
  folder=$1 name=$2
  shift 2
  openssl req -newkey rsa:3072 -nodes -keyout "$folder/key.pem" -out "$folder/request" -subj "/CN=$name"
  printf '%s\n' "$@" > "$folder/extensions"
  openssl x509 -req -in "$folder/request" -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 825 \
    -out "$folder/cert.pem" -extfile "$folder/extensions"
  cp ca.pem "$folder/ca.pem"
}

mkdir -p /certs/server /certs/client
cd /certs
exec 2> log
openssl req -x509 -newkey rsa:3072 -nodes -keyout ca-key.pem -out ca.pem -days 825 -subj "/CN=wasmdock engine"
certificate server wasmdock-engine "subjectAltName=DNS:localhost,IP:127.0.0.1" "extendedKeyUsage=serverAuth"
certificate client wasmdock "extendedKeyUsage=clientAuth"
touch ready
