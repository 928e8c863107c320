#!/usr/bin/env bash
# Renders the chart with each file of values, holds what comes out to the schemas of Kubernetes and of others, to kube-score's rules and
# to a few of our own, and lets the alerts show when they fire and when not. No cluster is needed: `make cluster` asks a real one.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly python=target/tools/python/bin/python helm=target/tools/python/bin/helm kube=target/tools/kube all=target/k8s noted=tests/tools/kube-score.sha256
# The oldest Kubernetes that has all the fields we use in its default configuration, and the newest with schemas.
readonly versions=(1.30.0 1.37.0)
# The rest of kube-score's rules hold. CPU has no limit; nothing writes to disk; nodes are spread over by constraints; policies may
# be for pods that are somebody else's.
readonly but=container-ephemeral-storage-request-and-limit,container-image-pull-policy,deployment-has-host-podantiaffinity,deployment-replicas
readonly score=("$kube/kube-score" score --output-format ci --kubernetes-version v1.30 --ignore-container-cpu-limit
  --enable-optional-test container-seccomp-profile --enable-optional-test container-ports-check
  --ignore-test "$but,networkpolicy-targets-pod")
readonly needed=(--set 'image.repository=registry.example.com/wxmint,issuer=https://login.example.com,appid=wx0123456789abcdef')

die() { echo "k8s: $*" >&2 && exit 1; }

# refused WORDS VALUE...: helm must refuse these values of a release, $called, and say this.
refused() {
  local said
  if said=$($helm template "${called:-wxmint}" k8s/chart "${@:2}" 2>&1); then die "helm does not refuse ${*:2}"; fi
  grep -qF "$1" <<<"$said" || die "helm refuses ${*:2}, and says: $said"
}

# notes VALUE...: what `helm install` prints, which `helm template` leaves out.
notes() {
  $helm template wxmint $all/chart --show-only templates/notes.yaml "$@"
}

# The sample's nginx is the one that tests/peers runs, but for where it listens.
sed 's/listen 127.0.0.1:8000;/listen 8080;/' examples/peers/nginx/wxmint.conf | diff - k8s/chart/files/wxmint.conf

rm -rf $all
mkdir -p $all
# Each rule's `spec` is a file of rules. The tests take longest, and a core of their own.
{ echo groups: && sed -s '1,/^  groups:/d; s/^  //' k8s/chart/monitoring/alerts-*.yaml; } >$all/rules.yaml
cp tests/tools/alerts_test.yaml $all/
promtool test rules $all/alerts_test.yaml >$all/alerts 2>&1 &
readonly alerts=$!

tests/tools/k8s_render.sh $all/rendered $all/_defaults.tpl
diff k8s/chart/templates/_defaults.tpl $all/_defaults.tpl || die "templates/_defaults.tpl is not values.yaml: make rendered"
diff -r k8s/rendered $all/rendered || die "k8s/rendered is not what the chart renders: make rendered"

cp -r k8s/chart $all/
printf 'notes: |\n{{ include "wxmint/templates/NOTES.txt" . | indent 2 }}\n' >$all/chart/templates/notes.yaml

for values in k8s/chart/ci/*-values.yaml; do
  $helm template wxmint k8s/chart --namespace wxmint --values "$values" >"$all/${values##*/}"
done
# Two releases in one namespace, one with a dot, one with the longest name that there can be.
for release in one:shop.v2 other:$(printf 'y%.0s' {1..53}); do
  $helm template "${release#*:}" k8s/chart --namespace wxmint --values k8s/chart/ci/everything-values.yaml \
    --set fullnameOverride=null,nameOverride=null,serviceAccount.name=null,rotation.serviceAccount.name=null >"$all/${release%:*}-values.yaml"
done
# A peer's pods with a label and an annotation that the chart has too.
$helm template orders k8s/chart --values k8s/chart/ci/sidecar-in-cluster-values.yaml --set-string 'podLabels.wxmint/fetches-keys=true' \
  --set 'podAnnotations.kubectl\.kubernetes\.io/default-container=nginx' >$all/labels-values.yaml
