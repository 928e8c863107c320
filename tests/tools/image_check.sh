#!/usr/bin/env bash
# What can be known of the container image where there is no container engine: the Dockerfile's form, that the build
# context holds every file that the program is made of, that the image is the same in each build and small, and that it
# runs. Where nobody may make a user namespace, the check fails, unless IMAGE_CHECK_WITHOUT_RUNNING=1 says that the image
# need not run.
#
#   image_check.sh [PROGRAM]    default: the debug program. For the image as the Dockerfile builds it:
#     make image-check PROGRAM="$(tests/tools/program.sh --release)"
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly built=${CARGO_TARGET_DIR:-target}/debug context=target/image/context
readonly most=25000000 # bytes, compressed
readonly root=target/image/root layout=target/image/oci python=target/tools/python/bin/python

target/tools/python/bin/hadolint Dockerfile

# .dockerignore lists what goes in, each on a line that begins with "!".
rm -rf target/image
mkdir -p $context
sed -n 's/^!//p' .dockerignore | while read -r path; do
  cp -r --parents "$path" $context
done
cargo metadata --quiet --locked --offline --no-deps --format-version 1 --manifest-path $context/Cargo.toml >/dev/null

# Cargo notes beside the program which files of ours it was made of, included texts too.
program=$(tests/tools/program.sh --debug)
files=$(sed 's/^[^:]*: //' "$built/wxmint.d" | tr ' ' '\n' | sed "s|^$PWD/||")
for file in $files; do
  [ -e "$context/$file" ] || { echo "image: $file is not in the build context; see .dockerignore" >&2; exit 1; }
done
echo "image: the build context holds all $(wc -w <<<"$files") files that the program is made of"

# What Cargo packs for crates.io has these files too, the licences, and no megabytes of something else.
packed=""
for crate in $(cd crates && printf 'wxmint-%s ' *) wxmint; do
  folder=crates/${crate#wxmint-}/
  [ "$crate" != wxmint ] || folder=""
  packed+=$(cargo package --quiet --locked --offline --allow-dirty --list -p "$crate" 2>/dev/null | sed "s|^|$folder|")$'\n'
done
for file in $files {,crates/*/}{LICENSE-MIT,LICENSE-APACHE,README.md}; do
  grep -qxF "$(realpath -sm --relative-to . "$file")" <<<"$packed" || { echo "package: no crate has $file; see its \`include\`" >&2; exit 1; }
done
readonly most_packed=8000000 # bytes of all of them, before they are compressed
size=$(xargs -d '\n' stat -Lc %s <<<"$packed" 2>/dev/null | awk '{ sum += $1 } END { print sum }' || true)
echo "package: the crates have all of them and their licences, $((size / 1000)) kB"
[ "$size" -le $most_packed ] || { echo "package: more than $((most_packed / 1000)) kB" >&2; exit 1; }

# A release has what is committed, and neither secrets that git ignores nor flags of this machine.
git clone --quiet --no-local . target/image/clone
refuses() { # WORDS COMMAND...: what is said, and what says it
  said=$("${@:2}" 2>&1 >/dev/null) && said=nothing
  grep -qF -- "$1" <<<"$said" || { echo "release: it should have refused: $1; it said: $said" >&2; exit 1; }
}
refuses RUSTFLAGS env RUSTFLAGS=-Ctarget-cpu=native "$python" target/image/clone/tests/tools/release.py
mkdir target/image/.cargo
for config in profile.release.debug=1 'build.rustflags=["-g"]' 'source.x.directory="x"'; do
  echo "$config" >target/image/.cargo/config.toml
  refuses "${config%%.*}" env -u RUSTFLAGS "$python" target/image/clone/tests/tools/release.py
done
echo 'source.x.registry="https://index.example.com"' >target/image/.cargo/config.toml
git -C target/image/clone config status.showUntrackedFiles no
touch target/image/clone/k8s/chart/{app-secret,other}
refuses k8s/chart/other env -u RUSTFLAGS "$python" target/image/clone/tests/tools/release.py
rm target/image/clone/k8s/chart/other
refuses k8s/chart/app-secret env -u RUSTFLAGS "$python" target/image/clone/tests/tools/release.py
rm -r target/image/.cargo
echo "release: a secret that git ignores, and a variable or a key of Cargo that changes the program, stop it"

cp "${1:-$program}" target/image/wxmint

# Two builds, each from an empty folder, must be the same bytes.
for folder in $layout $layout-again; do
  rm -rf $root
  tests/tools/image_root.sh target/image/wxmint $root
  size=$($python tests/tools/oci_image.py Dockerfile $root "$folder")
done
diff -r $layout $layout-again
echo "image: two builds of the layout are the same; with ${1:-the debug program} it has $((size / 1000)) kB compressed"
[ "$size" -le $most ] || { echo "image: more than $((most / 1000)) kB" >&2; exit 1; }

cargo metadata --quiet --locked --offline --features kubernetes --format-version 1 \
  --filter-platform "$(rustc -vV | sed -n 's/^host: //p')" | $python tests/tools/sbom.py >target/image/wxmint.cdx.json
echo "image: its bill of materials lists $(grep -c '"bom-ref"' target/image/wxmint.cdx.json) parts, wxmint included"

# What others make of the layout.
umoci unpack --rootless --image $layout:latest target/image/bundle
inspect() { skopeo inspect --config oci:$layout:latest | $python -c "import json, sys; print(*json.load(sys.stdin)['config']$1)"; }
[ "$(inspect "['User'].split(':')")" = "65532 65532" ] || { echo "image: it does not run as user 65532" >&2; exit 1; }
read -ra entrypoint <<<"$(inspect "['Entrypoint']") $(inspect "['Cmd']")"

# Docker's own seccomp profile, and some kernels, let nobody make a user namespace.
if bwrap --ro-bind / / --unshare-user true; then
  $python tests/tools/image_run.py target/image/bundle "${entrypoint[@]}"
  # Libraries that nsswitch.conf names are made for the machine's glibc, which may be another than the program's.
  cc -shared -fPIC -x c -o target/image/libnss_stranger.so.2 - <<<'void _exit(int); __attribute__((constructor)) static void end(void) { _exit(99); }'
  printf 'passwd: stranger\nhosts: stranger\n' >target/image/nsswitch.conf
  code=0
  bwrap --ro-bind / / --dev /dev --ro-bind target/image/nsswitch.conf /etc/nsswitch.conf --unshare-user --uid 12345 --clearenv \
    --setenv LD_LIBRARY_PATH "$PWD/target/image" target/image/wxmint keys list --secret a/b 2>/dev/null || code=$?
  [ $code = 64 ] || { echo "image: the program loads a library that nsswitch.conf names: $code" >&2; exit 1; }
  echo "image: it runs as user 65532 on a read-only root: keys, a login over TLS, an unknown CA refused, SIGTERM"
elif [ "${IMAGE_CHECK_WITHOUT_RUNNING:-}" = 1 ]; then
  echo "image: NOT CHECKED whether the image runs, as IMAGE_CHECK_WITHOUT_RUNNING=1 wants it" >&2
else
  echo "image: bubblewrap may not make a user namespace here, so the image cannot be run. Run this check where it may," >&2
  echo "image: or set IMAGE_CHECK_WITHOUT_RUNNING=1 to leave out whether the image runs" >&2
  exit 1
fi
$python tests/tools/compose_check.py compose.yaml "$built/wxmint"
