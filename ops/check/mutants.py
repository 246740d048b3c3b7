"""The chart, broken on purpose in one place: each rule of `content` must see what it is for. A rule that never fails checks nothing."""

import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import content
from render import Refused

# The rule that must fail; the template; what is written there, and what instead.
MUTANTS = [
    ("pods_have_no_rights", "_pod.tpl", "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false"),
    ("pods_have_no_rights", "_pod.tpl", "automountServiceAccountToken: false", "automountServiceAccountToken: true"),
    ("pods_have_no_rights", "_pod.tpl", "drop: [ALL]", "drop: [NET_RAW]"),
    ("pods_are_bounded", "topics-job.yaml", "{{- with .resources }}", "{{- with .noResources }}"),
    ("selectors_select_what_they_mean", "processors/services.yaml", '"component" "processor"', '"component" "proc"'),
    ("selectors_select_what_they_mean", "_pod.tpl", 'selector: {{ include "millrace.selects" . }}', 'selector: {{ include "millrace.selects" (omit . "group") }}'),
    ("objects_have_names_of_their_own", "workers/deployments.yaml", '"%s-worker-%s" (include "millrace.fullname" $) $group', '"%s-worker" (include "millrace.fullname" $)'),
    ("pods_do_not_change_with_the_chart_alone", "workers/deployments.yaml", 'include "millrace.podLabels" $of', 'include "millrace.labels" $of'),
    ("processors_keep_their_ordinal", "processors/statefulset.yaml", "apps.kubernetes.io/pod-index", "app.kubernetes.io/name"),
    ("processors_reach_each_other", "processors/services.yaml", "publishNotReadyAddresses: true", "publishNotReadyAddresses: false"),
    ("processors_reach_each_other", "processors/statefulset.yaml", "MILLRACE_HTTP\n              value: 0.0.0.0:8080", "MILLRACE_HTTP\n              value: 0.0.0.0:8081"),
    ("health_is_asked_for", "processors/statefulset.yaml", "path: /readyz", "path: /livez"),
    ("processors_reach_each_other", "processors/statefulset.yaml", 'scheme: {{ include "millrace.api.scheme" $ | upper }}', "scheme: HTTP"),
    ("somebody_says_who_may_use_the_api", "_connection.tpl", "{{- if not (or .tokens.secret .jwt.issuer) }}", "{{- if .never }}"),
    ("health_is_asked_for", "processors/statefulset.yaml", "(add .startupSeconds 4) 5", "(add .startupSeconds 4) 50"),
    ("health_is_asked_for", "processors/statefulset.yaml", "with .preStopSeconds", "with .never"),
    ("topics_come_first", "topics-job.yaml", "helm.sh/hook: pre-install,pre-upgrade", "helm.sh/hook: pre-install"),
    ("topics_come_first", "topics-job.yaml", "millrace.hookServiceAccountName", "millrace.serviceAccountName"),
    ("hooks_are_tests_or_come_first", "tests/doctor.yaml", "helm.sh/hook: test", "helm.sh/hook: post-install"),
    ("all_reach_the_same_servers", "workers/deployments.yaml", '{{- include "millrace.env.kafka" $ | nindent 12 }}', "- { name: MILLRACE_BOOTSTRAP, value: other:9092 }"),
    ("files_that_are_named_are_mounted", "_connection.tpl", '{{- include "millrace.volume.ca" (dict "name" "kafka-ca" "ca" .tls.ca) }}', ""),
    ("secrets_are_named_and_never_shown", "_connection.tpl", "MILLRACE_KAFKA_SET_SASL_PASSWORD\n  valueFrom: { secretKeyRef: { name: {{ .sasl.secret }}, key: {{ .sasl.passwordKey }} } }", "MILLRACE_KAFKA_SET_SASL_PASSWORD\n  value: x"),
    ("whoever_scales_scales_alone", "processors/statefulset.yaml", "{{- if not (or .autoscaling.enabled .keda.enabled) }}", "{{- if true }}"),
    ("whoever_scales_scales_alone", "_pod.tpl", "- type: prometheus", "- type: kafka"),
    ("everything_is_scraped_once", "processors/services.yaml", 'millrace.io/scraped: "true"', 'millrace.io/scraped: "false"'),
    ("links_of_alerts_lead_somewhere", "monitoring/prometheusrules.yaml", 'replace "https://grafana.example.com" .', 'replace "https://grafana.example.com/d/millrace-fleet" .'),
    ("the_network_is_closed_but_for_what_is_needed", "networkpolicies.yaml", "- 169.254.0.0/16", "- 169.254.1.0/24"),
    ("the_network_is_closed_but_for_what_is_needed", "networkpolicies.yaml", "helm.sh/hook: pre-install,pre-upgrade", "example.com/hook: none"),
]


def check(chart, values, problems):
    """Answers how many there are."""
    with ThreadPoolExecutor(2) as pool:
        for problem in pool.map(lambda it: _survives(chart, values, *it), MUTANTS):
            if problem:
                problems.add(*problem)
    unproven = {it.__name__ for it in content.RULES} - {it[0] for it in MUTANTS}
    problems.unless(not unproven, "mutants", f"nothing shows that these can fail: {', '.join(sorted(unproven))}")
    return len(MUTANTS)


def _survives(chart, values, rule, template, old, new):
    where = f"chart with {new!r} in {template}"
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "millrace"
        shutil.copytree(chart.folder, folder)
        file = folder / "templates" / template
        text = file.read_text()
        if old not in text:
            return where, f"there is no {old!r} to change"
        file.write_text(text.replace(old, new))
        (function,) = [it for it in content.RULES if it.__name__ == rule]
        for values_file in values:
            try:
                objects = chart.objects(values_file, folder=folder)
            except Refused as refused:
                return where, f"is refused by helm already: {refused}"
            try:
                if not all(holds for holds, _ in function(objects)):
                    return None
            except (KeyError, ValueError, IndexError, TypeError):
                return None
        return where, f"is not seen by {rule}"
