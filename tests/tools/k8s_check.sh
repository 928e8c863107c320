#!/usr/bin/env bash
# Renders the base and every overlay, checks them against the API's schemas and against our own rules, and lets the
# alerts show when they fire and when not. No cluster is needed. The oldest Kubernetes that has all the fields we use in its default configuration is 1.30.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly python=target/tools/python/bin rendered=target/k8s alerts=target/k8s/alerts
readonly versions=(1.30 1.31 1.37)

# kubectl before 1.21 (Debian 12's is 1.20) cannot build an overlay from a base in another directory.
kubectl_minor=$(kubectl version --client --output=yaml | sed -n 's/^ *minor: *"\{0,1\}\([0-9]*\).*/\1/p')

rm -rf $rendered
mkdir -p $rendered $alerts
places=(k8s/base)
if [ "${kubectl_minor:?kubectl does not tell its version}" -ge 21 ]; then
  places+=(k8s/overlays/*/)
else
  echo "k8s: THE OVERLAYS ARE NOT CHECKED: this kubectl is older than 1.21 and cannot render them" >&2
fi

for place in "${places[@]}"; do
  kubectl kustomize "$place" >"$rendered/$(basename "$place").yaml"
done
for version in "${versions[@]}"; do
  $python/kubernetes-validate --strict --quiet -k "$version" $rendered/*.yaml
  echo "k8s: valid for Kubernetes $version"
done
# The overlays hold all that the base does, and the rotator; where they could not be rendered, the base has to do.
for place in "${places[@]}"; do richest=$rendered/$(basename "$place").yaml; done
$python/python tests/tools/k8s_policy.py --self-test "$richest"
$python/python tests/tools/k8s_policy.py --env-example .env.example $rendered/*.yaml

kubectl kustomize k8s/alerts >$alerts/rendered.yaml
$python/python tests/tools/k8s_policy.py --alerts $alerts/rendered.yaml
# The operator hands `spec` to Prometheus as a file of rules.
$python/python -c 'import sys, yaml; yaml.safe_dump(yaml.safe_load(sys.stdin)["spec"], sys.stdout)' \
  <$alerts/rendered.yaml >$alerts/rules.yaml
cp tests/tools/alerts_test.yaml $alerts/
promtool check rules $alerts/rules.yaml
promtool test rules $alerts/alerts_test.yaml
