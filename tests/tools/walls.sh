#!/usr/bin/env bash
# Takes each door out of a copy of the tree, its folder and its row, and checks and tests what is left, also without the
# simulator: no room knows a door. DOORS="scan" takes only these, DOORS=all takes all at once; TESTS=0 builds the unit tests, and
# runs none. The copy is built in a folder of its own, because cargo takes what two trees have built in one for the same. What
# other crates built for `make lint` and `make test`, with the same flags, is linked there.
set -euo pipefail
cd "$(dirname "$0")/../.."
tree=$PWD/target/walls/tree
export CARGO_TARGET_DIR=$PWD/target/walls/built
options=(--locked --quiet --workspace --features kubernetes)

out=$CARGO_TARGET_DIR/debug
rm -rf "$CARGO_TARGET_DIR" && mkdir -p "$out" target/debug/{deps,build,.fingerprint}
cp --archive target/debug/{build,.fingerprint} "$out" && cp --archive --link target/debug/deps "$out"
find "$out" -mindepth 2 -maxdepth 2 \( -name '*wxmint*' -o -path '*/deps/*' ! -name '*.rlib' ! -name '*.rmeta' ! -name '*.so' \) -exec rm -r {} +
all=$(sed -n 's/^\(pub(crate) \)\?mod \([a-z]*\);$/\2/p' src/doors.rs | grep -v '^tests$')
for door in ${DOORS:-$all}; do
  begun=$(date +%s)
  rm -rf "$tree" && mkdir -p "$tree"
  git ls-files -z --cached --others --exclude-standard | tar --create --null --ignore-failed-read --files-from - | tar --extract -C "$tree"
  if [ "$door" = all ]; then doors=$all; else doors=$door; fi
  for taken in $doors; do
    rm -r "$tree/src/doors/$taken"
    sed -i "/mod $taken;\$/d; /^    $taken::DOOR,\$/d" "$tree/src/doors.rs"
  done
  (
    cd "$tree"
    cargo clippy "${options[@]}" --no-default-features --lib --bins -- -D warnings
    cargo clippy "${options[@]}" --lib --profile test -- -D warnings
    [ "${TESTS:-1}" != 0 ] || exit 0
    cargo clippy "${options[@]}" --all-targets -- -D warnings
    built=$(cargo test "${options[@]/--quiet/--message-format=json-render-diagnostics}" --lib --no-run)
    lib=$(sed -n 's/.*"executable":"\([^"]*deps\/wxmint-[0-9a-f]*\)".*/\1/p' <<<"$built")
    "$lib" --quiet
  )
  echo "without $door: $(($(date +%s) - begun)) s"
done
