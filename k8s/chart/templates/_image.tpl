{{- define "wxmint.image" -}}
{{ required "image.repository: set it to the image that you have built and pushed" .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
