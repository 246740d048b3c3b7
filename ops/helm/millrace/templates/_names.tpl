{{/* Names and labels. */}}

{{- define "millrace.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Short enough that what is appended, and the number of a pod, fit into 63 characters. */}}
{{- define "millrace.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "millrace.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "millrace.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "millrace.chart" -}}
{{- printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* What selects the pods of a component. It never changes, since selectors cannot. dict "root" "component" ("group") */}}
{{- define "millrace.selector" -}}
app.kubernetes.io/name: {{ include "millrace.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- with .group }}
millrace.io/group: {{ . }}
{{- end }}
{{- end }}

{{/* The same where a selector is wanted. */}}
{{- define "millrace.selects" -}}
{{ dict "matchLabels" (include "millrace.selector" . | fromYaml) | toJson }}
{{- end }}

{{/* Labels of a pod: nothing that changes with the chart alone, which would start all pods again. dict "root" "component" ("group") */}}
{{- define "millrace.podLabels" -}}
{{ include "millrace.selector" . }}
app.kubernetes.io/part-of: millrace
app.kubernetes.io/version: {{ .root.Values.image.tag | default .root.Chart.AppVersion | trunc 63 | quote }}
{{- end }}

{{/* Labels of an object. dict "root" "component" ("group") */}}
{{- define "millrace.labels" -}}
{{ include "millrace.podLabels" . }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ include "millrace.chart" .root }}
{{- end }}

{{- define "millrace.image" -}}
{{- with .Values.image -}}
{{- if .digest }}{{ .repository }}@{{ .digest }}{{ else }}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{- define "millrace.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "millrace.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{/* Before an install there is nothing of the release yet, so what runs then has an account that is there in any case. */}}
{{- define "millrace.hookServiceAccountName" -}}
{{- if .Values.serviceAccount.create }}default{{ else }}{{ include "millrace.serviceAccountName" . }}{{ end }}
{{- end }}

{{/* host:port, of the pods of the processors: they reach each other before they are ready, to route. */}}
{{- define "millrace.peers" -}}
{{ include "millrace.fullname" . }}-processors
{{- end }}
