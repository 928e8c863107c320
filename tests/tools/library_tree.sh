#!/usr/bin/env bash
# The crate with --no-default-features is what a peer in Rust builds in order to verify tokens: no HTTP server or client, no
# Redis, no asynchronous runtime, nothing of WeChat, and nothing that reads, makes or locks private keys. Each of them is found
# in the service; otherwise this script would look for the wrong names.
set -euo pipefail
cd "$(dirname "$0")/../.."

# Families of crates, by the beginnings of their names.
readonly foreign=(actix hyper jsonwebtoken pkcs1 pkcs8 redis reqwest rustix rustls tokio)
# Rooms of src/lib.rs that need them.
readonly rooms=(http issuer keys secret_files store token vault wechat)

die() {
  echo "library-tree: $*" >&2
  exit 1
}

# The crates that an edition of ours is built with on any target, a name a line.
crates() { cargo tree --locked --edges normal --target all --prefix none --format '{p}' "$@" | cut -d ' ' -f 1 | sort -u; }

# Those of the family $1 among the names on stdin.
of_family() { grep -E "^$1([-_]|$)" || true; }

# The rooms that are there without a feature.
unconditional() { awk '/^pub mod / && before !~ /^#\[cfg\(feature/ { sub(";", "", $3); print $3 } { before = $0 }' src/lib.rs; }

library=$(crates --no-default-features)
service=$(crates)
for family in "${foreign[@]}"; do
  found=$(of_family "$family" <<<"$library")
  [ -z "$found" ] || die "without features the crate depends on $(xargs <<<"$found"); see: cargo tree --no-default-features -i $(head -n 1 <<<"$found")"
  [ -n "$(of_family "$family" <<<"$service")" ] || die "the service has nothing named $family*: this check looks for the wrong names"
done
for room in "${rooms[@]}"; do
  grep -q "^pub mod $room;" src/lib.rs || die "src/lib.rs has no room $room: this check looks for the wrong names"
  ! unconditional | grep -x "$room" >/dev/null || die "src/lib.rs builds $room without a feature"
done
echo "library-tree: $(wc -l <<<"$library") crates without features, $(wc -l <<<"$service") in the service; rooms: $(unconditional | xargs)"
