{{/* How every pod reaches Kafka, the registry and the store. Settings are environment, files are mounted, and what is secret is
     named by its Secret: nothing of it is in a command line, in this release's values, or in a ConfigMap. */}}

{{- define "millrace.env.kafka" -}}
- name: MILLRACE_BOOTSTRAP
  value: {{ .Values.kafka.bootstrap | quote }}
- name: MILLRACE_PREFIX
  value: {{ .Values.prefix | quote }}
- name: MILLRACE_LOG_FORMAT
  value: {{ .Values.log.format }}
{{- with .Values.log.filter }}
- name: MILLRACE_LOG
  value: {{ . | quote }}
{{- end }}
{{- with .Values.registry.url }}
- name: MILLRACE_REGISTRY
  value: {{ . | quote }}
{{- end }}
{{- with .Values.kafka }}
{{- if .settingsSecret.name }}
- name: MILLRACE_KAFKA_CONFIG
  value: /etc/millrace/kafka-settings/kafka.properties
{{- end }}
{{- /* MILLRACE_KAFKA_SET_SSL_CA_LOCATION is ssl.ca.location */}}
{{- range $key, $value := .settings }}
- name: MILLRACE_KAFKA_SET_{{ $key | upper | replace "." "_" }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- if or .tls.enabled .sasl.mechanism }}
- name: MILLRACE_KAFKA_SET_SECURITY_PROTOCOL
  value: {{ ternary "SASL_" "" (ne .sasl.mechanism "") }}{{ ternary "SSL" "PLAINTEXT" .tls.enabled }}
{{- end }}
{{- if .tls.enabled }}
{{- if or .tls.ca.secret .tls.ca.configMap }}
- name: MILLRACE_KAFKA_SET_SSL_CA_LOCATION
  value: /etc/millrace/kafka-ca/ca.crt
{{- end }}
{{- if .tls.client.secret }}
- name: MILLRACE_KAFKA_SET_SSL_CERTIFICATE_LOCATION
  value: /etc/millrace/kafka-client/tls.crt
- name: MILLRACE_KAFKA_SET_SSL_KEY_LOCATION
  value: /etc/millrace/kafka-client/tls.key
{{- if .tls.client.passwordKey }}
- name: MILLRACE_KAFKA_SET_SSL_KEY_PASSWORD
  valueFrom: { secretKeyRef: { name: {{ .tls.client.secret }}, key: {{ .tls.client.passwordKey }} } }
{{- end }}
{{- end }}
{{- end }}
{{- if .sasl.mechanism }}
- name: MILLRACE_KAFKA_SET_SASL_MECHANISM
  value: {{ .sasl.mechanism }}
- name: MILLRACE_KAFKA_SET_SASL_USERNAME
  valueFrom: { secretKeyRef: { name: {{ .sasl.secret }}, key: {{ .sasl.usernameKey }} } }
- name: MILLRACE_KAFKA_SET_SASL_PASSWORD
  valueFrom: { secretKeyRef: { name: {{ .sasl.secret }}, key: {{ .sasl.passwordKey }} } }
{{- end }}
{{- end }}
{{- end }}

{{/* Of those that record spans: processors and workers. */}}
{{- define "millrace.env.traces" -}}
{{- with .Values.traces }}
{{- if .endpoint }}
- name: TRACED_POD
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ .endpoint | quote }}
- name: OTEL_TRACES_SAMPLER
  value: {{ .sampler }}
- name: OTEL_TRACES_SAMPLER_ARG
  value: {{ .ratio | toString | quote }}
- name: OTEL_RESOURCE_ATTRIBUTES
  value: service.namespace={{ include "millrace.fullname" $ }},service.instance.id=$(TRACED_POD),k8s.pod.name=$(TRACED_POD),k8s.namespace.name={{ $.Release.Namespace }}
{{- if .headers.secret }}
- name: OTEL_EXPORTER_OTLP_HEADERS
  valueFrom: { secretKeyRef: { name: {{ .headers.secret }}, key: {{ .headers.key }} } }
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "millrace.env.cql" -}}
{{- with .Values.cql -}}
- name: MILLRACE_CQL
  value: {{ join "," .contactPoints | quote }}
{{- with .keyspace }}
- name: MILLRACE_KEYSPACE
  value: {{ . | quote }}
{{- end }}
{{- with .datacenter }}
- name: MILLRACE_CQL_DATACENTER
  value: {{ . | quote }}
{{- end }}
{{- if .tls.enabled }}
- name: MILLRACE_CQL_TLS
  value: {{ .tls.verify }}
{{- if or .tls.ca.secret .tls.ca.configMap }}
- name: MILLRACE_CQL_CA
  value: /etc/millrace/cql-ca/ca.crt
{{- end }}
{{- if .tls.client.secret }}
- name: MILLRACE_CQL_CERTIFICATE
  value: /etc/millrace/cql-client/tls.crt
- name: MILLRACE_CQL_KEY
  value: /etc/millrace/cql-client/tls.key
{{- end }}
{{- end }}
{{- if .auth.secret }}
- name: MILLRACE_CQL_USER
  valueFrom: { secretKeyRef: { name: {{ .auth.secret }}, key: {{ .auth.usernameKey }} } }
