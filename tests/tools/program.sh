#!/bin/sh
# Builds wxmint as it is released and as it lies in the image: one file that needs no library of the machine.
#
#   program.sh --release [ARCH]    optimised, for this machine or ARCH (x86_64, aarch64), which wants Debian's cross compiler:
#                                  the same bytes in whatever folder, if compiler and C library are the same
#   program.sh --debug             for checks: what `cargo build` leaves for the tests, linked once more
#
# It prints where the program is.
set -eu
cd "$(dirname "$0")/../.."

target=${CARGO_TARGET_DIR:-$PWD/target}
machine=${2:-$(uname -m)} cc=${2:+$2-linux-gnu-g}cc
mkdir -p "$target/static"

# glibc loads the libraries that /etc/nsswitch.conf names (libnss_resolve, libnss_systemd), even into a static program. They were
# made for the machine's glibc, and with another glibc inside, the program dies of SIGFPE (seen: 2.36 inside, 2.41 on the
# machine). So it looks names up in /etc/hosts and DNS only, as musl does, and users, whom it asks for without HOME, in
# /etc/passwd.
"$cc" -O2 -fPIE -c -x c -o "$target/static/names.o" - <<C
int __nss_configure_lookup(const char *, const char *);
__attribute__((constructor)) static void look_up_in_files_and_dns(void) {
  __nss_configure_lookup("hosts", "files dns");
  __nss_configure_lookup("passwd", "files");
}
C
link="-Ctarget-feature=+crt-static -Clink-arg=$target/static/names.o"

case ${1:-} in
  --release)
    # No folder of this machine in the program: neither the checkout, nor Cargo's, nor the compiler's.
    cargo fetch --locked --quiet
    cargo=${CARGO_HOME:-$HOME/.cargo} rust=$(rustc --print sysroot)/lib/rustlib/src/rust
    folders="$PWD=/wxmint $target=/wxmint/target $cargo=/cargo $rust=/rust"
    for registry in "$cargo"/registry/src/*; do folders="$folders $registry=/crates"; done
    for folder in $folders; do
      RUSTFLAGS="${RUSTFLAGS:-} --remap-path-prefix=$folder" CFLAGS="${CFLAGS:-} -ffile-prefix-map=$folder"
    done
    # mimalloc names the second of its build.
    export RUSTFLAGS CFLAGS CARGO_INCREMENTAL=0 SOURCE_DATE_EPOCH=0
    libc=target/tools/libc/usr/lib/$machine-linux-gnu # setup.sh unpacks that of aarch64 here
    # shellcheck disable=SC2086 # two words
    cargo rustc --locked --quiet --release --target "$machine-unknown-linux-gnu" --bin wxmint --features kubernetes -- $link \
      -Clinker="$cc" -Clink-arg="-B$libc"
    echo "$target/$machine-unknown-linux-gnu/release/wxmint"
    ;;
  --debug)
    # Of the whole workspace and with an example, crates have the features that the tests want, and are built once for both.
    built=$(cargo build --locked --quiet --workspace --bin wxmint --example peer-actix --features kubernetes --message-format json)
    rlib() { echo "$built" | sed -n "s|.*\"filenames\":\[\"\([^\"]*/lib$1[^\"/]*\.rlib\)\".*|\1|p"; }
    # shellcheck disable=SC2086 # two words
    rustc --edition 2024 --crate-name wxmint src/main.rs $link -Cstrip=symbols -L "dependency=$target/debug/deps" \
      --extern "wxmint=$(rlib wxmint[.-])" --extern "zeroizing_alloc=$(rlib zeroizing_alloc)" \
      --extern "mimalloc=$(rlib mimalloc-)" -o "$target/static/wxmint"
    echo "$target/static/wxmint"
    ;;
  *) sed -n '2,8s/^# *//p' "$0" >&2 && exit 64 ;;
esac
