{{/* What Helm refuses, all of it at once, each by the value's name, what is wrong and which form is right. The schema has types, names and
bounds; here is what it could only say by a pattern, and what the API server would refuse in the midst of an upgrade. */}}
{{- define "wxmint.refuse" -}}
{{- $f := dict "all" list "root" . }}
{{- include "wxmint.refuseNames" $f }}
{{- include "wxmint.refuseNetworks" $f }}
{{- include "wxmint.refusePods" $f }}
{{- include "wxmint.refuseTogether" $f }}
{{- with $f.all }}
{{- fail (printf "\n%s" (join "\n" (uniq .))) }}
{{- end }}
{{- end }}

{{/* (list FAULTS WHERE WRONG SENTENCE) */}}
{{- define "wxmint.fault" -}}
{{- if index . 2 }}
{{- $_ := set (index . 0) "all" (append (index . 0).all (printf "%s: %s" (index . 1) (index . 3))) }}
{{- end }}
{{- end }}

{{/* (list FAULTS WHERE VALUE FORM SENTENCE): a text must match, unless it is empty. */}}
{{- define "wxmint.form" -}}
{{- $value := index . 2 | default "" | toString }}
{{- $wrong := and $value (not (regexMatch (index . 3) $value)) }}
{{- include "wxmint.fault" (list (index . 0) (index . 1) $wrong (printf "%q is %s" $value (index . 4))) }}
{{- end }}

