#!/bin/sh
# Lays out the root of the container image: the program, which program.sh has built, the certificates that TLS to WeChat is
# checked against, and the name of its user. Used by the Dockerfile, by `make release`, and by `make image-check`, which starts
# the program inside of it.
#
#   image_root.sh PROGRAM ROOT
set -eu

program=$1 root=$2
mkdir -p "$root/etc/ssl/certs"
cp "$program" "$root/$(basename "$program")"
# Those of Debian's package, and not /etc/ssl/certs, to which this machine may have added an authority of its own.
LC_ALL=C
cat /usr/share/ca-certificates/mozilla/*.crt >"$root/etc/ssl/certs/ca-certificates.crt"
echo 'wxmint:x:65532:65532::/:/' >"$root/etc/passwd"
echo 'wxmint:x:65532:' >"$root/etc/group"