for kept in 'default-container: nginx' 'prometheus.io/scrape: "false"'; do
  grep -qF "$kept" $all/{labels,everything}-values.yaml || die "an annotation is not the user's: $kept"
done
# What a service needs of the network it has also where it has a Deployment of its own.
$helm template orders k8s/chart --values k8s/chart/ci/sidecar-in-cluster-values.yaml --set peer.image= >$all/own-values.yaml
for values in own sidecar-in-cluster; do
  [ "$(grep -c 'port: 5432' $all/$values-values.yaml)" = 1 ] || die "networkPolicy.extraEgress does not hold for a peer: $values"
done
# A proxy can be the only way out.
$helm template orders k8s/chart --values k8s/chart/ci/sidecar-values.yaml --set networkPolicy.publicHttps=false >$all/shut-values.yaml
if grep -nF '0.0.0.0/0' $all/{everything,shut}-values.yaml; then die "networkPolicy.publicHttps: false leaves public addresses open"; fi
# A pod that goes slowly from the lists of proxies has the same time to stop.
[ "$(grep -cE ' (seconds: 20|terminationGracePeriodSeconds: 45)$' $all/everything-values.yaml)" = 2 ] || die "stopDelay is not obeyed"
# While the issuer changes, a peer takes the tokens of both, and reaches their ports. The issuer itself is one.
both=(--set 'issuer=https://old.example.com\,https://new.example.com:9443/login')
for values in sidecar istio-sidecar; do
  $helm template orders k8s/chart --values k8s/chart/ci/$values-values.yaml "${both[@]}" >$all/both-$values-values.yaml
  # Where the Deployment is the service's own, the notes have the container.
  notes --values k8s/chart/ci/$values-values.yaml "${both[@]}" | cat $all/both-$values-values.yaml - |
    grep -F 'value: "https://old.example.com/.well-known/jwks.json,https://new.example.com:9443/login/.well-known/jwks.json"' >/dev/null ||
    die "a peer does not ask each issuer"
  grep -qE '^ +- port: 9443$' $all/both-$values-values.yaml || die "a peer does not reach its issuer's port"
done
grep -qF 'requestPrincipals: ["https://old.example.com/*", "https://new.example.com:9443/login/*"]' $all/both-istio-sidecar-values.yaml ||
  die "the mesh does not take the tokens of each issuer"
refused 'issuer: wxmint is one issuer; write its URL alone' "${needed[@]}" "${both[@]}"
refused 'peer.issuerInCluster: leave' --values k8s/chart/ci/sidecar-in-cluster-values.yaml "${both[@]}"
# What decides when keys rotate, the rotator has from where wxmint has it.
[ "$(grep -c 'name: WXMINT_KEY_PREPUBLISH' $all/everything-values.yaml)" = 2 ] || die "the CronJob does not have extraEnv's WXMINT_KEY_PREPUBLISH"
for words in '--token-ttl=36h' 'type: NodePort'; do
  grep -qF -- "$words" $all/everything-values.yaml || die "a value is not obeyed: $words"
done
# The other monitor, and its Service.
$helm template wxmint k8s/chart --values k8s/chart/ci/everything-values.yaml --set podMonitor.enabled=false,serviceMonitor.enabled=true \
  >$all/monitor-values.yaml
