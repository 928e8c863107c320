{{/* First in each template: what is null, or left out by a parent chart, is as by default; and all that is wrong is said at once. */}}
{{- define "wxmint.complete" -}}
{{- if not (hasKey .Values "completed") }}
{{- $_ := include "wxmint.fill" (list .Values (include "wxmint.defaults" . | fromYaml)) }}
{{- $_ := set .Values "completed" true }}
{{- include "wxmint.refuse" . }}
{{- end }}
{{- end }}

{{/* (list VALUES DEFAULTS). What goes into a pod or an object as it is, is nothing if it is null. */}}
{{- define "wxmint.fill" -}}
{{- $values := index . 0 }}
{{- $asItIs := list "resources" "podSecurityContext" "securityContext" "topologySpreadConstraints" "podLabels" "podAnnotations" "tls" }}
{{- range $name, $default := index . 1 }}
{{- if and (kindIs "map" $default) (kindIs "map" (index $values $name)) }}
{{- if not (has $name $asItIs) }}{{ $_ := include "wxmint.fill" (list (index $values $name) $default) }}{{ end }}
{{- else if kindIs "invalid" (index $values $name) }}
{{- $nothing := kindIs "slice" $default | ternary list dict }}
{{- $_ := set $values $name (has $name $asItIs | ternary $nothing $default) }}
{{- end }}
{{- end }}
{{- end }}

{{/* A release named wxmint has objects named wxmint. The longest suffix has 13 letters; a CronJob's name may have 52. */}}
{{- define "wxmint.fullname" -}}
{{- $chart := .Values.nameOverride | default .Chart.Name -}}
{{- $name := contains $chart .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $chart) -}}
{{- include "wxmint.name" (.Values.fullnameOverride | default $name) -}}
{{- end }}

{{/* A Service's name has no dot and begins with a letter; a release's need not. */}}
{{- define "wxmint.name" -}}
{{- if regexMatch "^[0-9]" . }}{{ fail (printf "fullnameOverride: set it, because no Service can be called %s" .) }}{{ end -}}
{{- . | replace "." "-" | trunc 39 | trimSuffix "-" -}}
{{- end }}

{{/* Labels of a part: (list $ NAME), as YAML. Pods have no label that a new version of the chart alone would change. */}}
{{- define "wxmint.podLabels" -}}
{{- $root := index . 0 }}
{{- $own := dict "app.kubernetes.io/name" (index . 1) "app.kubernetes.io/part-of" "wxmint" "app.kubernetes.io/instance" $root.Release.Name }}
{{- if not $root.Values.image.digest }}
{{- $_ := set $own "app.kubernetes.io/version" ($root.Values.image.tag | default $root.Chart.AppVersion | trunc 63 | trimAll "-_.") }}
{{- end }}
{{- range $name, $value := $root.Values.commonLabels }}{{ $_ := set $own $name $value }}{{ end }}
{{- toYaml $own }}
{{- end }}

{{/* An object's name, labels and annotations: (list $ NAME PART ANNOTATIONS LABELS); the last two may be missing. */}}
{{- define "wxmint.metadata" -}}
{{- $root := index . 0 }}
{{- $labels := dict "app.kubernetes.io/name" (index . 2) "app.kubernetes.io/part-of" "wxmint" "app.kubernetes.io/instance" $root.Release.Name }}
{{- $_ := set $labels "app.kubernetes.io/version" $root.Chart.AppVersion }}
{{- $_ := set $labels "app.kubernetes.io/managed-by" $root.Release.Service }}
{{- $_ := set $labels "helm.sh/chart" (printf "%s-%s" $root.Chart.Name ($root.Chart.Version | replace "+" "_")) }}
{{- range $name, $value := $root.Values.commonLabels }}{{ $_ := set $labels $name $value }}{{ end }}
{{- if gt (len .) 4 }}{{ range $name, $value := index . 4 }}{{ $_ := set $labels $name $value }}{{ end }}{{ end }}
{{- $annotations := dict }}
{{- range $name, $value := $root.Values.commonAnnotations }}{{ $_ := set $annotations $name $value }}{{ end }}
{{- if gt (len .) 3 }}{{ range $name, $value := index . 3 }}{{ $_ := set $annotations $name $value }}{{ end }}{{ end -}}
name: {{ index . 1 | quote }}
labels: {{- toYaml $labels | nindent 2 }}
{{- with $annotations }}
annotations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What selects a part's pods: (list $ PART). */}}
{{- define "wxmint.selector" -}}
app.kubernetes.io/name: {{ index . 1 | quote }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name | quote }}
{{- end }}

