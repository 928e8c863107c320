#!/usr/bin/env bash
# Fetches and builds what a one-node Kubernetes is made of, below target/cluster, from the Go module proxy and Debian's
# packages alone. What is there stays, but for the images.
#
#   build.sh plane|node|around|images...    SLOT=COMMAND waits for the machine before each build; JOBS=2 uses two cores;
#                                           PROGRAM=target/release/wxmint is tested in place of target/quick/wxmint
set -euo pipefail
cd "$(dirname "$0")/../.."

# The oldest Kubernetes that is supported, and the last that runs with containerd 1.6. It still takes cgroup v1.
readonly kubernetes=35.4
# What kubeadm of that Kubernetes installs, and the newest releases of the others that the module proxy has.
readonly coredns=v1.13.1 router=v2.1.0
readonly made=$PWD/target/cluster version=k8s.io/component-base/version
export GOPATH=$made/go GOCACHE=$made/go/cache GOFLAGS="-modcacherw -buildvcs=false -mod=mod" CGO_ENABLED=0
# A build that is ended in between leaves hundreds of megabytes here, and nothing outside of target.
export GOTMPDIR=$made/tmp

# Nothing of another version is kept.
[ "$(cat "$made/version" 2>/dev/null)" = "$kubernetes" ] || rm -rf "$made"
mkdir -p "$made/bin" "$made/kubernetes" "$made/around" "$made/tmp"
echo $kubernetes >"$made/version"

# The published go.mod names the staging modules at v0.0.0, which `go build` follows only with a replacement for each.
module() {
  local folder
  folder=$(cd / && GOFLAGS=-modcacherw go mod download -json "k8s.io/kubernetes@v1.$kubernetes" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  cp "$folder/go.sum" "$made/kubernetes/go.sum"
  { echo "module cluster"
    sed -n '/^go /p;/^godebug/p' "$folder/go.mod"
    echo "require k8s.io/kubernetes v1.$kubernetes"
    sed -nE "s/^\t(k8s\.io\/[a-z-]+) v0\.0\.0( .*)?$/replace \1 => \1 v0.$kubernetes/p" "$folder/go.mod" | sort -u
  } >"$made/kubernetes/go.mod"
}

build() { # FOLDER PACKAGE...
  local started=$SECONDS folder=$1
  shift
  [ -e "$made/kubernetes/go.mod" ] || module
  (cd "$made/$folder" && ${SLOT:-} nice -n 15 go build -p "${JOBS:-1}" -o "$made/bin/" -ldflags \
    "-s -w -X $version.gitVersion=v1.$kubernetes -X $version.gitMajor=1 -X $version.gitMinor=${kubernetes%.*}" "$@")
  echo "cluster: $* took $((SECONDS - started)) s"
}

image() { # DOCKERFILE ROOT VERSION
  rm -rf "$made/layout"
  python3 tests/tools/oci_image.py "$1" "$2" "$made/layout" "$3" "$(uname -m)" >/dev/null
  tar -C "$made/layout" -cf "$made/images/$3.tar" .
  rm -r "$made/layout"
}

# Puts the libraries that a command loads into an image's root.
libraries() { # ROOT COMMAND
  { ldd "$2" 2>/dev/null | grep -o '/[^ ]*' || :; } | sort -u | xargs -r cp -L --parents -t "$1"
}

# Puts commands there too.
take() { # ROOT COMMAND...
  local command root=$1
  mkdir -p "$root/bin"
  for command in "${@:2}"; do
    cp -L "$command" "$root/bin"
    libraries "$root" "$command"
  done
}

for part in "$@"; do
  case $part in
    plane)
      [ -x "$made/bin/kube-apiserver" ] || build kubernetes k8s.io/kubernetes/cmd/{kube-apiserver,kube-controller-manager,kube-scheduler,kubectl} \
        go.etcd.io/etcd/server/v3
      [ ! -e "$made/bin/server" ] || mv "$made/bin/server" "$made/bin/etcd"
      ;;
    node)
      [ -x "$made/bin/kubelet" ] || build kubernetes k8s.io/kubernetes/cmd/{kubelet,kube-proxy}
      [ -x "$made/debian/usr/sbin/ipset" ] || (
        mkdir -p "$made/debian" && cd "$made/debian"
        apt-get download containerd runc containernetworking-plugins ipset libipset13 libmnl0 libseccomp2 2>/dev/null
        for package in *.deb; do dpkg -x "$package" . && rm "$package"; done
      )
      ;;
    around) # with what Kubernetes requires, so that most of it is compiled already
      [ -x "$made/bin/policies" ] || {
        [ -e "$made/kubernetes/go.mod" ] || module
        cp "$made"/kubernetes/go.{mod,sum} "$made/around"
        cp -r tests/cluster/around/. "$made/around"
        printf 'require %s\n' "github.com/coredns/coredns $coredns" "github.com/cloudnativelabs/kube-router/v2 $router" >>"$made/around/go.mod"
        build around ./coredns ./policies ./peer
      }
      [ -x "$made/bin/oauth2-proxy" ] || {
        GOFLAGS="$GOFLAGS -p=${JOBS:-1}" ${SLOT:-} nice -n 15 tests/tools/products.sh oauth2-proxy
        cp -L target/tools/products/oauth2-proxy "$made/bin"
      }
      rm -rf "$made/go" "$made/tmp"/* # gigabytes that only building needs
      ;;
    images)
      rm -rf "$made/rootfs" && mkdir -p "$made"/{images,rootfs}
      [ -e "$made/images/parts.tar" ] || {
        cc -static -O2 -x c -o "$made/rootfs/pause" - <<<'int pause(void); int main(void) { for (;;) pause(); }'
        take "$made/rootfs" "$(command -v redis-server)" /usr/sbin/nginx target/tools/python/bin/traefik "$made"/bin/{coredns,peer,oauth2-proxy}
        image <(printf 'FROM scratch\nUSER 65532:65532\nENTRYPOINT ["/pause"]\n') "$made/rootfs" parts
        rm -r "$made/rootfs"
      }
      take "$made/rootfs" /usr/sbin/nginx
      cp tests/cluster/orders.conf "$made/rootfs"
      image <(printf 'FROM scratch\nUSER 65532:65532\nENTRYPOINT ["nginx", "-e", "/dev/stderr", "-c", "/orders.conf", "-g", "daemon off;"]\n') "$made/rootfs" orders
      rm -r "$made/rootfs"
      program=${PROGRAM:-target/quick/wxmint} # not static, because a test gives it another clock
      cp "$program" "$made/bin/wxmint"
      tests/tools/image_root.sh "$program" "$made/rootfs"
      libraries "$made/rootfs" "$program"
      image Dockerfile "$made/rootfs" 0.1.0
      rm -r "$made/rootfs"
      ;;
    *) echo "cluster: it has no part $part" >&2 && exit 64 ;;
  esac
done
