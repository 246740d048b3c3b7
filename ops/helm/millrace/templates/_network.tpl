{{/* Rules of NetworkPolicies. */}}

{{/* The ports of a list of host:port, each once. */}}
{{- define "millrace.ports" -}}
{{- $ports := list }}
{{- range . }}{{ $ports = append $ports (regexFind "[0-9]+$" .) }}{{ end }}
{{- range $ports | uniq | sortAlpha }}
- { protocol: TCP, port: {{ . }} }
{{- end }}
{{- end }}

{{/* To a server. dict "to" peers "ports" numbers "addresses" host:port */}}
{{- define "millrace.egress.server" -}}
- ports:
    {{- if .ports }}
    {{- range .ports }}
    - { protocol: TCP, port: {{ . }} }
    {{- end }}
    {{- else }}
    {{- include "millrace.ports" .addresses | nindent 4 }}
    {{- end }}
  {{- with .to }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "millrace.egress.dns" -}}
- ports:
    - { protocol: UDP, port: 53 }
    - { protocol: TCP, port: 53 }
{{- end }}

{{- define "millrace.egress.kafka" -}}
{{- $policy := .Values.networkPolicy }}
{{- include "millrace.egress.server" (dict "to" $policy.kafka.to "ports" $policy.kafka.ports "addresses" (splitList "," .Values.kafka.bootstrap)) }}
{{- with .Values.registry.url }}
{{- $port := urlParse . | dig "host" "" | regexFind ":[0-9]+$" | default (hasPrefix "https:" . | ternary ":443" ":80") }}
{{ include "millrace.egress.server" (dict "to" $policy.registry.to "ports" $policy.registry.ports "addresses" (list $port)) }}
{{- end }}
{{- end }}

{{/* To the collector of traces, if there is one. */}}
{{- define "millrace.egress.traces" -}}
{{- with .Values.traces.endpoint }}
{{- $policy := $.Values.networkPolicy.traces }}
{{- $port := urlParse . | dig "host" "" | regexFind ":[0-9]+$" | default (hasPrefix "https:" . | ternary ":443" ":80") }}
{{- include "millrace.egress.server" (dict "to" $policy.to "ports" $policy.ports "addresses" (list $port)) }}
{{- end }}
{{- end }}

{{- define "millrace.egress.cql" -}}
{{- include "millrace.egress.server" (dict "to" .Values.networkPolicy.cql.to "ports" .Values.networkPolicy.cql.ports "addresses" .Values.cql.contactPoints) }}
{{- end }}

{{/* To the API of the processors. */}}
{{- define "millrace.egress.processors" -}}
- ports: [{ protocol: TCP, port: 8080 }]
  to: [{ podSelector: {{ include "millrace.selects" (dict "root" . "component" "processor") }} }]
{{- end }}
