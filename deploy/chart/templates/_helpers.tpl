{{/* Name of all namespaced objects: the release's, which is oras-csi as a rule. */}}
{{- define "oras-csi.name" -}}
{{- if contains "oras-csi" .Release.Name -}}
{{- .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-oras-csi" .Release.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The driver would end with the same words on each node. */}}
{{- define "oras-csi.checkMarks" -}}
{{- with .Values.cache -}}
{{- if not (and (lt (int .minPercent) (int .lowPercent)) (lt (int .lowPercent) (int .highPercent))) -}}
{{- fail (printf "cache.minPercent %d, cache.lowPercent %d and cache.highPercent %d: must be in this order, each below the next" (int .minPercent) (int .lowPercent) (int .highPercent)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "oras-csi.selectorLabels" -}}
app.kubernetes.io/name: oras-csi
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: node-driver
{{- end -}}

{{- define "oras-csi.labels" -}}
{{ include "oras-csi.selectorLabels" . }}
app.kubernetes.io/part-of: oras-csi
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "oras-csi.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (.tag | default $.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "oras-csi.httpPort" -}}
{{- regexFind "[0-9]+$" .Values.http.address -}}
{{- end -}}

{{/* HOST:PORT to listen on. Kubernetes puts the node's IP in; the brackets are for IPv6 and harm no other. */}}
{{- define "oras-csi.httpEndpoint" -}}
{{- if .Values.podMonitor.enabled -}}
[$(NODE_IP)]:{{ include "oras-csi.httpPort" . }}
{{- else -}}
{{ .Values.http.address }}
{{- end -}}
{{- end -}}

{{/* Where probes ask. Without a host it is the pod's IP, which is the node's on the node's network. */}}
{{- define "oras-csi.probeTarget" -}}
{{- if not .Values.podMonitor.enabled }}
host: {{ .Values.http.address | trimSuffix (printf ":%s" (include "oras-csi.httpPort" .)) | trimPrefix "[" | trimSuffix "]" | quote }}
{{- end }}
port: {{ include "oras-csi.httpPort" . }}
{{- end -}}