{{/* A peer's pods may be somebody else's Deployment, which has this label and not the release's. */}}
{{- define "wxmint.peer" -}}
{{- $name := .Values.fullnameOverride | default .Release.Name | trunc 39 | trimSuffix "-" -}}
{{- if .Values.peer.image }}{{ include "wxmint.name" $name }}{{ else }}{{ $name }}{{ end -}}
{{- end }}

{{- define "wxmint.peerSelector" -}}
app.kubernetes.io/name: {{ include "wxmint.peer" . | quote }}
{{- end }}

{{/* Labels and annotations of pods: (list CHART-S USER-S...). The later ones win. */}}
{{- define "wxmint.merged" -}}
{{- $all := dict }}
{{- range . }}{{ range $name, $value := . }}{{ $_ := set $all $name $value }}{{ end }}{{ end }}
{{- toYaml $all }}
{{- end }}

{{- define "wxmint.image" -}}
{{- with .Values.image.digest -}}
{{ $.Values.image.repository }}@{{ . }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* The name of a Secret: (list $ "vault" "vault") is .Values.secrets.vault.name, or the release's name and -vault. */}}
{{- define "wxmint.secret" -}}
{{- $root := index . 0 -}}
{{- (index $root.Values.secrets (index . 1)).name | default (printf "%s-%s" (include "wxmint.fullname" $root) (index . 2)) -}}
{{- end }}

{{/* Whether there is the AppSecret of one app. A third-party platform logs its merchants' people in and needs no app of its own. */}}
{{- define "wxmint.oneApp" -}}
{{- $platform := index .Values.settings "WXMINT_PLATFORM_FILE" -}}
{{- if not (or .Values.appsSecret (and $platform (not .Values.appid))) }}true{{ end -}}
{{- end }}

{{/* Variables of a container, in the pod template, so that a revision has its own settings: (list SETTINGS EXTRA-ENV). A name that
extraEnv has too is left out, because Kubernetes merges by name. Kubernetes would expand $(NAME), which is no setting's form. */}}
{{- define "wxmint.variables" -}}
{{- $named := dict }}
{{- range index . 1 }}{{ $_ := set $named .name true }}{{ end }}
{{- range $name, $value := index . 0 }}
{{- if not (hasKey $named $name) }}
- name: {{ $name }}
  value: {{ $value | replace "$" "$$" | quote }}
{{- end }}
{{- end }}
{{- with index . 1 }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The issuer's settings, as YAML. */}}
{{- define "wxmint.settings" -}}
{{- $all := dict "WXMINT_LOG_FORMAT" "json" "WXMINT_LISTEN" "0.0.0.0:8080" "WXMINT_ADMIN_LISTEN" "0.0.0.0:9090" }}
{{- $_ := set $all "WXMINT_KEYS" "/var/run/wxmint/keys.json" }}
{{- $_ := set $all "WXMINT_VAULT_KEY_FILE" "/var/run/wxmint/vault.key" }}
{{- $_ := set $all "WXMINT_REDIS_URL_FILE" "/var/run/wxmint/redis-url" }}
{{- $_ := set $all "WXMINT_ISSUER" .Values.issuer }}
{{- if .Values.appsSecret }}
{{- $_ := set $all "WXMINT_APPS_DIR" "/var/run/wxmint-apps" }}
{{- else if include "wxmint.oneApp" . }}
{{- $_ := set $all "WXMINT_APPID" .Values.appid }}
{{- $_ := set $all "WXMINT_APP_SECRET_FILE" "/var/run/wxmint/app-secret" }}
{{- end }}
{{- if .Values.admin.enabled }}
{{- $_ := set $all "WXMINT_ADMIN_TOKENS_FILE" "/var/run/wxmint-admin/admin.tokens" }}
{{- end }}
{{- with .Values.networkPolicy.loadBalancers }}
{{- $_ := set $all "WXMINT_TRUSTED_PROXIES" (join "," .) }}
{{- end }}
{{- if .Values.redis.caSecret }}
{{- $_ := set $all "WXMINT_REDIS_CA_FILE" "/var/run/wxmint-redis/ca.crt" }}
{{- if .Values.redis.clientCertificate }}
{{- $_ := set $all "WXMINT_REDIS_CERT_FILE" "/var/run/wxmint-redis/tls.crt" }}
{{- $_ := set $all "WXMINT_REDIS_KEY_FILE" "/var/run/wxmint-redis/tls.key" }}
{{- end }}
{{- end }}
{{- with .Values.accountsInCluster.url }}
{{- $_ := set $all "WXMINT_ACCOUNTS" . }}
{{- $_ := set $all "WXMINT_DANGEROUS_ACCOUNTS_OVER_HTTP" "true" }}
{{- end }}
{{- range $name, $value := .Values.settings }}{{ $_ := set $all $name $value }}{{ end }}
{{- toYaml $all }}
{{- end }}

{{/* A sidecar's settings, as YAML. */}}
{{- define "wxmint.sidecarSettings" -}}
{{- $issuers := splitList "," .Values.issuer }}
{{- /* Loopback is the pod's own: nobody else asks this listener. The other is for the kubelet and Prometheus. */}}
{{- $all := dict "WXMINT_LOG_FORMAT" "json" "WXMINT_SIDECAR_LISTEN" "127.0.0.1:8181" "WXMINT_ADMIN_LISTEN" "0.0.0.0:9090" }}
{{- $_ := set $all "WXMINT_JWKS_CACHE" "/var/cache/wxmint" }}
{{- $_ := set $all "WXMINT_ISSUER" .Values.issuer }}
{{- $_ := set $all "WXMINT_AUDIENCE" .Values.peer.audience }}
{{- /* By https, so that the keys are the issuer's whatever happens on the cluster's network. Revoked tokens come from /revocations there. */}}
{{- $_ := set $all "WXMINT_JWKS_URL" (printf "%s/.well-known/jwks.json" (join "/.well-known/jwks.json," $issuers)) }}
{{- with .Values.peer.issuerInCluster }}
{{- if .namespace }}
{{- $_ := set $all "WXMINT_JWKS_URL" (printf "http://%s.%s.svc.cluster.local%s/.well-known/jwks.json" .service .namespace (eq (int .port) 80 | ternary "" (printf ":%d" (int .port)))) }}
{{- $_ := set $all "WXMINT_DANGEROUS_JWKS_OVER_HTTP" "true" }}
{{- end }}
{{- end }}
{{- range $name, $value := .Values.settings }}{{ $_ := set $all $name $value }}{{ end }}
{{- toYaml $all }}
{{- end }}

{{/* `wxmint sidecar` beside a service: (list $ IMAGE). */}}
{{- define "wxmint.sidecar" -}}
{{- $root := index . 0 -}}
- name: wxmint-sidecar
  # What makes it a sidecar, rather than a step before the start: it stops after the containers that ask it.
  restartPolicy: Always
  image: {{ index . 1 }}
  {{- with $root.Values.image.pullPolicy }}
  imagePullPolicy: {{ . }}
  {{- end }}
  args: [sidecar]
  # Exit code 64 comes with the list of faulty settings on stderr: shown by kubectl describe pod.
  terminationMessagePolicy: FallbackToLogsOnError
  env: {{- include "wxmint.variables" (list (include "wxmint.sidecarSettings" $root | fromYaml) list) | trim | nindent 4 }}
  ports:
    - name: wxmint-admin
      containerPort: 9090
  # The service's containers wait for /livez alone, which does not wait for the issuer. Ready once it has keys and the first
  # page of the revocation feed (without the page after 10 s, unless WXMINT_REVOCATIONS_FAIL is closed), and then for good:
  # an issuer that goes away takes no service with it.
  {{- include "wxmint.probes" "wxmint-admin" | nindent 2 }}
  # No limit on CPU: throttling would slow every request of the service.
  resources:
    requests:
      cpu: 20m
      memory: 32Mi
    limits:
      # Up to 64 MiB are for connections (WXMINT_MAX_CONNECTIONS, 1000: change both together), 32 MiB for remembered tokens,
      # and 256 MiB for revoked tokens, of which the sidecar holds ten million and a sixteenth at most.
      memory: 384Mi
  {{- include "wxmint.allRights" $root | nindent 2 }}
  volumeMounts:
    - name: wxmint-jwks
      mountPath: /var/cache/wxmint
{{- end }}

{{/* The seconds of a time such as 30m; 0 of anything else. */}}
{{- define "wxmint.seconds" -}}
{{- mul (regexFind "^[0-9]+" . | int64) (get (dict "s" 1 "m" 60 "h" 3600 "d" 86400) (regexFind "[smhd]$" .) | int64) -}}
{{- end }}

{{/* For all pods. */}}
{{- define "wxmint.scheduling" -}}
{{- $pull := concat .Values.imagePullSecrets ((.Values.global | default dict).imagePullSecrets | default list) }}
{{- with $pull | uniq }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .Values.podSecurityContext }}
securityContext: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* For the pods of a Deployment: (list $ SELECTOR). */}}
{{- define "wxmint.spread" -}}
{{- $root := index . 0 }}
{{- $selector := index . 1 }}
{{- with $root.Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  - {{ toYaml . | nindent 4 | trim }}
    labelSelector:
      matchLabels: {{- $selector | nindent 8 }}
    # Counts the pods of one release alone, or a rolling update would be placed around the old ones.
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- include "wxmint.scheduling" $root }}
{{- with $root.Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.hostAliases }}
hostAliases: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $root.Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with $root.Values.dnsConfig }}
dnsConfig: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* How a Deployment replaces its pods. */}}
{{- define "wxmint.strategy" -}}
revisionHistoryLimit: {{ int .Values.revisionHistoryLimit }}
strategy:
  {{- with .Values.strategy }}
  {{- toYaml . | nindent 2 }}
  {{- else }}
  rollingUpdate:
    maxSurge: 1
    maxUnavailable: 0
  {{- end }}
{{- end }}

