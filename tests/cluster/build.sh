#!/usr/bin/env bash
# Fetches and builds what a one-node Kubernetes is made of, below target/cluster, from the Go module proxy and Debian's
# packages alone. What is there stays, but for the images.
#
#   build.sh plane|node|images...    SLOT=COMMAND waits for the machine before each build; JOBS=2 uses two cores
set -euo pipefail
cd "$(dirname "$0")/../.."

# The oldest Kubernetes that is supported, and the last that runs with containerd 1.6. It still takes cgroup v1.
readonly kubernetes=35.4
readonly made=$PWD/target/cluster version=k8s.io/component-base/version
export GOPATH=$made/go GOCACHE=$made/go/cache GOFLAGS="-modcacherw -buildvcs=false -mod=mod" CGO_ENABLED=0

# Nothing of another version is kept.
[ "$(cat "$made/version" 2>/dev/null)" = "$kubernetes" ] || rm -rf "$made"
mkdir -p "$made/bin" "$made/kubernetes"
echo $kubernetes >"$made/version"

# The published go.mod names the staging modules at v0.0.0, which `go build` follows only with a replacement for each.
module() {
  [ ! -e "$made/kubernetes/go.mod" ] || return 0
  local folder
  folder=$(cd / && GOFLAGS=-modcacherw go mod download -json "k8s.io/kubernetes@v1.$kubernetes" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  cp "$folder/go.sum" "$made/kubernetes/go.sum"
  { echo "module cluster"
    sed -n '/^go /p;/^godebug/p' "$folder/go.mod"
    echo "require k8s.io/kubernetes v1.$kubernetes"
    sed -nE "s/^\t(k8s\.io\/[a-z-]+) v0\.0\.0( .*)?$/replace \1 => \1 v0.$kubernetes/p" "$folder/go.mod" | sort -u
  } >"$made/kubernetes/go.mod"
}

build() { # PACKAGE...
  local started=$SECONDS
  module
  (cd "$made/kubernetes" && ${SLOT:-} nice -n 15 go build -p "${JOBS:-1}" -o "$made/bin/" -ldflags \
    "-s -w -X $version.gitVersion=v1.$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=${kubernetes%.*}" "$@")
  echo "cluster: $* took $((SECONDS - started)) s"
}

image() { # DOCKERFILE ROOT VERSION
  rm -rf "$made/layout"
  python3 tests/tools/oci_image.py "$1" "$2" "$made/layout" "$3" "$(uname -m)" >/dev/null
  tar -C "$made/layout" -cf "$made/images/$3.tar" .
}

for part in "$@"; do
  case $part in
    plane)
      [ -x "$made/bin/kube-apiserver" ] || build k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kube-scheduler,kubectl} \
        go.etcd.io/etcd/server/v3
      [ ! -e "$made/bin/server" ] || mv "$made/bin/server" "$made/bin/etcd"
      ;;
    node)
      [ -x "$made/bin/kubelet" ] || build k8s.io/kubernetes/cmd/{kubelet,kube-proxy}
      [ -x "$made/debian/usr/bin/containerd" ] || (
        mkdir -p "$made/debian" && cd "$made/debian"
        apt-get download containerd runc containernetworking-plugins 2>/dev/null
        for package in *.deb; do dpkg -x "$package" . && rm "$package"; done
      )
      rm -rf "$made/go" # gigabytes that only building needs
      ;;
    images)
      rm -rf "$made"/{images,parts,wxmint} && mkdir -p "$made"/{images,parts}
      cc -static -O2 -x c -o "$made/parts/pause" - <<<'int pause(void); int main(void) { for (;;) pause(); }'
      cp "$(command -v redis-server)" "$made/parts"
      ldd "$made/parts/redis-server" | grep -o '/[^ ]*' | sort -u | xargs cp -L --parents -t "$made/parts"
      image <(printf 'FROM scratch\nUSER 65532:65532\nENTRYPOINT ["/pause"]\n') "$made/parts" parts
      tests/tools/image_root.sh "$(tests/tools/program.sh --debug)" "$made/wxmint"
      image Dockerfile "$made/wxmint" 0.1.0
      rm -r "$made"/{layout,parts,wxmint}
      ;;
    *) echo "cluster: it has no part $part" >&2 && exit 64 ;;
  esac
done
