#!/bin/sh
# Lays out the root of the container image: the program, the shared libraries it is linked to, the certificates that TLS
# to WeChat is checked against, and what the C library reads to look names up. Used by the Dockerfile, and by
# `make image-check`, which starts the program inside of it.
#
#   image_root.sh PROGRAM ROOT
set -eu

program=$1 root=$2
mkdir -p "$root/etc/ssl/certs"
cp "$program" "$root/$(basename "$program")"
ldd "$program" | awk '/=> \// { print $3 } $1 ~ /^\// { print $1 }' | while read -r library; do
  mkdir -p "$root$(dirname "$library")"
  cp -L "$library" "$root$library"
done
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"
echo 'wxmint:x:65532:65532::/:/' >"$root/etc/passwd"
echo 'wxmint:x:65532:' >"$root/etc/group"