{{/* What Pod Security calls restricted, by default. */}}
{{- define "wxmint.rights" -}}
{{- with .Values.securityContext }}
securityContext: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The same for a container in somebody else's pod. */}}
{{- define "wxmint.allRights" -}}
{{- $pod := pick .Values.podSecurityContext "runAsNonRoot" "runAsUser" "runAsGroup" "seccompProfile" }}
{{- with merge (dict) .Values.securityContext $pod }}
securityContext: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* A PodDisruptionBudget's spec, without its selector. */}}
{{- define "wxmint.budget" -}}
{{- with .Values.podDisruptionBudget -}}
{{- if ne (toString .minAvailable) "" }}
minAvailable: {{ .minAvailable }}
{{- else }}
# Rather than minAvailable, so that one replica can still be drained from its node.
maxUnavailable: {{ .maxUnavailable }}
{{- end }}
{{- end }}
unhealthyPodEvictionPolicy: AlwaysAllow
{{- end }}

{{/* A Service's spec, without its ports and selector. */}}
{{- define "wxmint.service" -}}
{{- with .Values.service -}}
type: {{ .type }}
{{- with .ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .ipFamilies }}
ipFamilies: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if and .externalTrafficPolicy (ne .type "ClusterIP") }}
externalTrafficPolicy: {{ .externalTrafficPolicy }}
{{- end }}
{{- if and .loadBalancerClass (eq .type "LoadBalancer") }}
loadBalancerClass: {{ .loadBalancerClass | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* The name of a ServiceAccount: (list VALUES DEFAULT). */}}
{{- define "wxmint.account" -}}
{{- $account := index . 0 -}}
{{- $account.name | default ($account.create | ternary (index . 1) "default") -}}
{{- end }}

