#!/usr/bin/env bash
# Runs README's two commands, `make demo` and `make test`, where a new reader runs them: in a fresh clone, on a Debian 12 that
# debootstrap has just made, with Rust's toolchain and make and nothing else. Prints how long each took, and how much of the
# processors. Wants root, Debian's archive, and the registries of crates, npm, PyPI, Go and Maven.
#   bare.sh [demo] [test]      one of the two, or both
#   KEEP=1 bare.sh             leaves the file system in target/bare
#
# What this machine needs to reach its archive and registries (proxies, certificates, mirrors) is copied into the file system.
set -euo pipefail
cd "$(dirname "$0")/../.." && mkdir -p target

readonly bare=$PWD/target/bare release=bookworm
readonly root=$bare/root checkout=/wxmint address=http://127.0.0.1:8080/
# Files of this machine that say how it reaches registries.
readonly carried=(/etc/hosts /etc/resolv.conf /etc/pip.conf /etc/npmrc /usr/local/share/ca-certificates "$HOME/.npmrc" "$HOME/.config/pip"
  "$HOME/.pip" "$HOME/.config/go/env" "$HOME/.m2/settings.xml")
# Variables that say so. Other variables of this machine stay outside.
readonly carried_variables='^(https?_proxy|no_proxy|all_proxy|HTTPS?_PROXY|NO_PROXY|ALL_PROXY|CARGO_(HTTP|NET|REGISTRIES|REGISTRY|SOURCE)_.*'\
'|PIP_(INDEX_URL|EXTRA_INDEX_URL|DEFAULT_TIMEOUT)|npm_config_registry|GOPROXY|GOSUMDB|GONOSUMDB|GONOSUMCHECK|GOPRIVATE|MAVEN_ARGS)='

die() { echo "bare: $*" >&2; exit 1; }

# archive LABEL: where this machine's apt has Debian's packages from.
archive() {
  local found
  # shellcheck disable=SC2016 # apt's variable, not the shell's
  found=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' "Label: $1" | head -n 1)
  [ -n "$found" ] || die "apt of this machine names no archive of $1"
  echo "$found"
}

make_root() {
  local debian security file
  debian=$(archive Debian)
  security=$(archive Debian-Security)
  echo "bare: Debian's $release by debootstrap, in target/bare"
  mkdir -p "$bare"
  debootstrap --variant=minbase --include=ca-certificates,make "$release" "$root" "$debian" >"$bare/debootstrap.log" ||
    die "debootstrap failed: target/bare/debootstrap.log"
  {
    echo "deb $debian $release main"
    echo "deb $debian $release-updates main"
    echo "deb $security $release-security main"
  } >"$root/etc/apt/sources.list"
  for file in "${carried[@]}"; do
    [ ! -e "$file" ] || cp --recursive --dereference --parents "$file" "$root"
  done
  apt-config dump --format '%f "%v";%n' | grep -E '^Acquire::(http|https)::' >"$root/etc/apt/apt.conf.d/90carried" || true
  chroot "$root" update-ca-certificates >/dev/null 2>&1
  if [ -e "${CARGO_HOME:-$HOME/.cargo}/config.toml" ]; then
    install -D "${CARGO_HOME:-$HOME/.cargo}/config.toml" "$root/root/.cargo/config.toml"
  fi
  cp --recursive "$(rustc --print sysroot)" "$root/opt/rust"
  git clone --quiet --no-hardlinks . "$root$checkout"
}

# Runs a command in the file system, in the checkout. The file system becomes the root of a mount namespace, as a container's does:
# where the root is a directory of another root (chroot), tests that mount something in a namespace of their own are refused.
inside() {
  local variables
  mapfile -t variables < <(env | grep -E "$carried_variables")
  # The old root lies over the new one for as long as it takes to unmount it: pivot_root(2), "pivot_root(".", ".")".
  # shellcheck disable=SC2016 # the inner shell's variables
  unshare --mount sh -euc 'cd "$1" && shift && pivot_root . . && umount -l . && cd / && exec "$@"' sh "$root" \
    env -i -C $checkout HOME=/root LANG=C.UTF-8 TERM=dumb "${variables[@]}" \
    PATH=/opt/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}

demo() {
  local began=$EPOCHSECONDS process
  ! curl -s -o /dev/null --noproxy '*' $address || die "another program answers at $address"
  # A process group of its own, as in a terminal.
  set -m
  inside make demo >"$bare/demo.log" 2>&1 </dev/null &
  process=$!
  set +m
  # The demo names its page when the page is ready.
  until grep -qF "$address" "$bare/demo.log"; do
    kill -0 $process 2>/dev/null || failed demo
    sleep 0.2
  done
  curl -sf -o "$bare/page.html" --noproxy '*' $address || failed demo
  what="make demo: the first page after $((EPOCHSECONDS - began)) s"
  grep -q '<title>' "$bare/page.html" || die "no page: target/bare/page.html"
  # What Ctrl-C sends to all of them.
  kill -INT -- -$process
  wait $process || true
}

all_tests() {
  local began=$EPOCHSECONDS
  inside make test >"$bare/test.log" 2>&1 </dev/null || failed test
  what="make test: $((EPOCHSECONDS - began)) s"
}

failed() {
  tail -n 40 "$bare/$1.log" >&2
  die "make $1 has failed: target/bare/$1.log"
}

# Prints what a function says of itself in `what`, and the processors' seconds of all that it has started and waited for.
measured() {
  local TIMEFORMAT='%U %S' what user system
  { time "$1" 2>&3; } 3>&2 2>"$bare/times"
  read -r user system <"$bare/times"
  echo "bare: $what, $(awk "BEGIN { printf \"%.0f\", $user + $system }") s of the processors"
}

# In namespaces of its own, so that its mounts and its processes end with it, however it ends.
measure() {
  local command
  # A root is a mount of its own.
  mount --bind "$root" "$root"
  mount -t proc proc "$root/proc"
  mount -t sysfs -o ro sysfs "$root/sys"
  mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
  mount -t tmpfs tmpfs "$root/dev/shm"
  echo "bare: $(grep -m 1 'model name' /proc/cpuinfo | cut -d : -f 2), $(nproc) of them, load $(cut -d ' ' -f 1 /proc/loadavg)"
  for command in "$@"; do
    case $command in
      demo) measured demo ;;
      test) measured all_tests ;;
      *) die "demo or test, and not $command" ;;
    esac
  done
}

# Nothing is mounted in there outside of the namespaces, and another file system would be left alone.
clean() { rm -rf --one-file-system "$root"; }

if [ "${1:-}" = measure ]; then
  measure "${@:2}"
  exit
fi
[ "$(id -u)" = 0 ] || die "wants root, to change into another root"
[ $# -gt 0 ] || set -- demo test
clean
[ -n "${KEEP:-}" ] || trap clean EXIT
make_root
unshare --mount --pid --fork --kill-child --propagation private tests/tools/bare.sh measure "$@"
