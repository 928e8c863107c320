#!/usr/bin/env bash
# Fetches what strangers made and wxmint speaks with, for `make nightly`: products.sh oauth2-proxy|collector|keycloak
#
# Each lies below target/tools/products with its version, and once more without. What Go builds takes minutes the first time.
set -euo pipefail
cd "$(dirname "$0")/../.."
readonly from=$PWD/tests/peers/collector to=$PWD/target/tools/products parts=go.opentelemetry.io/collector
declare -rA versions=([oauth2-proxy]=v7.15.6 [collector]=v0.165.0 [keycloak]=26.7.3)
readonly version=${versions[$1]}
readonly made=$to/$1-$version
export GOCACHE=$made.cache

mkdir -p "$to"
[ -e "$made" ] || case $1 in
  oauth2-proxy) # no `&&`, with which `set -e` would not end this where Go fails
    GOBIN=$to go install -ldflags "-s -w" github.com/oauth2-proxy/oauth2-proxy/v7@"$version"
    mv "$to/oauth2-proxy" "$made"
    ;;
  collector) # a module that is made here, because only a module of one's own can leave out what nobody needs
    rm -rf "$made.module"
    cp -r "$from" "$made.module"
    cd "$made.module"
    go mod init collector
    go get $parts/{otelcol,service,receiver/otlpreceiver,exporter/otlphttpexporter}@"$version"
    go mod tidy
    go build -o "$made" .
    ;;
  keycloak) # Maven leaves a folder of markers where it runs
    cd "$to"
    mvn -B -q -ntp org.apache.maven.plugins:maven-dependency-plugin:3.11.0:unpack -DoutputDirectory="$to" \
      -Dartifact="org.keycloak:keycloak-quarkus-dist:$version:zip"
    ;;
esac
rm -rf "$GOCACHE" "$made.module"
ln -sfn "$1-$version" "$to/$1"
