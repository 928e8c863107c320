#!/usr/bin/env bash
# Writes what the chart renders, for people without Helm, and the chart's own copy of its default values: `make rendered`.
#
#   k8s_render.sh [FOLDER [DEFAULTS]]    default: k8s/rendered, and the chart's templates/_defaults.tpl
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly helm=target/tools/python/bin/helm folder=${1:-k8s/rendered} defaults=${2:-k8s/chart/templates/_defaults.tpl}
# Templates do not see the defaults of values that are null.
# shellcheck disable=SC2016 # Markdown's marks
{ echo '{{/* Made from values.yaml by `make rendered`. */}}' && echo '{{- define "wxmint.defaults" -}}' &&
  sed -E '/^ *#/d; /^$/d; s/ +# .*//' k8s/chart/values.yaml && echo '{{- end }}'; } >"$defaults"
mkdir -p "$folder"
for name in small production sidecar; do
  release=wxmint
  [ $name != sidecar ] || release=orders
  {
    echo "# Made from k8s/chart/ci/$name-values.yaml by \`make rendered\`; k8s/README.md says how to use it."
    echo "# Change each REPLACE-ME and registry.example.com. wxmint names a REPLACE-ME that is left, and exits with 64."
    # What is of Helm alone, and what each must replace.
    $helm template $release k8s/chart --namespace $release --values "k8s/chart/ci/$name-values.yaml" | sed -E \
      -e '/^ +(helm.sh\/chart|app.kubernetes.io\/managed-by): /d; /^# Source: /d; s/ +$//' \
      -e '/- name: WXMINT_(ISSUER|APPID|TRUSTED_PROXIES|JWKS_URL|AUDIENCE)$/ { n; s/(value: ).*/\1REPLACE-ME/ }'
  } >"$folder/$name.yaml"
done
{
  echo "# Made from the chart's podMonitor.enabled by \`make rendered\`, for the Prometheus operator: ../README.md, \"Monitoring\"."
  $helm template wxmint k8s/chart --namespace wxmint --values k8s/chart/ci/small-values.yaml --set podMonitor.enabled=true \
    --show-only templates/monitoring.yaml | sed -E '/^ +(helm.sh\/chart|app.kubernetes.io\/managed-by): /d; /^# Source: /d'
} >"$folder/podmonitor.yaml"
