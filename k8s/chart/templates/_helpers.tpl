{{/* A release named wxmint has objects named wxmint. The longest suffix has 13 letters; a CronJob's name may have 52. */}}
{{- define "wxmint.fullname" -}}
{{- $name := contains .Chart.Name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name .Chart.Name) -}}
{{- .Values.fullnameOverride | default $name | trunc 39 | trimSuffix "-" -}}
{{- end }}

{{- define "wxmint.selector" -}}
app.kubernetes.io/name: wxmint
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "wxmint.common" -}}
app.kubernetes.io/instance: {{ .Release.Name }}
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
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "wxmint.rotatorLabels" -}}
app.kubernetes.io/name: wxmint-keys-rotate
app.kubernetes.io/part-of: wxmint
{{ include "wxmint.common" . }}
{{- end }}

{{- define "wxmint.testSelector" -}}
app.kubernetes.io/name: wxmint-test
app.kubernetes.io/instance: {{ .Release.Name }}
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

{{/* The name of a Secret: (list $ "vault" "vault") is .Values.secrets.vault.name, or the release's name and -vault. */}}
{{- define "wxmint.secret" -}}
{{- $root := index . 0 -}}
{{- (index $root.Values.secrets (index . 1)).name | default (printf "%s-%s" (include "wxmint.fullname" $root) (index . 2)) -}}
{{- end }}

{{/* For the pods of wxmint and those of the rotator. */}}
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
priorityClassName: {{ . }}
{{- end }}
{{- end }}
