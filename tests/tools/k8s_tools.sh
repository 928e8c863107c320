#!/usr/bin/env bash
# Builds what judges manifests, for setup.sh: k8s_tools.sh FOLDER PYTHON
#
# kubeconform comes from the Go module proxy. Schemas of Kubernetes are PyPI's, in which kubeconform finds no definition
# as they stand; those of custom resources are made by kubeconform's script, from definitions that a cluster takes too (crds/).
set -euo pipefail
to=$(realpath -m "$1") python=$(realpath -s "$2")
readonly to python conform=github.com/yannh/kubeconform conform_version=v0.8.0 versions=(v1.30.0 v1.37.0)

# of MODULE FILES: in Go's own copy of a module.
of() { echo "$(go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",/\1/p')/$2"; }

rm -rf "$to"
mkdir -p "$to/crds" "$to/schemas/crds"
GOBIN=$to go install $conform/cmd/kubeconform@$conform_version
cp "$(of istio.io/api@v1.32.0 kubernetes/customresourcedefinitions.gen.yaml)" "$to/crds"
cp "$(of sigs.k8s.io/gateway-api@v1.6.3 config/crd/standard)"/gateway.*.yaml "$to/crds"
operator=$(of github.com/prometheus-operator/prometheus-operator@v0.85.0 example/prometheus-operator-crd)
cp "$operator"/*_{podmonitors,prometheusrules,servicemonitors}.yaml "$to/crds"

script=$(of $conform@$conform_version scripts/openapi2jsonschema.py)
cd "$to/schemas/crds"
FILENAME_FORMAT='{kind}-{group}-{version}' "$python/bin/python" "$script" "$to"/crds/*.yaml >/dev/null
cd ..
for version in "${versions[@]}"; do
  cp -r "$python"/lib/python3*/site-packages/kubernetes_validate/kubernetes-json-schema/"$version-local-strict" "$version"
  # shellcheck disable=SC2016 # JSON's words, not the shell's
  sed -i 's|"\$id":|"id of":|; s|"\$ref": "/api/|"$ref": "|; s|json-schema.org/schema#|json-schema.org/draft-07/schema#|' "$version"/*
done