{{- define "wxmint.refuseNames" -}}
{{- $f := . }}
{{- $root := .root }}
{{- with $root.Values }}
{{- $issuer := "^https://([A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*|\\[[0-9A-Fa-f:]+\\])(:[0-9]+)?(/[-A-Za-z0-9._~!$&'()*+;=:@%]+)*$" }}
{{- $https := "no https URL of ASCII letters without a slash at the end, without ? # and @; write https://login.example.com, and a host that is not ASCII as xn--…" }}
{{- range splitList "," .issuer }}{{ include "wxmint.form" (list $f "issuer" . $issuer $https) }}{{ end }}
{{- $several := and (contains "," .issuer) (not .peer.enabled) }}
{{- include "wxmint.fault" (list $f "issuer" $several "wxmint is one issuer; write its URL alone. Several are for a peer (peer.enabled)") }}
{{- include "wxmint.fault" (list $f "issuer" (not .issuer) "set it to the https URL at which mini programs reach wxmint, such as https://login.example.com") }}
{{- $wx := "no AppID; it is wx and 16 digits or letters from a to f, such as wx0123456789abcdef" }}
{{- include "wxmint.form" (list $f "appid" .appid "^wx[0-9a-f]{16}$" $wx) }}
{{- include "wxmint.form" (list $f "test.appid" .test.appid "^wx[0-9a-f]{16}$" $wx) }}
{{- /* Images. */}}
{{- $reference := "^[a-z0-9]([-._a-z0-9]*[a-z0-9])?(:[0-9]+)?(/[a-z0-9]([-._a-z0-9]*[a-z0-9])?)*" }}
{{- include "wxmint.form" (list $f "image.repository" .image.repository (printf "%s$" $reference) "no repository; write registry.example.com/wxmint, and the tag into image.tag") }}
{{- include "wxmint.form" (list $f "image.tag" .image.tag "^[A-Za-z0-9_][-A-Za-z0-9_.]{0,127}$" "no tag; write one such as 0.1.0") }}
{{- include "wxmint.fault" (list $f "image.tag" (eq .image.tag "latest") "latest is another image tomorrow, so a rollback would not go back; write a version, such as 0.1.0, or image.digest") }}
{{- include "wxmint.form" (list $f "image.digest" .image.digest "^sha256:[0-9a-f]{64}$" "no digest; it is sha256: and 64 digits or letters from a to f") }}
{{- range $at, $image := dict "peer.image" .peer.image "peer.nginx.image" .peer.nginx.image }}
{{- include "wxmint.form" (list $f $at $image (printf "%s(:[A-Za-z0-9_][-A-Za-z0-9_.]{0,127}|@sha256:[0-9a-f]{64})$" $reference) "no image with its tag or digest; write registry.example.com/orders:1.0.0") }}
{{- include "wxmint.fault" (list $f $at (hasSuffix ":latest" ($image | default "")) "latest is another image tomorrow; write a version") }}
{{- end }}
{{- /* Names of objects. */}}
{{- $name := "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$" }}
{{- $noName := "no name of Kubernetes; it has lower-case letters, digits, - and . alone, such as wxmint-tls" }}
{{- $names := dict "appsSecret" .appsSecret "redis.caSecret" .redis.caSecret "serviceAccount.name" .serviceAccount.name }}
{{- $_ := set $names "rotation.serviceAccount.name" .rotation.serviceAccount.name }}
{{- $_ := set $names "ingress.className" .ingress.className }}
{{- $_ := set $names "gateway.className" .gateway.className }}
{{- $_ := set $names "priorityClassName" .priorityClassName }}
{{- $_ := set $names "networkPolicy.monitoringNamespace" .networkPolicy.monitoringNamespace }}
{{- $_ := set $names "peer.issuerInCluster.namespace" .peer.issuerInCluster.namespace }}
{{- $_ := set $names "peer.issuerInCluster.service" .peer.issuerInCluster.service }}
{{- range $secret, $where := .secrets }}{{ $_ := set $names (printf "secrets.%s.name" $secret) $where.name }}{{ end }}
{{- range .imagePullSecrets }}{{ $_ := set $names (printf "imagePullSecrets %s" .name) .name }}{{ end }}
{{- range .ingress.tls }}{{ with .secretName }}{{ $_ := set $names (printf "ingress.tls %s" .) . }}{{ end }}{{ end }}
{{- range .gateway.certificateRefs }}{{ with .name }}{{ $_ := set $names (printf "gateway.certificateRefs %s" .) . }}{{ end }}{{ end }}
{{- range $at, $value := $names }}{{ include "wxmint.form" (list $f $at $value $name $noName) }}{{ end }}
{{- range $secret, $where := .secrets }}
{{- include "wxmint.form" (list $f (printf "secrets.%s.key" $secret) $where.key "^[-._a-zA-Z0-9]+$" "no field of a Secret; it has letters, digits, - _ and . alone") }}
{{- end }}
{{- range $at, $value := dict "fullnameOverride" .fullnameOverride "nameOverride" .nameOverride }}
{{- include "wxmint.form" (list $f $at $value "^[a-z]([-a-z0-9]{0,37}[a-z0-9])?$" "no name for all objects; it has at most 39 lower-case letters, digits and -, and begins with a letter") }}
{{- end }}
{{- /* Labels and annotations. */}}
{{- $key := "^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$" }}
{{- $noKey := "no name of a label or an annotation; write example.com/team" }}
{{- $reserved := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/part-of" "app.kubernetes.io/managed-by" "wxmint/sidecar" "wxmint/fetches-keys" "wxmint/looks-up-openids" "wxmint/knows-users" }}
{{- $peers := .peer.enabled }}
{{- $labels := dict "commonLabels" .commonLabels "podLabels" .podLabels "nodeSelector" .nodeSelector "rotation.podLabels" .rotation.podLabels "test.podLabels" .test.podLabels "podMonitor.labels" .podMonitor.labels "serviceMonitor.labels" .serviceMonitor.labels "prometheusRule.labels" .prometheusRule.labels }}
{{- range $at, $some := $labels }}
{{- range $label, $value := $some }}
{{- include "wxmint.form" (list $f $at $label $key $noKey) }}
{{- include "wxmint.form" (list $f (printf "%s.%s" $at $label) $value "^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$" "no value of a label; it has at most 63 letters, digits, - _ and .") }}
{{- $forPeer := and $peers (eq $at "podLabels") (hasPrefix "wxmint/" $label) (ne $label "wxmint/sidecar") }}
{{- $taken := and (has $label $reserved) (ne $at "nodeSelector") (not $forPeer) }}
{{- include "wxmint.fault" (list $f (printf "%s.%s" $at $label) $taken "Services and network policies select by this label, so it is the chart's; take another name") }}
{{- end }}
{{- end }}
{{- $annotations := dict "commonAnnotations" .commonAnnotations "podAnnotations" .podAnnotations "deploymentAnnotations" .deploymentAnnotations "service.annotations" .service.annotations "ingress.annotations" .ingress.annotations "gateway.annotations" .gateway.annotations "httpRoute.annotations" .httpRoute.annotations "rotation.podAnnotations" .rotation.podAnnotations "test.podAnnotations" .test.podAnnotations }}
{{- range $at, $some := $annotations }}
{{- range $annotation, $_ := $some }}
{{- include "wxmint.form" (list $f $at $annotation $key $noKey) }}
{{- include "wxmint.fault" (list $f (printf "%s.%s" $at $annotation) (has $annotation (list "wxmint/nginx.conf" "wxmint/wxmint.conf" "wxmint/replicas")) "this annotation is the chart's; take another name") }}
{{- end }}
{{- end }}
{{- /* Times and URLs. */}}
{{- $noTime := "no time; write a number and s, m, h or d, such as 30d" }}
{{- range $at, $value := dict "rotation.every" .rotation.every "rotation.tokenTtl" .rotation.tokenTtl "podMonitor.interval" .podMonitor.interval "serviceMonitor.interval" .serviceMonitor.interval }}
{{- include "wxmint.form" (list $f $at $value "^[1-9][0-9]*[smhd]$" $noTime) }}
{{- end }}
{{- include "wxmint.form" (list $f "accountsInCluster.url" .accountsInCluster.url "^http://[a-z0-9-]+\\.[a-z0-9-]+\\.svc(\\.cluster\\.local)?(:[0-9]+)?(/[^\\s?#]*)?$" "no URL of a Service; write http://SERVICE.NAMESPACE.svc.cluster.local/PATH, and any other URL into settings.WXMINT_ACCOUNTS, by https") }}
{{- include "wxmint.form" (list $f "test.simulator" .test.simulator "^https?://[^\\s?#]+$" "no URL; write http://simulator.wechat:8090") }}
{{- include "wxmint.form" (list $f "prometheusRule.repository" .prometheusRule.repository "^https?://[^\\s?#]*[^\\s?#/]$" "no URL without a slash at the end; write https://git.example.com/wxmint") }}
{{- include "wxmint.form" (list $f "peer.nginx.maxBodySize" .peer.nginx.maxBodySize "^[0-9]+[kKmMgG]?$" "no size of nginx; write a number and k, m or g, such as 10m") }}
{{- /* Hosts. */}}
{{- $host := "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$" }}
{{- $noHost := "no host; write lower-case letters, digits, - and . alone, such as login.example.com" }}
{{- $hosts := .httpRoute.hostnames }}
{{- range .ingress.hosts }}
{{- $hosts = append $hosts .host }}
{{- range .paths }}
{{- include "wxmint.form" (list $f "ingress.hosts" .path "^/[^\\s]*$" "no path; write one that begins with a slash, such as /") }}
{{- end }}
{{- end }}
{{- range .ingress.tls }}{{ $hosts = concat $hosts (.hosts | default list) }}{{ end }}
{{- range $hosts }}{{ include "wxmint.form" (list $f "hosts" (. | trimPrefix "*.") $host $noHost) }}{{ end }}
{{- end }}
{{- end }}

{{/* Networks as the API server reads them: (list FAULTS WHERE VALUE). */}}
{{- define "wxmint.network" -}}
{{- $octet := "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])" }}
{{- $groups := "([0-9a-fA-F]{1,4}(:[0-9a-fA-F]{1,4})*)?" }}
{{- $value := index . 2 }}
{{- $address := $value | splitList "/" | first }}
{{- $good := regexMatch (printf "^%s(\\.%s){3}/(3[0-2]|[12]?[0-9])$" $octet $octet) $value }}
{{- if and (not $good) (regexMatch (printf "^%s(::)?%s/(12[0-8]|1[01][0-9]|[1-9]?[0-9])$" $groups $groups) $value) }}
{{- $count := len (without (splitList ":" $address) "") }}
{{- $good = contains "::" $address | ternary (le $count 7) (eq $count 8) }}
{{- end }}
{{- include "wxmint.fault" (list (index . 0) (index . 1) (not $good) (printf "%q is no network; write an address and the length of its prefix, such as 192.0.2.0/28, 192.0.2.10/32 or 2001:db8::/64" $value)) }}
{{- end }}

{{- define "wxmint.refuseNetworks" -}}
{{- $f := . }}
{{- with .root.Values }}
{{- $lists := dict "redis.cidrs" .redis.cidrs "rotation.apiServer.cidrs" .rotation.apiServer.cidrs "peer.issuerCidrs" .peer.issuerCidrs }}
{{- $_ := set $lists "networkPolicy.loadBalancers" .networkPolicy.loadBalancers }}
{{- $_ := set $lists "networkPolicy.dnsAddresses" .networkPolicy.dnsAddresses }}
{{- range $at, $networks := $lists }}
{{- range $networks }}{{ include "wxmint.network" (list $f $at .) }}{{ end }}
{{- end }}
{{- range $at, $rules := dict "networkPolicy.extraIngress" .networkPolicy.extraIngress "networkPolicy.extraEgress" .networkPolicy.extraEgress }}
{{- range $rules }}
{{- range concat (.from | default list) (.to | default list) }}
{{- with (.ipBlock | default dict).cidr }}{{ include "wxmint.network" (list $f $at .) }}{{ end }}
{{- end }}
{{- end }}
{{- end }}
{{- range .hostAliases }}
{{- include "wxmint.network" (list $f "hostAliases" (printf "%s/%d" .ip (contains ":" .ip | ternary 128 32))) }}
{{- end }}
{{- end }}
{{- end }}

{{/* What goes into pods. */}}
{{- define "wxmint.refusePods" -}}
{{- $f := . }}
{{- with .root.Values }}
{{- /* Volumes and mounts. */}}
{{- $volumes := .peer.enabled | ternary (list "wxmint-jwks" "nginx" "tmp") (list "admin-tokens" "apps" "redis-ca" "secrets") }}
{{- $seen := list }}
{{- range .extraVolumes }}
{{- include "wxmint.fault" (list $f "extraVolumes" (has .name $volumes) (printf "the chart has a volume %q of its own; give yours another name" .name)) }}
{{- include "wxmint.fault" (list $f "extraVolumes" (has .name $seen) (printf "two are called %q; give one another name" .name)) }}
{{- include "wxmint.form" (list $f "extraVolumes" .name "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" "no name of a volume; it has at most 63 lower-case letters, digits and -") }}
{{- $seen = append $seen .name }}
{{- end }}
{{- $paths := .peer.enabled | ternary list (list "/var/run/wxmint" "/var/run/wxmint-admin" "/var/run/wxmint-apps" "/var/run/wxmint-redis") }}
{{- range .extraVolumeMounts }}
{{- include "wxmint.fault" (list $f "extraVolumeMounts" (not (has .name (concat $seen $volumes))) (printf "no volume is called %q; add it to extraVolumes" .name)) }}
{{- include "wxmint.fault" (list $f "extraVolumeMounts" (has (clean .mountPath) $paths) (printf "at %s something is mounted already; take another mountPath" .mountPath)) }}
{{- include "wxmint.fault" (list $f "extraVolumeMounts" (or (not (hasPrefix "/" .mountPath)) (contains ":" .mountPath)) (printf "%q is no mountPath; write one that begins with / and has no colon" .mountPath)) }}
{{- $paths = append $paths (clean .mountPath) }}
{{- end }}
{{- /* Variables. */}}
{{- $seen := list }}
{{- range .extraEnv }}
{{- include "wxmint.form" (list $f "extraEnv" .name "^[-._a-zA-Z][-._a-zA-Z0-9]*$" "no name of a variable; it has letters, digits, - _ and . alone") }}
{{- include "wxmint.fault" (list $f "extraEnv" (has .name $seen) (printf "%s is there twice; Kubernetes keeps one of them" .name)) }}
{{- include "wxmint.fault" (list $f "extraEnv" (and (hasKey . "value") (hasKey . "valueFrom")) (printf "%s has both value and valueFrom; leave one out" .name)) }}
{{- $seen = append $seen .name }}
{{- end }}
{{- $own := list "WXMINT_ISSUER" "WXMINT_APPID" "WXMINT_LISTEN" "WXMINT_ADMIN_LISTEN" "WXMINT_KEYS" "WXMINT_VAULT_KEY_FILE" "WXMINT_APPS_DIR" "WXMINT_APP_SECRET" "WXMINT_APP_SECRET_FILE" "WXMINT_REDIS_URL" "WXMINT_REDIS_URL_FILE" "WXMINT_ADMIN_TOKENS_FILE" "WXMINT_SIDECAR_LISTEN" "WXMINT_JWKS_CACHE" "WXMINT_JWKS_URL" }}
{{- range $name, $value := .settings }}
{{- include "wxmint.fault" (list $f (printf "settings.%s" $name) (has $name $own) "the chart sets it itself, from the value or the Secret of its own: issuer, appid, secrets, appsSecret, admin.enabled, peer") }}
{{- include "wxmint.form" (list $f "settings" $name "^((WXMINT|OTEL)_[A-Z_]+|RUST_LOG)$" "no setting; its name begins with WXMINT_ or OTEL_ (docs/settings.md). Other variables go into extraEnv") }}
{{- end }}
{{- /* Containers. */}}
{{- $seen := .peer.enabled | ternary (list "wxmint-sidecar" "nginx" "service") (list "wxmint") }}
{{- range $at, $containers := dict "initContainers" .initContainers "extraContainers" .extraContainers }}
{{- range $containers }}
{{- include "wxmint.fault" (list $f $at (has .name $seen) (printf "there is a container %q already; give this one another name" .name)) }}
{{- $seen = append $seen .name }}
{{- end }}
{{- end }}
{{- /* Where pods run. */}}
{{- $seen := list }}
{{- range .topologySpreadConstraints }}
{{- $pair := printf "%s, %s" .topologyKey .whenUnsatisfiable }}
{{- include "wxmint.fault" (list $f "topologySpreadConstraints" (has $pair $seen) (printf "two are for %s; leave one out" $pair)) }}
{{- include "wxmint.fault" (list $f "topologySpreadConstraints" (and .minDomains (ne .whenUnsatisfiable "DoNotSchedule")) "minDomains counts only with whenUnsatisfiable: DoNotSchedule; leave one of them out") }}
{{- $seen = append $seen $pair }}
{{- end }}
{{- range .tolerations }}
{{- include "wxmint.fault" (list $f "tolerations" (and (eq (.operator | default "") "Exists") .value) "one with operator: Exists has no value; leave the value out, or write operator: Equal") }}
{{- include "wxmint.fault" (list $f "tolerations" (and (not .key) (ne (.operator | default "") "Exists")) "one without key needs operator: Exists") }}
{{- include "wxmint.fault" (list $f "tolerations" (and (hasKey . "tolerationSeconds") (ne (.effect | default "") "NoExecute")) "tolerationSeconds counts only with effect: NoExecute") }}
{{- end }}
{{- /* Quantities. */}}
{{- $sizes := dict "resources" .resources "rotation.resources" .rotation.resources "test.resources" .test.resources "peer.resources" .peer.resources "peer.nginx.resources" .peer.nginx.resources }}
{{- range $at, $some := $sizes }}
{{- range $kind := list "requests" "limits" }}
{{- range $what, $value := index ($some | default dict) $kind }}
{{- include "wxmint.form" (list $f (printf "%s.%s.%s" $at $kind $what) (kindIs "string" $value | ternary $value "") "^[0-9]+(\\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE][0-9]+)?$" "no quantity; write 250m of CPU, or 128Mi of memory") }}
{{- end }}
{{- end }}
{{- range $what, $asked := ($some | default dict).requests }}
{{- $limit := index (($some | default dict).limits | default dict) $what }}
{{- if $limit }}
{{- include "wxmint.fault" (list $f (printf "%s.requests.%s" $at $what) (gt (include "wxmint.quantity" $asked | float64) (include "wxmint.quantity" $limit | float64)) (printf "%v is more than the limit, %v; raise the limit or lower the request" $asked $limit)) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* A quantity of Kubernetes as a number. */}}
{{- define "wxmint.quantity" -}}
{{- $text := toString . }}
{{- $units := dict "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 "Ei" 1152921504606846976.0 }}
{{- $unit := regexFind "[a-zA-Z]+$" $text }}
{{- mulf (trimSuffix $unit $text | float64) (index $units $unit | default 1.0) -}}
{{- end }}

{{/* Values that do not go together, or need each other. */}}
{{- define "wxmint.refuseTogether" -}}
{{- $f := . }}
{{- $root := .root }}
{{- with .root.Values }}
{{- $issuer := urlParse .issuer }}
{{- $address := or (regexMatch "^[0-9.]+$" $issuer.hostname) (contains ":" $issuer.hostname) }}
{{- $ownHosts := or (and .ingress.enabled (not .ingress.hosts)) (and (or .gateway.enabled .httpRoute.enabled) (not .httpRoute.hostnames)) }}
{{- if and .peer.enabled }}
{{- include "wxmint.fault" (list $f "peer.audience" (not .peer.audience) "set it to what this service is called in `aud`, such as https://orders.example.com") }}
{{- include "wxmint.fault" (list $f "settings.WXMINT_AUDIENCE" (hasKey .settings "WXMINT_AUDIENCE") "of a peer it is peer.audience; write it there") }}
{{- include "wxmint.fault" (list $f "peer.sidecar" (not (or .peer.istio .peer.sidecar)) "without it, and without peer.istio, nobody verifies; set one of them to true") }}
{{- include "wxmint.fault" (list $f "peer.image" (and .peer.istio .peer.image) "a service in a mesh has a Deployment of its own; leave peer.image out") }}
{{- include "wxmint.fault" (list $f "peer.image" (and .peer.image (not .peer.sidecar)) "nginx before it asks the sidecar; set peer.sidecar to true") }}
{{- include "wxmint.fault" (list $f "image.repository" (and .peer.image (not .image.repository)) "set it to the image of wxmint that you have built and pushed") }}
{{- include "wxmint.fault" (list $f "networkPolicy.defaultDeny" .networkPolicy.defaultDeny "a release with peer.enabled has no such policy: make one of your own") }}
{{- include "wxmint.fault" (list $f "autoscaling.enabled" .autoscaling.enabled "a release with peer.enabled has no autoscaler: make one of your own") }}
{{- include "wxmint.fault" (list $f "peer.issuerInCluster" (and .peer.issuerInCluster.namespace (contains "," .issuer)) "leave it out while there are several issuers") }}
{{- else }}
{{- include "wxmint.fault" (list $f "image.repository" (not .image.repository) "set it to the image that you have built and pushed, such as registry.example.com/wxmint") }}
{{- include "wxmint.fault" (list $f "appid" (and (include "wxmint.oneApp" $root) (not .appsSecret) (not .appid)) "set it to the AppID of the mini program, such as wx0123456789abcdef") }}
{{- include "wxmint.fault" (list $f "test.appid" (and .test.simulator (not .test.appid) (not .appid)) "set it to the AppID of one of the mini programs") }}
{{- include "wxmint.fault" (list $f "redis.caSecret" (and .redis.clientCertificate (not .redis.caSecret)) "set it to the Secret with ca.crt, tls.crt and tls.key, where redis.clientCertificate is true") }}
{{- include "wxmint.fault" (list $f "issuer" (and $address $ownHosts) (printf "a host of an Ingress or a Gateway is a name, and %s is an address; write a name, or ingress.hosts and httpRoute.hostnames" $issuer.hostname)) }}
{{- include "wxmint.fault" (list $f "ingress.enabled" (and .ingress.enabled $issuer.path) (printf "wxmint serves at /, and an Ingress does not take the issuer's path %s off: set gateway.enabled in its place, or make an Ingress of your own that takes it off" $issuer.path)) }}
{{- include "wxmint.fault" (list $f "gateway.className" (and .gateway.enabled (not .gateway.className)) "set it to the class of your Gateway's controller, as `kubectl get gatewayclass` lists it") }}
{{- include "wxmint.fault" (list $f "gateway.certificateRefs" (and .gateway.enabled (not .gateway.certificateRefs)) "a Gateway that ends TLS needs a certificate; write [{name: wxmint-tls}]") }}
{{- include "wxmint.fault" (list $f "httpRoute.parentRefs" (and .httpRoute.enabled (not .gateway.enabled) (not .httpRoute.parentRefs)) "name the Gateway that is there, as [{name: public, namespace: gateways}], or set gateway.enabled, which makes one") }}
{{- include "wxmint.fault" (list $f "httpRoute.parentRefs" (and .gateway.enabled .httpRoute.parentRefs) "gateway.enabled makes a Gateway of its own; leave one of the two out") }}
{{- include "wxmint.fault" (list $f "serviceMonitor.enabled" (and .podMonitor.enabled .serviceMonitor.enabled) "beside podMonitor.enabled each pod would be asked twice; leave one of the two out") }}
{{- with .autoscaling }}
{{- if .enabled }}
{{- include "wxmint.fault" (list $f "autoscaling.maxReplicas" (gt (int .minReplicas) (int .maxReplicas)) (printf "%d is less than autoscaling.minReplicas, %d" (int .maxReplicas) (int .minReplicas))) }}
{{- $cpu := index (($root.Values.resources | default dict).requests | default dict) "cpu" }}
{{- include "wxmint.fault" (list $f "autoscaling.enabled" (not $cpu) "the autoscaler counts in parts of resources.requests.cpu; set that, to 250m") }}
{{- end }}
{{- end }}
{{- $lead := index .settings "WXMINT_KEY_PREPUBLISH" | default "30m" }}
{{- /* One that comes from elsewhere is known to the rotator alone, which then refuses it. */}}
{{- range .extraEnv }}{{ if eq .name "WXMINT_KEY_PREPUBLISH" }}{{ $lead = .value | default "" }}{{ end }}{{ end }}
{{- $short := ge (include "wxmint.seconds" $lead | int64) (include "wxmint.seconds" .rotation.every | int64) }}
{{- include "wxmint.fault" (list $f "rotation.every" (and .rotation.enabled $short) (printf "%s is not longer than WXMINT_KEY_PREPUBLISH, %s; make it longer" .rotation.every $lead)) }}
{{- include "wxmint.fault" (list $f "rotation.serviceAccount.name" (and .rotation.enabled (not .rotation.serviceAccount.create) (not .rotation.serviceAccount.name)) "name the account that is there, where create is false; `default` must not read the keys") }}
{{- end }}
{{- include "wxmint.fault" (list $f "podDisruptionBudget.minAvailable" (and .podDisruptionBudget.enabled (not .autoscaling.enabled) (regexMatch "^[0-9]+$" (toString .podDisruptionBudget.minAvailable)) (ge (.podDisruptionBudget.minAvailable | toString | int) (int .replicaCount))) (printf "with %d replicas no node could ever be drained; make it less than replicaCount" (int .replicaCount))) }}
{{- include "wxmint.fault" (list $f "strategy" (and (eq (.strategy.type | default "") "Recreate") .strategy.rollingUpdate) "type: Recreate has no rollingUpdate; leave it out") }}
{{- end }}
{{- end }}