{{/* Of a server of wxmint; the argument is the port. Liveness touches neither Redis nor WeChat: a restart mends neither. */}}
{{- define "wxmint.probes" -}}
startupProbe:
  httpGet:
    path: /livez
    port: {{ . }}
  periodSeconds: 1
  failureThreshold: 30
livenessProbe:
  httpGet:
    path: /livez
    port: {{ . }}
  periodSeconds: 10
  timeoutSeconds: 2
readinessProbe:
  httpGet:
    path: /readyz
    port: {{ . }}
  periodSeconds: 3
  timeoutSeconds: 2
  failureThreshold: 2
{{- end }}

{{/* A way out that all pods but the rotator's have. */}}
{{- define "wxmint.dns" -}}
# DNS.
- to:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: kube-system
    {{- range .Values.networkPolicy.dnsAddresses }}
    - ipBlock:
        cidr: {{ . | quote }}
    {{- end }}
  ports:
    - port: 53
      protocol: UDP
    - port: 53
      protocol: TCP
{{- end }}

{{/* A way in for Prometheus; the argument is (list $ PORT). */}}
{{- define "wxmint.metrics" -}}
# Metrics.
- from:
    - namespaceSelector:
        matchLabels:
          kubernetes.io/metadata.name: {{ (index . 0).Values.networkPolicy.monitoringNamespace | quote }}
  ports:
    - port: {{ index . 1 }}
{{- end }}

