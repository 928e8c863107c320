{{/* A release named wxmint has objects named wxmint. The longest suffix has 13 letters; a CronJob's name may have 52. */}}
{{- define "wxmint.fullname" -}}
{{- $name := contains .Chart.Name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) -}}
{{- include "wxmint.name" (.Values.fullnameOverride | default $name) -}}
{{- end }}

{{/* A Service's name has no dot and begins with a letter; a release's need not. */}}
{{- define "wxmint.name" -}}
{{- if regexMatch "^[0-9]" . }}{{ fail (printf "fullnameOverride: set it, because no Service can be called %s" .) }}{{ end -}}
{{- . | replace "." "-" | trunc 39 | trimSuffix "-" -}}
{{- end }}

{{- define "wxmint.selector" -}}
app.kubernetes.io/name: wxmint
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "wxmint.common" -}}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "wxmint.labels" -}}
app.kubernetes.io/name: wxmint
{{ include "wxmint.common" . }}
{{- end }}

{{/* Another name than that of wxmint's own pods: their Service and their network policy must not take these for them. */}}
{{- define "wxmint.rotatorSelector" -}}
app.kubernetes.io/name: wxmint-keys-rotate
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "wxmint.rotatorLabels" -}}
app.kubernetes.io/name: wxmint-keys-rotate
app.kubernetes.io/part-of: wxmint
{{ include "wxmint.common" . }}
{{- end }}

{{/* A peer's pods may be somebody else's Deployment, which has this label and not the release's. */}}
{{- define "wxmint.peer" -}}
{{- $name := .Values.fullnameOverride | default .Release.Name | trunc 39 | trimSuffix "-" -}}
{{- if .Values.peer.image }}{{ include "wxmint.name" $name }}{{ else }}{{ $name }}{{ end -}}
{{- end }}

{{- define "wxmint.peerSelector" -}}
app.kubernetes.io/name: {{ include "wxmint.peer" . | quote }}
{{- end }}

{{- define "wxmint.peerLabels" -}}
{{ include "wxmint.peerSelector" . }}
app.kubernetes.io/part-of: wxmint
{{ include "wxmint.common" . }}
{{- end }}

{{- define "wxmint.testSelector" -}}
app.kubernetes.io/name: wxmint-test
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}

{{- define "wxmint.testLabels" -}}
app.kubernetes.io/name: wxmint-test
app.kubernetes.io/part-of: wxmint
{{ include "wxmint.common" . }}
{{- end }}

{{- define "wxmint.image" -}}
{{- $_ := required "image.repository: set it to the image that you have built and pushed" .Values.image.repository -}}
{{- include "wxmint.reference" . -}}
{{- end }}

{{- define "wxmint.reference" -}}
{{- with .Values.image.digest -}}
{{ $.Values.image.repository }}@{{ . }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "wxmint.issuer" -}}
{{ required "issuer: set it to the https URL at which mini programs reach wxmint" .Values.issuer }}
{{- end }}

{{/* The name of a Secret: (list $ "vault" "vault") is .Values.secrets.vault.name, or the release's name and -vault. */}}
{{- define "wxmint.secret" -}}
{{- $root := index . 0 -}}
{{- (index $root.Values.secrets (index . 1)).name | default (printf "%s-%s" (include "wxmint.fullname" $root) (index . 2)) -}}
{{- end }}

{{/* Whether there is the AppSecret of one app. A third-party platform logs its merchants' people in and needs no app of its own. */}}
{{- define "wxmint.oneApp" -}}
{{- $platform := index (.Values.settings | default dict) "WXMINT_PLATFORM_FILE" -}}
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
{{- $_ := set $all "WXMINT_ISSUER" (include "wxmint.issuer" .) }}
{{- if .Values.appsSecret }}
{{- $_ := set $all "WXMINT_APPS_DIR" "/var/run/wxmint-apps" }}
{{- else if include "wxmint.oneApp" . }}
{{- $_ := set $all "WXMINT_APPID" (required "appid: set it to the AppID of the mini program" .Values.appid) }}
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
{{- else if .Values.redis.clientCertificate }}
{{- fail "redis.caSecret: set it to the Secret with ca.crt, tls.crt and tls.key, where redis.clientCertificate is true" }}
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
{{- $issuers := splitList "," (include "wxmint.issuer" .) }}
{{- /* Loopback is the pod's own: nobody else asks this listener. The other is for the kubelet and Prometheus. */}}
{{- $all := dict "WXMINT_LOG_FORMAT" "json" "WXMINT_SIDECAR_LISTEN" "127.0.0.1:8181" "WXMINT_ADMIN_LISTEN" "0.0.0.0:9090" }}
{{- $_ := set $all "WXMINT_JWKS_CACHE" "/var/cache/wxmint" }}
{{- $_ := set $all "WXMINT_ISSUER" (include "wxmint.issuer" .) }}
{{- $_ := set $all "WXMINT_AUDIENCE" .Values.peer.audience }}
{{- /* By https, so that the keys are the issuer's whatever happens on the cluster's network. Revoked tokens come from /revocations there. */}}
{{- $_ := set $all "WXMINT_JWKS_URL" (printf "%s/.well-known/jwks.json" (join "/.well-known/jwks.json," $issuers)) }}
{{- with .Values.peer.issuerInCluster }}
{{- if .namespace }}
{{- $_ := set $all "WXMINT_JWKS_URL" (printf "http://%s.%s.svc.cluster.local/.well-known/jwks.json" .service .namespace) }}
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
  securityContext:
    {{- include "wxmint.rights" $root | nindent 4 }}
    {{- include "wxmint.podRights" $root | nindent 4 }}
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
{{- with .Values.imagePullSecrets }}
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
{{- end }}

{{/* For the pods of a Deployment: (list $ "wxmint.selector"). */}}
{{- define "wxmint.spread" -}}
{{- $root := index . 0 }}
{{- $selector := index . 1 }}
{{- with $root.Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  - {{ toYaml . | nindent 4 | trim }}
    labelSelector:
      matchLabels: {{- include $selector $root | nindent 8 }}
    # Counts the pods of one release alone, or a rolling update would be placed around the old ones.
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- include "wxmint.scheduling" $root }}
{{- with $root.Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* What Pod Security calls restricted, and no more. */}}
{{- define "wxmint.podRights" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "wxmint.rights" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
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
        cidr: {{ . }}
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