refused 'serviceMonitor.enabled: beside podMonitor.enabled' --values k8s/chart/ci/everything-values.yaml --set serviceMonitor.enabled=true
# A name without a value is none. What goes into a pod as it is, is nothing.
$helm template wxmint k8s/chart "${needed[@]}" --set settings=null,podLabels=null,podAnnotations=null >$all/null-values.yaml
$helm template wxmint k8s/chart "${needed[@]}" --set podSecurityContext=null,securityContext=null,topologySpreadConstraints=null >$all/nothing.yaml
if grep -nE 'securityContext|runAs|topologySpread' $all/nothing.yaml; then die "null leaves something in the pods"; fi
# Where the platform chooses the user, no pod names one, nor a group: the rotation's and the test's too.
$helm template wxmint k8s/chart --values k8s/chart/ci/openshift-values.yaml --set test.simulator=http://simulator:8090 >$all/openshift-test.yaml
if grep -nE 'runAsUser|runAsGroup|fsGroup|65532' $all/openshift-test.yaml; then die "OpenShift refuses a user of the chart's"; fi
[ "$(grep -c 'runAsNonRoot: true' $all/openshift-test.yaml)" = 3 ] || die "a pod may be root on OpenShift"
# An Ingress whose controller has the certificate.
for tls in null '[]' '[{"hosts":["login.example.com"]}]'; do
  $helm template wxmint k8s/chart "${needed[@]}" --set ingress.enabled=true --set-json "ingress.tls=$tls" >$all/tlsless-values.yaml
  ! grep -n secretName $all/tlsless-values.yaml || die "an Ingress names a certificate that nobody named: $tls"
done
# Where policies are somebody else's, and budgets.
$helm template wxmint k8s/chart --values k8s/chart/ci/everything-values.yaml --set networkPolicy.enabled=false,podDisruptionBudget.enabled=false >$all/open-values.yaml
if grep -nE 'kind: (Cilium)?NetworkPolicy|kind: PodDisruptionBudget' $all/open-values.yaml; then die "networkPolicy.enabled: false leaves a policy, or podDisruptionBudget a budget"; fi
# A Gateway that is there already.
$helm template wxmint k8s/chart "${needed[@]}" --set 'httpRoute.enabled=true,httpRoute.parentRefs[0].name=public,httpRoute.parentRefs[0].namespace=gateways' >$all/joined-values.yaml
if grep -n 'kind: Gateway$' $all/joined-values.yaml || ! grep -q 'namespace: gateways' $all/joined-values.yaml; then die "the route does not join a Gateway that is there"; fi
# What a mesh and a quota ask of the rotation's and the test's pods.
for words in 'example.com/team: accounts' 'example.com/owner: accounts' 'cpu: 100m' 'example.com/cost: logins'; do
  [ "$(sed -n '/^kind: \(CronJob\|Pod\)$/,/^---/p' $all/everything-values.yaml | grep -cF "$words")" -ge 2 ] || die "the rotation's or the test's pod lacks $words"
done
# A new version of the chart alone changes no pod.
sed 's/^version: .*/version: 9.9.9/' k8s/chart/Chart.yaml >$all/chart/Chart.yaml
pods() { $helm template wxmint "$1" "${needed[@]}" --set image.tag=0.1.0 --show-only templates/deployment.yaml | sed '1,/^  template:/d'; }
diff <(pods k8s/chart) <(pods $all/chart) || die "a new version of the chart alone restarts the pods"
cp k8s/chart/Chart.yaml $all/chart/
# nginx before a peer obeys its values.
# shellcheck disable=SC2016 # nginx' variable, not the shell's
for words in 'client_max_body_size 16m;' 'worker_connections 1000;' 'limit_conn clients 375;' 'client_header_timeout 30s;' 'proxy_set_header Upgrade $upgrade;'; do
  grep -qF "$words" $all/sidecar-in-cluster-values.yaml || die "nginx is not as the values say: $words"
done
# Redis is open to wxmint alone, with the defaults too, and on the port that it has.
$helm template wxmint k8s/chart "${needed[@]}" --set 'redis.podPorts={6390},networkPolicy.defaultDeny=true' >$all/port-values.yaml
[ "$(grep -c 'port: 6390' $all/port-values.yaml)" = 3 ] || die "a Redis on another port is cut off"
grep -q 'port: 16390' $all/port-values.yaml || die "the bus of a Redis Cluster on another port is cut off"
# With Cilium a cache of names on the node is no address.
$helm template orders k8s/chart --values k8s/chart/ci/sidecar-values.yaml --set 'networkPolicy.flavor=cilium,networkPolicy.dnsAddresses={169.254.20.10/32}' \
  >$all/cached-values.yaml
