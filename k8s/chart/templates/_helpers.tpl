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
{{- $repository := required "image.repository: set it to the image that you have built and pushed" .Values.image.repository -}}
{{- with .Values.image.digest -}}
{{ $repository }}@{{ . }}
{{- else -}}
{{ $repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
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
