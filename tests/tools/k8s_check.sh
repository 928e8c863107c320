#!/usr/bin/env bash
# Renders the base, every overlay and the chart, holds them to the schemas and to our own rules, lets the alerts show when
# they fire and when not, and runs Istio's filter in Envoy. No cluster is needed. The oldest Kubernetes that has all the
# fields we use in its default configuration is 1.30.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly python=target/tools/python/bin/python envoy=target/tools/python/bin/envoy
readonly all=target/k8s core=target/k8s/core custom=target/k8s/custom alerts=target/k8s/alerts
readonly versions=(1.30 1.31 1.37)

# Debian 12's kubectl (1.20) cannot build an overlay from a base in another directory, hence kustomize.
render() {
  if [ -x target/tools/kustomize/usr/bin/kustomize ]; then
    target/tools/kustomize/usr/bin/kustomize build "$1"
  elif command -v kustomize >/dev/null; then
    kustomize build "$1"
  elif command -v kubectl >/dev/null; then
    kubectl kustomize "$1"
  else
    echo "k8s: there is no kustomize; run: make setup" >&2
    return 1
  fi
}

# The sample peer's nginx is the one that tests/peers runs, but for where it listens. (kustomize takes no file from outside.)
sed 's/listen 127.0.0.1:8000;/listen 8080;/' examples/peers/nginx/wxmint.conf | diff - k8s/overlays/sidecar/wxmint.conf

rm -rf $all
mkdir -p $core $custom $alerts
cp k8s/namespace.yaml $all/namespace.yaml
for place in k8s/base k8s/monitoring k8s/overlays/*/; do
  render "$place" >"$all/$(basename "$place").yaml"
done
# A component is in no overlay unless it is named: these belong to whoever needs them.
render tests/tools/k8s_with_admin_lookup >$all/admin-lookup.yaml
render tests/tools/k8s_with_accounts_in_cluster >$all/accounts-in-cluster.yaml
render tests/tools/k8s_with_redis_tls >$all/redis-tls.yaml

# The chart makes the same objects; with the values of k8s/chart/ci, it is checked as the overlays are.
render tests/tools/k8s_like_the_chart >$all/like-the-chart.yaml
$python tests/tools/k8s_chart.py target/tools/python/bin/helm k8s/chart $all

# What comes with Kubernetes, and what a cluster gets from others.
$python tests/tools/k8s_split.py $all $core $custom
for version in "${versions[@]}"; do
  target/tools/python/bin/kubernetes-validate --strict --quiet -k "$version" $core/*.yaml
  echo "k8s: valid for Kubernetes $version"
done
node tests/tools/k8s_kinds.mjs $custom/*.json

$python tests/tools/k8s_faults.py $all
$python tests/tools/k8s_policy.py --env-example .env.example $all/*.yaml

cp tests/tools/alerts_test.yaml $alerts/
$python tests/tools/k8s_monitoring.py $all/monitoring.yaml tests/tools/alerts_test.yaml $alerts
promtool check rules $alerts/rules.yaml $alerts/panels.yaml
promtool test rules $alerts/alerts_test.yaml

for overlay in istio istio-revocations; do
  $python tests/tools/istio_filter_check.py --self-test $envoy $all/$overlay.yaml
  $python tests/tools/istio_filter_check.py $envoy $all/$overlay.yaml
done