grep -q 'toEntities: \[host\]' $all/cached-values.yaml || die "a sidecar does not reach a cache of names where Cilium enforces policies"
# A sidecar reaches its issuer alone, where that is known.
$helm template orders k8s/chart --values k8s/chart/ci/sidecar-values.yaml --set 'peer.issuerCidrs={192.0.2.7/32}' >$all/known-values.yaml
if grep -nF '0.0.0.0/0' $all/known-values.yaml || ! grep -qF 'cidr: "192.0.2.7/32"' $all/known-values.yaml; then die "peer.issuerCidrs does not shut the rest off"; fi
# A test of several mini programs logs in at the one that test.appid names.
several=(--set 'image.repository=r/w,issuer=https://login.example.com,appsSecret=apps,test.simulator=http://simulator:8090')
refused 'test.appid: set it to' "${several[@]}"
$helm template wxmint k8s/chart "${several[@]}" --set test.appid=wx0123456789abcdef >$all/several-values.yaml
grep -q -- '--appid, "wx0123456789abcdef"' $all/several-values.yaml || die "helm test has no AppID"
# A platform needs no app, and no AppSecret, of its own.
notes --values k8s/chart/ci/platform-values.yaml >$all/platform-notes.yaml
if grep -nE 'WXMINT_APP|app-secret|and AppSecret are right' $all/platform-{values,notes}.yaml; then die "a platform must have an app of its own"; fi
# The request of several apps names one. A Secret of one name is made by one command.
[[ $(notes --values k8s/chart/ci/gateway-api-values.yaml) == *'code=smoke -d appid=wx'* ]] || die "NOTES.txt: the smoke request names no app"
# The mesh's proxy would want a token of Prometheus.
[[ $(notes --values k8s/chart/ci/istio-sidecar-values.yaml) == *'excludeInboundPorts: "9090"'* ]] || die "NOTES.txt: the sidecar's metrics are shut"
# A service's own Deployment gets its settings from the notes alone, as the chart's has them.
notes --values k8s/chart/ci/sidecar-in-cluster-values.yaml --set peer.image= >$all/own-notes.yaml
for words in 'name: WXMINT_JWKS_URL' 'image: registry.example.com/wxmint:0.1.0' 'value: "http://wxmint.wxmint.svc.cluster.local/.well-known/jwks.json"' 'wxmint/fetches-keys: "true"'; do
  grep -qF "$words" $all/own-notes.yaml || die "NOTES.txt: the sidecar of a Deployment of its own lacks $words"
done
# Kubernetes would put another variable in place of $(NAME).
# shellcheck disable=SC2016 # a value's dollars, not the shell's
$helm template wxmint k8s/chart "${needed[@]}" --set 'settings.WXMINT_CLIENTS_FILE=$(HOSTNAME)$$' >$all/dollars-values.yaml
# shellcheck disable=SC2016
grep -qF 'value: "$$(HOSTNAME)$$$$"' $all/dollars-values.yaml || die "a setting is not handed on word for word"
notes --values k8s/chart/ci/everything-values.yaml >$all/everything-notes.yaml
made=$(sed -n 's/.*create secret generic \([^ ]*\) .*/\1/p' $all/everything-notes.yaml | sort | xargs)
[ "$made" = 'clients keys-of-ours of-ours redis-tls' ] || die "NOTES.txt: not one command for each Secret: $made"
grep -q 'generic wxmint-platform --from-file=platform.json' $all/platform-notes.yaml || die "NOTES.txt: the pods wait for a Secret without a name"
for label in knows-users looks-up-openids; do
  grep -q "wxmint/$label=allowed" $all/everything-notes.yaml || die "NOTES.txt: a network policy lets nobody through without $label"