- name: MILLRACE_CQL_PASSWORD
  valueFrom: { secretKeyRef: { name: {{ .auth.secret }}, key: {{ .auth.passwordKey }} } }
{{- end }}
{{- end }}
{{- end }}

{{/* Of those that write to the store, or create it. */}}
{{- define "millrace.env.store" -}}
- name: MILLRACE_CQL_REPLICATION
  value: {{ with .Values.cql.replicationByDatacenter }}{{ toJson . | squote }}{{ else }}{{ .Values.cql.replication | toString | quote }}{{ end }}
- name: MILLRACE_CQL_CONSISTENCY
  value: {{ .Values.cql.consistency }}
{{- end }}

{{/* One authority, from a Secret or a ConfigMap. dict "name" "ca" */}}
{{- define "millrace.volume.ca" -}}
{{- if .ca.secret }}
- name: {{ .name }}
  secret: { secretName: {{ .ca.secret }}, defaultMode: 0440, items: [{ key: {{ .ca.key }}, path: ca.crt }] }
{{- else if .ca.configMap }}
- name: {{ .name }}
  configMap: { name: {{ .ca.configMap }}, defaultMode: 0444, items: [{ key: {{ .ca.key }}, path: ca.crt }] }
{{- end }}
{{- end }}

{{/* A certificate and its key. dict "name" "client" */}}
{{- define "millrace.volume.client" -}}
{{- with .client }}
{{- if .secret }}
- name: {{ $.name }}
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
    items: [{ key: {{ .certKey }}, path: tls.crt }, { key: {{ .keyKey }}, path: tls.key }]
{{- end }}
{{- end }}
{{- end }}

{{- define "millrace.volumes.kafka" -}}
{{- with .Values.kafka }}
{{- if .settingsSecret.name }}
- name: kafka-settings
  secret: { secretName: {{ .settingsSecret.name }}, defaultMode: 0440, items: [{ key: {{ .settingsSecret.key }}, path: kafka.properties }] }
{{- end }}
{{- if .tls.enabled }}
{{- include "millrace.volume.ca" (dict "name" "kafka-ca" "ca" .tls.ca) }}
{{- include "millrace.volume.client" (dict "name" "kafka-client" "client" .tls.client) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "millrace.volumes.cql" -}}
{{- with .Values.cql }}
{{- if .tls.enabled }}
{{- include "millrace.volume.ca" (dict "name" "cql-ca" "ca" .tls.ca) }}
{{- include "millrace.volume.client" (dict "name" "cql-client" "client" .tls.client) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Each volume but that of /tmp is mounted under its own name. Takes the volumes as text. */}}
{{- define "millrace.mounts" -}}
{{- range fromYamlArray . }}
- { name: {{ .name }}, mountPath: /etc/millrace/{{ .name }}, readOnly: true }
{{- end }}
{{- end }}

{{- define "millrace.api.scheme" -}}
{{ ternary "https" "http" (ne .Values.api.tls.secret "") }}
{{- end }}

{{/* Who may use the API of a processor, and by what it is known. */}}
{{- define "millrace.env.api" -}}
{{- with .Values.api }}
{{- if .tokens.secret }}
- name: MILLRACE_HTTP_TOKENS
  value: /etc/millrace/api-tokens/tokens
{{- end }}
{{- if .jwt.issuer }}
- name: MILLRACE_HTTP_JWT_ISSUER
  value: {{ .jwt.issuer | quote }}
- name: MILLRACE_HTTP_JWT_AUDIENCE
  value: {{ .jwt.audience | quote }}
{{- with .jwt.keys }}
- name: MILLRACE_HTTP_JWT_KEYS
  value: {{ . | quote }}
{{- end }}
- name: MILLRACE_HTTP_JWT_ROLES_CLAIM
  value: {{ .jwt.rolesClaim | quote }}
{{- if .jwt.roles }}
{{- $roles := list }}
{{- range $name, $role := .jwt.roles }}{{ $roles = append $roles (printf "%s=%s" $name $role) }}{{ end }}
- name: MILLRACE_HTTP_JWT_ROLE
  value: {{ join "," $roles | quote }}
{{- end }}
{{- end }}
{{- if not (or .tokens.secret .jwt.issuer) }}
# Nobody is asked who they are: see networkPolicy.
- name: MILLRACE_HTTP_INSECURE
  value: "true"
{{- end }}
{{- if .tls.secret }}
- name: MILLRACE_HTTP_TLS_CERT
  value: /etc/millrace/api-tls/tls.crt
- name: MILLRACE_HTTP_TLS_KEY
  value: /etc/millrace/api-tls/tls.key
{{- if or .tls.ca.secret .tls.ca.configMap }}
- name: MILLRACE_API_CA
  value: /etc/millrace/api-ca/ca.crt
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "millrace.volumes.api" -}}
{{- with .Values.api }}
{{- if .tokens.secret }}
- name: api-tokens
  secret: { secretName: {{ .tokens.secret }}, defaultMode: 0440, items: [{ key: {{ .tokens.key }}, path: tokens }] }
{{- end }}
{{- if .tls.secret }}
{{- include "millrace.volume.client" (dict "name" "api-tls" "client" .tls) }}
{{- include "millrace.volume.ca" (dict "name" "api-ca" "ca" .tls.ca) }}
{{- end }}
{{- end }}
{{- end }}