{{/* The same where Cilium enforces policies: a cache on the node. */}}
{{- define "wxmint.ciliumDns" -}}
- toEntities: [host]
  toPorts:
    - ports:
        - port: "53"
          protocol: ANY
{{- end }}

{{/* The host of the issuer. Kubernetes knows hosts in lower case alone; browsers ask for them so. */}}
{{- define "wxmint.host" -}}
{{- lower (urlParse .Values.issuer).hostname -}}
{{- end }}

{{/* A file of nginx with what the values say of it: (list $ TEXT). */}}
{{- define "wxmint.nginx" -}}
{{- $text := index . 1 }}
{{- with (index . 0).Values.peer.nginx }}
{{- $text = $text | replace "worker_connections 4096;" (printf "worker_connections %d;" (int .workerConnections)) }}
{{- $text = $text | replace "limit_conn clients 1536;" (printf "limit_conn clients %d;" (div (mul 3 .workerConnections) 8)) }}
{{- $text = $text | replace "client_max_body_size 1m;" (printf "client_max_body_size %s;" .maxBodySize) }}
{{- $text = $text | replace "_timeout 10s;" (printf "_timeout %ds;" (int .clientTimeout)) }}
{{- if .webSocket }}
{{- $plain := "\n    proxy_set_header Connection \"\";" }}
{{- $text = $text | replace $plain "\n    proxy_set_header Upgrade $upgrade;\n    proxy_set_header Connection $connection_to_upgrade;" }}
{{- end }}
{{- end }}
{{- $text }}
{{- end }}
