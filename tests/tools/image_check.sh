#!/usr/bin/env bash
# What can be known of the container image where there is no container engine: the Dockerfile's form, that the build
# context holds every file that the program is made of, and that the program starts inside of the image's root.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly built=${CARGO_TARGET_DIR:-target}/debug context=target/image/context root=target/image/root

target/tools/python/bin/hadolint Dockerfile

# .dockerignore lists what goes in, each on a line that begins with "!".
rm -rf target/image
mkdir -p $context
sed -n 's/^!//p' .dockerignore | while read -r path; do
  cp -r --parents "$path" $context
done
cargo metadata --quiet --locked --offline --no-deps --format-version 1 --manifest-path $context/Cargo.toml >/dev/null

# Cargo notes beside the program which files of ours it was made of, included texts too.
cargo build --quiet --locked --bin wxmint --features kubernetes
files=$(sed 's/^[^:]*: //' "$built/wxmint.d" | tr ' ' '\n' | sed "s|^$PWD/||")
for file in $files; do
  [ -e "$context/$file" ] || { echo "image: $file is not in the build context; see .dockerignore" >&2; exit 1; }
done
echo "image: the build context holds all $(wc -w <<<"$files") files that the program is made of"

tests/tools/image_root.sh "$built/wxmint" $root
if [ "$(id -u)" = 0 ]; then
  chroot --userspec=65532:65532 $root /wxmint --help >/dev/null
elif unshare --map-root-user true 2>/dev/null; then
  unshare --map-root-user chroot $root /wxmint --help >/dev/null
else
  echo "image: NOT CHECKED whether the program starts in the image's root: no right to chroot" >&2
  exit 0
fi
echo "image: the program starts in the image's root, as nobody in particular"