done
[[ $(notes "${needed[@]}") == *'say whose address'* ]] || die "NOTES.txt: nobody says that proxies are trusted"
[[ $(notes "${needed[@]}" --set 'extraEnv[0].name=WXMINT_TRUSTED_PROXIES') != *'say whose address'* ]] || die "NOTES.txt: extraEnv does not count"
# Names that YAML would take for numbers and booleans. The schemas below want texts.
$helm template true k8s/chart --namespace 1234 --values k8s/chart/ci/everything-values.yaml --set-string "\
fullnameOverride=true,priorityClassName=1000,networkPolicy.monitoringNamespace=123,appsSecret=12,redis.caSecret=13,\
secrets.keys.name=14,secrets.vault.name=15,secrets.vault.key=1e5,secrets.redis.name=16,secrets.redis.key=0x1,secrets.adminTokens.name=17,\
secrets.adminTokens.key=true,ingress.className=100,ingress.tls[0].secretName=18,gateway.className=19,gateway.certificateRefs[0].name=20,\
serviceAccount.name=21,rotation.serviceAccount.name=22,commonLabels.23=24,podAnnotations.25=26,grafanaDashboard.sidecarLabelValue=1" >$all/numbers-values.yaml
$helm template true k8s/chart "${needed[@]}" --set-string secrets.app.name=12,secrets.app.key=0 >$all/number-values.yaml
for values in sidecar-in-cluster istio-sidecar; do
  $helm template null k8s/chart --namespace 1234 --values k8s/chart/ci/$values-values.yaml --set fullnameOverride=null \
    --set-string peer.issuerInCluster.namespace=123,peer.issuerInCluster.service=12,priorityClassName=1000,peer.audience=1 \
    >$all/number-$values-values.yaml
