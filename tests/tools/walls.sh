#!/usr/bin/env bash
# Takes each door out of a copy of the tree, its folder and its row, and checks and tests what is left: no room knows a door.
# DOORS="scan" takes only these. It builds with the flags of `make lint` and `make test`, so that it shares what they have built.
set -euo pipefail
cd "$(dirname "$0")/../.."
tree=$PWD/target/walls
export CARGO_TARGET_DIR=$PWD/target
cargo=${CARGO:-cargo}
options=(--locked --quiet --workspace --features kubernetes)

for door in ${DOORS:-$(sed -n 's/^\(pub(crate) \)\?mod \([a-z]*\);$/\2/p' src/doors.rs | grep -v '^tests$')}; do
  begun=$(date +%s)
  rm -rf "$tree" && mkdir -p "$tree"
  git ls-files -z --cached --others --exclude-standard | tar --create --null --ignore-failed-read --files-from - | tar --extract -C "$tree"
  rm -r "$tree/src/doors/$door"
  sed -i "/mod $door;\$/d; /^    $door::DOOR,\$/d" "$tree/src/doors.rs"
  (
    cd "$tree"
    "$cargo" clippy "${options[@]}" --all-targets -- -D warnings
    built=$("$cargo" test "${options[@]/--quiet/--message-format=json-render-diagnostics}" --lib --no-run)
    lib=$(sed -n 's/.*"executable":"\([^"]*deps\/wxmint-[0-9a-f]*\)".*/\1/p' <<<"$built")
    "$lib" --quiet
  )
  echo "without $door: $(($(date +%s) - begun)) s"
done
