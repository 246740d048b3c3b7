{{/* What all pods have in common. */}}

{{/* Nobody, with nothing: no root, no token, no capability, nothing to write to but /tmp. */}}
{{- define "millrace.pod.security" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: { type: RuntimeDefault }
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "millrace.container.security" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: { drop: [ALL] }
{{- end }}

{{/* Where pods run. dict "root" "values" "component" ("group") */}}
{{- define "millrace.pod.placement" -}}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.topologySpread }}
topologySpreadConstraints:
  {{- range . }}
  - topologyKey: {{ .topologyKey }}
    maxSkew: {{ .maxSkew }}
    whenUnsatisfiable: {{ .whenUnsatisfiable }}
    labelSelector: {{ include "millrace.selects" $ }}
  {{- end }}
{{- end }}
{{- end }}

{{/* --name=value for each, in the order of their names. true stands alone, false is left out. */}}
{{- define "millrace.options" -}}
{{- range $name, $value := . }}
{{- if kindIs "bool" $value }}
{{- if $value }}
- --{{ $name }}
{{- end }}
{{- else }}
{{- /* a whole number of YAML is a float64 here, and a large one would be written with an exponent */}}
- {{ printf "--%s=%s" $name (kindIs "float64" $value | ternary ($value | int64 | toString) ($value | toString)) | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* dict "root" "values" "component" ("group") "name" */}}
{{- define "millrace.podDisruptionBudget" -}}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  labels: {{- include "millrace.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ .values.podDisruptionBudget.maxUnavailable }}
  # A node can be drained of pods that wait for a server which is away.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector: {{ include "millrace.selects" . }}
{{- end }}

{{/* By CPU. dict "root" "values" "component" ("group") "name" "kind" */}}
{{- define "millrace.autoscaler" -}}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ .name }}
  labels: {{- include "millrace.labels" . | nindent 4 }}
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: {{ .kind }}, name: {{ .name }} }
  {{- with .values.autoscaling }}
  minReplicas: {{ .minReplicas }}
  maxReplicas: {{ .maxReplicas }}
  metrics:
    - type: Resource
      resource:
        name: cpu
        target: { type: Utilization, averageUtilization: {{ .targetCPUUtilizationPercentage }} }
  behavior:
    scaleDown:
      stabilizationWindowSeconds: {{ .scaleDownStabilizationSeconds }}
      policies: [{ type: Pods, value: 1, periodSeconds: 60 }]
  {{- end }}
{{- end }}

{{/* By what waits, with KEDA and Prometheus. Not by the lag of a consumer group: what a processor has read is in its changelog, and no offset of
     its inbox is committed. dict "root" "values" "component" ("group") "name" "kind" "service" "records" "seconds", the last two names of metrics */}}
{{- define "millrace.scaledObject" -}}
{{- $ := . }}
{{- with .values.keda -}}
{{- $series := .matchers | default (printf "namespace=%q,service=%q" $.root.Release.Namespace $.service) -}}
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: {{ $.name }}
  labels: {{- include "millrace.labels" $ | nindent 4 }}
spec:
  scaleTargetRef: { apiVersion: apps/v1, kind: {{ $.kind }}, name: {{ $.name }} }
  minReplicaCount: {{ .minReplicas }}
  maxReplicaCount: {{ .maxReplicas }}
  pollingInterval: {{ .pollingIntervalSeconds }}
  # Without Prometheus there are as many as before, and at least the fewest.
  fallback: { failureThreshold: 4, replicas: {{ .minReplicas }}, behavior: currentReplicasIfHigher }
  advanced:
    horizontalPodAutoscalerConfig:
      name: {{ $.name }}
      behavior:
        scaleDown:
          stabilizationWindowSeconds: {{ .scaleDownStabilizationSeconds }}
          policies: [{ type: Pods, value: 1, periodSeconds: 60 }]
  triggers:
    - type: prometheus
      name: records
      metricType: AverageValue
      metadata:
        serverAddress: {{ .prometheus | quote }}
        query: {{ printf "sum(%s{%s})" $.records $series | quote }}
        threshold: {{ .recordsPerReplica | int64 | toString | quote }}
      {{- with .authentication }}
      authenticationRef: { name: {{ . }} }
      {{- end }}
    {{- if gt (int .secondsBehind) 0 }}
    - type: prometheus
      name: seconds
      # Of all, not of each: twice as late is twice as many.
      metricType: Value
      metadata:
        serverAddress: {{ .prometheus | quote }}
        query: {{ printf "max(%s{%s})" $.seconds $series | quote }}
        threshold: {{ .secondsBehind | int64 | toString | quote }}
      {{- with .authentication }}
      authenticationRef: { name: {{ . }} }
      {{- end }}
    {{- end }}
{{- end }}
{{- end }}