done
# wxmint serves at /, and a Gateway takes the issuer's path off. An Ingress cannot.
below=("${needed[@]}" --set issuer=https://login.example.com/shop/wxmint)
$helm template wxmint k8s/chart "${below[@]}" --set gateway.enabled=true,gateway.className=eg >$all/below-values.yaml
for words in 'value: "/shop/wxmint"' 'replacePrefixMatch: /'; do
  grep -qF "$words" $all/below-values.yaml || die "the Gateway does not take the issuer's path off: $words"
done
# An issuer may have capitals, which no host of Kubernetes has.
$helm template wxmint k8s/chart "${needed[@]}" --set issuer=https://Login.Example.com,ingress.enabled=true,gateway.enabled=true,gateway.className=eg \
  >$all/capitals-values.yaml
[ "$(grep -o 'ogin.Example.com' $all/capitals-values.yaml | wc -l)" = 1 ] || die "a host has capitals"
refused 'ingress.enabled: wxmint serves at /' "${below[@]}" --set ingress.enabled=true
$helm lint --strict --quiet k8s/chart --values k8s/chart/ci/everything-values.yaml
for value in image.repository issuer appid; do refused "$value: set it to" "${needed[@]}" --set "$value=null"; done
refused 'gateway.className: set it to' "${needed[@]}" --set gateway.enabled=true
refused 'peer.audience: set it to' "${needed[@]}" --set peer.enabled=true
refused 'settings.WXMINT_AUDIENCE: of a peer' "${needed[@]}" --set peer.enabled=true,peer.audience=a,settings.WXMINT_AUDIENCE=b
refused 'networkPolicy.defaultDeny: a release' "${needed[@]}" --set peer.enabled=true,peer.audience=a,networkPolicy.defaultDeny=true
refused 'autoscaling.enabled: a release' "${needed[@]}" --set peer.enabled=true,peer.audience=a,autoscaling.enabled=true
refused 'redis.caSecret: set it to' "${needed[@]}" --set redis.clientCertificate=true
refused 'autoscaling.maxReplicas: 12 is less than' "${needed[@]}" --set autoscaling.enabled=true,autoscaling.minReplicas=13
refused 'rotation.every: 30m is not longer than WXMINT_KEY_PREPUBLISH, 30m' "${needed[@]}" --set rotation.every=30m
refused 'rotation.every: 44m is' --values k8s/chart/ci/everything-values.yaml --set rotation.every=44m,settings.WXMINT_KEY_PREPUBLISH=20m
$helm template wxmint k8s/chart "${needed[@]}" --set rotation.every=1h,settings.WXMINT_KEY_PREPUBLISH=59m >$all/lead-values.yaml
refused 'Additional property replcas is not allowed' "${needed[@]}" --set replcas=3
refused 'replicaCount: Invalid type. Expected: [integer,null], given: string' "${needed[@]}" --set replicaCount=many
called=2shop refused 'no Service can be called 2shop-wxmint' "${needed[@]}"
called=2shop refused 'no Service can be called 2shop' --values k8s/chart/ci/sidecar-values.yaml --set fullnameOverride=null
refused 'issuer: "http://login.example.com" is no https URL' "${needed[@]}" --set issuer=http://login.example.com
refused 'settings.WXMINT_APP_SECRET: the chart sets it itself' "${needed[@]}" --set settings.WXMINT_APP_SECRET=x
refused 'podLabels.app.kubernetes.io/name: Services and network policies select by this label' "${needed[@]}" --set 'podLabels.app\.kubernetes\.io/name=shop'
refused 'accountsInCluster.url: "http://accounts.example.com" is no URL of a Service; write http://' "${needed[@]}" --set accountsInCluster.url=http://accounts.example.com

for version in "${versions[@]}"; do
  # What is refused stands in kubeconform's answer; a field that no schema knows is refused.
  # Cilium's definitions are in a module of gigabytes; k8s_rules.py has the form of its policies.
  $kube/kubeconform -n 1 -strict -summary -skip CiliumNetworkPolicy -kubernetes-version "$version" \
    -schema-location "$kube/schemas/{{.NormalizedKubernetesVersion}}/{{.ResourceKind}}{{.KindSuffix}}.json" \
    -schema-location "$kube/schemas/crds/{{.ResourceKind}}{{.KindSuffix}}.json" \
    $all/*-values.yaml k8s/rendered k8s/*.yaml k8s/chart/monitoring/*.yaml
done
# To build kube-score takes a minute of a core, and so do four hundred renderings and nginx. They judge what has not yet passed, and in the night
# all (JUDGE=1).
judged=$(cat tests/tools/k8s_{check.sh,rules.py,breaks.py,values.py,nginx.py} k8s/chart/values* k8s/chart/files/* k8s/chart/templates/* $all/*-values.yaml | sha256sum)
if [ -n "${JUDGE:-}" ] || [ "$judged" != "$(cat $noted)" ]; then
  GOBIN=$PWD/$kube go install github.com/zegl/kube-score/cmd/kube-score@v1.20.0
  for rendered in "$all"/*-values.yaml; do
    # Where the platform chooses the user; where policies and budgets are somebody else's.
    chosen=()
    case $rendered in
      */openshift-*) chosen=(--ignore-test container-security-context-user-group-id) ;;
      */open-*) chosen=(--ignore-test "pod-networkpolicy,deployment-has-poddisruptionbudget") ;;
    esac
    "${score[@]}" "${chosen[@]}" "$rendered" >$all/score || { grep -vE '^.(OK|SKIPPED)' $all/score || :; die "kube-score refuses $rendered, or does not run"; }
  done
  mkdir $all/{broken,values,nginx}
  $python tests/tools/k8s_nginx.py $all/nginx
  $python tests/tools/k8s_breaks.py $all/broken
  $python tests/tools/k8s_values.py $all/values
  echo "$judged" >$noted
fi
$python tests/tools/k8s_rules.py $all

promtool check rules $all/rules.yaml $all/panels.yaml
wait $alerts || { cat $all/alerts && die "an alert does not fire, or is not silent, as tests/tools/alerts_test.yaml says"; }
