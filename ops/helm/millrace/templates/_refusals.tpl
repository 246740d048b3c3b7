{{/* What the schema of the values cannot say, or not in words that help. Included once, by what is rendered in any case. */}}
{{- define "millrace.refusals" -}}
{{- if not .Values.kafka.bootstrap }}
{{- fail "kafka.bootstrap has to be given: host:port of some brokers" }}
{{- end }}
{{- if not .Values.cql.contactPoints }}
{{- fail "cql.contactPoints has to be given: host:port of some ScyllaDB or other CQL nodes" }}
{{- end }}

{{- $ours := "^(bootstrap\\.servers|client\\.id|group\\.id|group\\.instance\\.id|transactional\\.id|isolation\\.level|enable\\.auto\\.commit)$" }}
{{- $elsewhere := "^(security\\.protocol|sasl\\.mechanisms?|sasl\\.username|ssl\\.(ca|certificate|key)\\.location)$" }}
{{- $secret := "password|passphrase|secret|\\.pem$|oauthbearer\\.config$" }}
{{- range $key, $_ := .Values.kafka.settings }}
{{- if regexMatch $ours $key }}
{{- fail (printf "kafka.settings.%s is not to be set: Millrace sets it itself" $key) }}
{{- else if regexMatch $elsewhere $key }}
{{- fail (printf "kafka.settings.%s follows from kafka.tls and kafka.sasl: set those" $key) }}
{{- else if regexMatch $secret $key }}
{{- fail (printf "kafka.settings.%s would be readable in the release: put it into the Secret that kafka.settingsSecret names" $key) }}
{{- end }}
{{- end }}

{{- with .Values.api }}
{{- if ne (empty .jwt.issuer) (empty .jwt.audience) }}
{{- fail "api.jwt.issuer and api.jwt.audience belong together: give both, or neither" }}
{{- end }}
{{- if and (or .tokens.secret .jwt.issuer) (not .tls.secret) (ne $.Values.service.type "ClusterIP") }}
{{- fail "service.type is not ClusterIP, and without api.tls tokens would travel in the clear: give api.tls.secret" }}
{{- end }}
{{- if and (not (or .tokens.secret .jwt.issuer)) (ne $.Values.service.type "ClusterIP") }}
{{- fail "service.type is not ClusterIP, and nothing says who may use the API: give api.tokens or api.jwt" }}
{{- end }}
{{- end }}

{{- range $what, $ca := dict "kafka.tls.ca" .Values.kafka.tls.ca "cql.tls.ca" .Values.cql.tls.ca "api.tls.ca" .Values.api.tls.ca }}
{{- if and $ca.secret $ca.configMap }}
{{- fail (printf "%s is in a Secret or in a ConfigMap, not in both: give %s.secret or %s.configMap" $what $what $what) }}
{{- end }}
{{- end }}
{{- if and .Values.kafka.sasl.mechanism (not .Values.kafka.sasl.secret) }}
{{- fail "kafka.sasl.secret has to be given with kafka.sasl.mechanism: the Secret that holds user and password" }}
{{- end }}

{{- $all := dict "processors.extraEnv" .Values.processors.extraEnv "workers.defaults.extraEnv" .Values.workers.defaults.extraEnv }}
{{- range $name, $group := .Values.workers.groups }}
{{- with $group.extraEnv }}{{ $_ := set $all (printf "workers.groups.%s.extraEnv" $name) . }}{{ end }}
{{- end }}
{{- range $where, $environment := $all }}
{{- range $environment }}
{{- if and (hasKey . "value") (regexMatch "(?i)password|secret|token|credential" .name) }}
{{- fail (printf "%s: %s looks like a secret: give it by valueFrom.secretKeyRef" $where .name) }}
{{- end }}
{{- end }}
{{- end }}

{{- with .Values.processors }}
{{- if lt (int .terminationGracePeriodSeconds) (add .preStopSeconds 5) }}
{{- fail "processors.preStopSeconds leaves less than 5 s of processors.terminationGracePeriodSeconds for the hand-over of the partitions" }}
{{- end }}
{{- end }}

{{- $scaled := dict "processors" .Values.processors }}
{{- range $name, $group := .Values.workers.groups }}
{{- $_ := set $scaled (printf "workers.groups.%s" $name) (mergeOverwrite (deepCopy $.Values.workers.defaults) (deepCopy $group)) }}
{{- end }}
{{- range $where, $values := $scaled }}
{{- with $values }}
{{- if and .autoscaling.enabled .keda.enabled }}
{{- fail (printf "%s.autoscaling and %s.keda cannot both be enabled: KEDA makes an autoscaler of its own" $where $where) }}
{{- end }}
{{- if and .keda.enabled (not .keda.prometheus) }}
{{- fail (printf "%s.keda.prometheus has to be given: the address at which KEDA asks for the metrics" $where) }}
{{- end }}
{{- range $what, $scaling := dict "autoscaling" .autoscaling "keda" .keda }}
{{- if and $scaling.enabled (gt (int $scaling.minReplicas) (int $scaling.maxReplicas)) }}
{{- fail (printf "%s.%s.minReplicas is more than maxReplicas" $where $what) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- with .Values.processors }}
{{- if le (int .startupSeconds) (int .waitSeconds) }}
{{- fail "processors.startupSeconds has to be more than processors.waitSeconds: else pods that wait for a server are killed" }}
{{- end }}
{{- $most := ternary .autoscaling.maxReplicas (ternary .keda.maxReplicas .replicas .keda.enabled) .autoscaling.enabled | int }}
{{- if gt $most (int $.Values.topics.partitions) }}
{{- fail (printf "%d processors are more than the %d of topics.partitions: those beyond would own nothing" $most (int $.Values.topics.partitions)) }}
{{- end }}
{{- end }}
{{- if le (int .Values.topics.timeoutSeconds) (int .Values.topics.waitSeconds) }}
{{- fail "topics.timeoutSeconds has to be more than topics.waitSeconds" }}
{{- end }}
{{- end }}
