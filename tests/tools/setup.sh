#!/usr/bin/env bash
# Installs what the tests and checks need and this machine lacks. Quick when nothing is missing.
#
#   setup.sh test    compilers, redis-server, chromium, Go with go-oidc, Node with npm's packages, a Python environment,
#                    nginx
#   setup.sh check   the same, cargo-deny, kubectl and promtool
#   setup.sh TOOL... some of: cc cxx redis chromium go node python nginx kubectl promtool cargo-deny
#
# Commands come from Debian's packages. The rest goes to target/tools (python/, node/, cargo/), never outside of the
# checkout, each with a stamp that holds the hash of what it was installed from.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly tools=target/tools
readonly cargo_deny_version=0.20.2
readonly for_tests=(cc cxx redis chromium go node python nginx)
readonly known=' cc cxx redis chromium go node python nginx kubectl promtool cargo-deny '
readonly go_oidc=/usr/share/gocode/src/github.com/coreos/go-oidc

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
    chromium) have chromium || echo chromium ;;
    go)
      have go || echo golang-go
      [ -d "$go_oidc" ] || echo golang-github-coreos-go-oidc-dev
      ;;
    node)
      have node || echo nodejs
      have npm || echo npm
      ;;
    python) python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv ;;
    # /usr/sbin is not in everybody's PATH.
    nginx) [ -x /usr/sbin/nginx ] || have nginx || echo nginx ;;
    kubectl) have kubectl || echo kubernetes-client ;;
    promtool) have promtool || echo prometheus ;;
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
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" </dev/null
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

node_packages() {
  local from=(tests/tools/package.json tests/tools/package-lock.json)
  stamped $tools/node "${from[@]}" && return
  say "installing npm's packages to $tools/node"
  mkdir -p $tools/node
  cp "${from[@]}" $tools/node/
  npm ci --prefix $tools/node --ignore-scripts --no-audit --no-fund --loglevel=error </dev/null
  stamp $tools/node "${from[@]}"
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
      check) wanted+=("${for_tests[@]}" kubectl promtool cargo-deny) ;;
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
      node) node_packages ;;
      cargo-deny) cargo_deny ;;
    esac
  done
}

main "$@"
