#!/usr/bin/env python3
"""The Grafana dashboards, in one place: what is shown, by which query, and which alert it belongs to.

    ops/grafana/dashboards.py           # writes the JSON files beside this one
    ops/grafana/dashboards.py --check   # fails when they are not what it would write

What the metrics mean is in ops/METRICS.md. Panels carry links to the runbook's sections of the alerts that they explain; change DOCS to
where your people read it, or the variable `docs` of a dashboard.
"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
DOCS = "https://git.example.com/millrace/blob/main"

# What every query of processors is narrowed by.
FLEET = 'namespace=~"$namespace", job=~"$job"'
# `$__rate_interval` is four scrapes at least, so that a rate has two samples also when one is missing.
RATE = "$__rate_interval"

COLUMNS = 24
HEIGHT = 8


def rate(metric, labels=FLEET):
    return f"rate({metric}{{{labels}}}[{RATE}])"


def per_second(metric, by="", labels=FLEET):
    """The rate of a counter, summed up by these labels."""
    return f"sum by ({by}) ({rate(metric, labels)})"


def quantile(share, metric, by="", labels=FLEET):
    """A quantile of a histogram, by these labels."""
    by = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({by}) ({rate(metric + '_bucket', labels)}))"


def quantiles(metric, by="", labels=FLEET, legend=""):
    """Median and 99 %."""
    suffix = f" {legend}" if legend else ""
    return [
        (quantile(0.5, metric, by, labels), "p50" + suffix),
        (quantile(0.99, metric, by, labels), "p99" + suffix),
    ]


class Panel:
    """One picture. `queries` are pairs of an expression and a legend; `alerts` are those that it explains."""

    def __init__(self, title, queries, unit="short", about="", alerts=(), width=8, kind="timeseries", red=None, stacked=False):
        self.title, self.queries, self.unit, self.about = title, queries, unit, about
        self.alerts, self.width, self.kind, self.red, self.stacked = alerts, width, kind, red, stacked

    def json(self, number, x, y):
        steps = [{"color": "green", "value": None}]
        if self.red is not None:
            steps.append({"color": "red", "value": self.red})
        defaults = {"unit": self.unit, "thresholds": {"mode": "absolute", "steps": steps}}
        options = {}
        if self.kind == "timeseries":
            defaults["min"] = 0
            defaults["custom"] = {
                "fillOpacity": 10,
                "lineWidth": 1,
                "showPoints": "never",
                "stacking": {"mode": "normal" if self.stacked else "none"},
            }
            if self.red is not None:
                defaults["custom"]["thresholdsStyle"] = {"mode": "dashed"}
            options = {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}
        elif self.kind == "stat":
            options = {
                "colorMode": "value",
                "graphMode": "area",
                "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
                "textMode": "auto",
            }
        elif self.kind == "heatmap":
            options = {"calculate": False, "yAxis": {"unit": self.unit}, "color": {"mode": "scheme", "scheme": "Blues", "steps": 32}}
        targets = [
            {
                "datasource": {"type": "prometheus", "uid": "${datasource}"},
                "refId": chr(ord("A") + index),
                "expr": expr,
                "legendFormat": legend,
                "range": True,
                **({"format": "heatmap"} if self.kind == "heatmap" else {}),
            }
            for index, (expr, legend) in enumerate(self.queries)
        ]
        links = [
            {"title": f"Runbook: {alert}", "url": f"$docs/ops/RUNBOOK.md#{alert.lower()}", "targetBlank": True}
            for alert in self.alerts
        ]
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.about,
            "datasource": {"type": "prometheus", "uid": "${datasource}"},
            "gridPos": {"h": HEIGHT if self.kind != "stat" else 4, "w": self.width, "x": x, "y": y},
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "options": options,
            "targets": targets,
            **({"links": links} if links else {}),
        }


class AlertList:
    """The alerts that fire now."""

    width = 24

    def json(self, number, x, y):
        return {
            "id": number,
            "type": "alertlist",
            "title": "Alerts",
            "description": "Each has a link to its section of the runbook.",
            "gridPos": {"h": 5, "w": self.width, "x": x, "y": y},
            "options": {
                "alertName": "Millrace",
                "datasource": "${datasource}",
                "maxItems": 20,
                "sortOrder": 1,
                "stateFilter": {"firing": True, "pending": True, "noData": False, "normal": False, "error": True},
            },
        }


def stat(title, query, unit="short", red=None, about="", alerts=(), width=4):
    return Panel(title, [(query, "")], unit, about, alerts, width, "stat", red)


def heatmap(title, metric, about="", labels=FLEET, width=8):
    return Panel(title, [(per_second(metric + "_bucket", "le", labels), "{{le}}")], "s", about, (), width, "heatmap")


def variable(name, query, label=None, multi=True):
    """Chosen by whoever looks; all, unless they do."""
    return {
        "name": name,
        "label": label or name,
        "type": "query",
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 3,
        "multi": multi,
        "includeAll": True,
        # Also what has no such label at all.
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def dashboard(name, title, about, variables, rows):
    panels, y, number = [], 0, 0
    for heading, contents in rows:
        number += 1
        panels.append({"id": number, "type": "row", "title": heading, "collapsed": False, "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": y}, "panels": []})
        x, y, tallest = 0, y + 1, 0
        for panel in contents:
            number += 1
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            made = panel.json(number, x, y)
            panels.append(made)
            x += panel.width
            tallest = max(tallest, made["gridPos"]["h"])
        y += tallest
    datasource = {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "current": {}, "refresh": 1}
    docs = {"name": "docs", "type": "constant", "hide": 2, "query": DOCS, "current": {"text": DOCS, "value": DOCS}}
    return {
        "uid": f"millrace-{name}",
        "title": f"Millrace: {title}",
        "description": about,
        "tags": ["millrace"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [
            {"title": "Millrace", "type": "dashboards", "tags": ["millrace"], "asDropdown": False, "includeVars": True, "keepTime": True},
            {"title": "Runbook", "type": "link", "icon": "doc", "url": "$docs/ops/RUNBOOK.md", "targetBlank": True},
            {"title": "Metrics", "type": "link", "icon": "doc", "url": "$docs/ops/METRICS.md", "targetBlank": True},
        ],
        "templating": {"list": [datasource, *variables, docs]},
        "panels": panels,
    }


NAMESPACE = variable("namespace", "label_values(millrace_build_info, namespace)")
JOB = variable("job", 'label_values(millrace_partitions{namespace=~"$namespace"}, job)', "fleet")


def fleet():
    members = [
        Panel("Partitions owned and served", [(f"millrace_partitions_owned{{{FLEET}}}", "{{instance}} owns"), (f"millrace_partitions_active{{{FLEET}}}", "{{instance}} serves")],
              about="Less served than owned: they are being restored.", alerts=["MillraceNotReady", "MillraceRestoreStuck"]),
        Panel("Partitions that moved", [(f"sum by (how) (increase(millrace_partitions_moved_total{{{FLEET}}}[{RATE}]))", "{{how}}")],
              about="`handed_over` is an upgrade; `lost` is a member that did not answer.", alerts=["MillracePartitionsLost"]),
        Panel("Takeover", [*quantiles("millrace_partition_acquire_duration_seconds"), (quantile(0.99, "millrace_partition_acquire_phase_seconds", "phase"), "p99 {{phase}}")], "s",
              about="From being assigned a partition until it serves, and the parts of that."),
        Panel("Partitions restored in place", [(f"sum by (why) (increase(millrace_partitions_renewed_total{{{FLEET}}}[{RATE}]))", "{{why}}")],
              about="Without having gone to another member."),
        Panel("Changelog entries replayed", [(per_second("millrace_replayed_entries_total", "instance"), "{{instance}}")], "ops", about="By restores."),
        Panel("Workflow versions known", [(f"millrace_definitions{{{FLEET}}}", "{{instance}}"), (f"sum by (instance) (millrace_definitions_rejected_total{{{FLEET}}})", "{{instance}} refused")],
              about="All members should know the same.", alerts=["MillraceDefinitionsDiffer", "MillraceDefinitionsRejected"]),
        Panel("Releases", [(f"count by (version) (millrace_build_info{{{FLEET}}})", "{{version}}")], about="Processes, by what they run."),
        Panel("Running since", [(f"time() - process_start_time_seconds{{{FLEET}}}", "{{instance}}")], "s", alerts=["MillraceRestarting", "MillraceTargetDown"]),
        Panel("Clocks that disagree", [(f"sum by (instance) (millrace_clock_behind_total{{{FLEET}}})", "{{instance}}")],
              about="Restores that found entries of the future, since the process started.", alerts=["MillraceClockBehind"]),
        Panel("Processor cores", [(rate("process_cpu_seconds_total"), "{{instance}}")], about="In use, by process."),
        Panel("Memory", [(f"process_resident_memory_bytes{{{FLEET}}}", "{{instance}}")], "bytes"),
        Panel("Threads and open files", [(f"process_threads{{{FLEET}}}", "{{instance}} threads"), (f"process_open_fds{{{FLEET}}}", "{{instance}} files")]),
        Panel("Spans of traces", [(per_second("millrace_spans_exported_total", "instance"), "{{instance}} sent"), (per_second("millrace_spans_dropped_total", "reason"), "dropped: {{reason}}")], "ops",
              about="With `--otlp`. What is dropped is a hole in traces, and nothing else."),
    ]
    return dashboard("fleet", "fleet", "Whether the fleet is well, and what it costs.", [NAMESPACE, JOB], [
        ("Now", [
            stat("Members that are ready", f"sum(millrace_ready{{{FLEET}}})", alerts=["MillraceNotReady"]),
            stat("Partitions served by nobody", f"sum(max by (namespace, job) (millrace_partitions{{{FLEET}}}) - sum by (namespace, job) (millrace_partitions_active{{{FLEET}}}))", red=1, alerts=["MillracePartitionsWithoutOwner"]),
            stat("Records that wait", f"sum(millrace_partition_backlog_records{{{FLEET}}})", red=10000, alerts=["MillraceBacklogGrowing"]),
            stat("The oldest of them", f"max(millrace_partition_backlog_seconds{{{FLEET}}})", "s", red=60, alerts=["MillraceBacklogOld"]),
            stat("Events handled", f"sum({rate('millrace_record_latency_seconds_count', FLEET + ', source=' + chr(34) + 'events' + chr(34))})", "ops"),
            stat("Transactions that fail", f"sum({rate('millrace_transactions_total', FLEET + ', outcome!=' + chr(34) + 'committed' + chr(34))}) / sum({rate('millrace_transactions_total')})", "percentunit", red=0.05, alerts=["MillraceTransactionsFailing"]),
            AlertList(),
        ]),
        ("Work", [
            Panel("Instances", [(f"sum({rate('millrace_instances_started_total')})", "started"), (per_second("millrace_instances_ended_total", "status"), "{{status}}")], "ops",
                  about="Started and ended, a second.", alerts=["MillraceInstancesFaulting"]),
            Panel("Records handled", [(per_second("millrace_record_latency_seconds_count", "source"), "{{source}}"), (f"sum({rate('millrace_records_forwarded_total')})", "forwarded")], "ops",
                  about="By where they were read. What is forwarded is handled twice: its producer does not use murmur2."),
            Panel("Steps and events", [(f"sum({rate('millrace_steps_total')})", "tasks entered"), (f"sum({rate('millrace_events_total')})", "events written"), (f"sum({rate('millrace_timers_fired_total')})", "timers fired")], "ops"),
        ]),
        ("Latency", [
            Panel("A record, end to end", quantiles("millrace_record_latency_seconds", "source", legend="{{source}}"), "s",
                  about="From a record's own time to the commit of all that it has caused.", alerts=["MillraceRecordsSlow"], red=5),
            Panel("A transaction", quantiles("millrace_transaction_duration_seconds"), "s", alerts=["MillraceTransactionsSlow"], red=1),
            heatmap("Events, end to end", "millrace_record_latency_seconds", labels=FLEET + ', source="events"'),
            Panel("Records that wait", [(f"sum by (instance) (millrace_partition_backlog_records{{{FLEET}}})", "{{instance}}")], alerts=["MillraceBacklogGrowing"],
                  about="Of all partitions of a member."),
            Panel("Age of the next record", [(f"max by (instance) (millrace_partition_backlog_seconds{{{FLEET}}})", "{{instance}}")], "s", alerts=["MillraceBacklogOld"], red=60,
                  about="Of the partition that is furthest behind."),
            Panel("Timers late", quantiles("millrace_timer_lateness_seconds"), "s", alerts=["MillraceTimersLate"], red=60),
        ]),
        ("Brokers and store", [
            Panel("Transactions", [(per_second("millrace_transactions_total", "outcome"), "{{outcome}}")], "ops", alerts=["MillraceTransactionsFailing"]),
            Panel("Operations on the store", [(per_second("millrace_store_duration_seconds_count", "operation"), "{{operation}}")], "ops"),
            Panel("Their duration", [(quantile(0.99, "millrace_store_duration_seconds", "operation"), "p99 {{operation}}")], "s", alerts=["MillraceStoreSlow"], red=1),
            Panel("Errors of the store", [(per_second("millrace_store_errors_total", "operation"), "{{operation}}")], "ops", alerts=["MillraceStoreFailing"]),
            Panel("Rows written", [(per_second("millrace_store_rows_written_total", "kind"), "{{kind}}")], "ops", stacked=True),
            Panel("Found in memory", [(f"1 - sum({rate('millrace_cache_misses_total')}) / sum({rate('millrace_cache_lookups_total')})", "share of records")], "percentunit",
                  about="The others wait for the store."),
        ]),
        ("Members", members),
    ])


def workflow():
    own = FLEET + ', workflow=~"$workflow"'
    chosen = variable("workflow", f"label_values(millrace_instances_started_total{{{FLEET}}}, workflow)")
    return dashboard("workflow", "workflow", "What instances do, and what needs a person.", [NAMESPACE, JOB, chosen], [
        ("Instances", [
            Panel("Started", [(per_second("millrace_instances_started_total", "workflow", own), "{{workflow}}")], "ops"),
            Panel("Ended", [(per_second("millrace_instances_ended_total", "status", own), "{{status}}")], "ops", alerts=["MillraceInstancesFaulting"]),
            Panel("Share that faults", [(f"sum by (workflow) ({rate('millrace_instances_ended_total', own + ', status=' + chr(34) + 'faulted' + chr(34))}) / sum by (workflow) ({rate('millrace_instances_ended_total', own)})", "{{workflow}}")],
                  "percentunit", alerts=["MillraceInstancesFaulting"], red=0.1),
            Panel("Duration", quantiles("millrace_instance_duration_seconds", "workflow", own, "{{workflow}}"), "s", about="From the start to the end, people and timers included.", width=12),
            heatmap("Duration", "millrace_instance_duration_seconds", labels=own, width=12),
        ]),
        ("What needs a person", [
            Panel("Incidents", [(f"sum by (kind) (increase(millrace_incidents_total{{{FLEET}}}[{RATE}]))", "{{kind}}")], about="Of all workflows.", alerts=["MillraceIncidents"]),
            Panel("Dead letters", [(f"sum by (reason) (increase(millrace_dead_letters_total{{{FLEET}}}[{RATE}]))", "{{reason}}")], about="Of all workflows.", alerts=["MillraceDeadLetters"]),
            Panel("Set aside", [(f"sum(millrace_partition_instances_quarantined{{{FLEET}}})", "now"), (f"sum(millrace_instances_quarantined_total{{{FLEET}}})", "since the processors started")],
                  about="Instances whose log and the code disagree.", alerts=["MillraceQuarantined"], red=1),
        ]),
        ("Commands", [
            Panel("Accepted", [(per_second("millrace_commands_total", "command"), "{{command}}")], "ops", width=12),
            Panel("Refused", [(per_second("millrace_commands_rejected_total", "command, reason"), "{{command}}: {{reason}}")], "ops", width=12,
                  about="Each refusal is a record on the lifecycle topic."),
        ]),
        ("Events and schedules", [
            Panel("Events without an address", [(f"sum({rate('millrace_events_published_total')})", "published"), (f"sum({rate('millrace_events_delivered_total')})", "delivered, to each listener"), (f"sum({rate('millrace_events_kept_total')})", "kept: nobody listens yet")], "ops"),
            Panel("Topics of yours", [(f"sum({rate('millrace_record_latency_seconds_count', FLEET + ', source=' + chr(34) + 'topic' + chr(34))})", "read"), (f"sum({rate('millrace_records_passed_over_total')})", "passed over"), (per_second("millrace_sources_moved_total", "reason"), "lost: {{reason}}")], "ops",
                  about="Records of topics that definitions listen to.", alerts=["MillraceEventsLost"]),
            Panel("Schedules", [(f"sum({rate('millrace_schedule_starts_total')})", "started"), (f"sum({rate('millrace_schedule_starts_skipped_total')})", "left out")], "ops", alerts=["MillraceSchedulesSkipping"]),
        ]),
    ])


def partition():
    own = FLEET + ', partition=~"$partition"'
    chosen = variable("partition", f"label_values(millrace_partition_serving{{{FLEET}}}, partition)")

    def gauge(title, *metrics, **more):
        many = len(metrics) > 1
        queries = [(f"max by (partition) ({metric}{{{own}}})", "{{partition}}" + (f" {legend}" if many else "")) for metric, legend in metrics]
        return Panel(title, queries, **more)

    return dashboard("partition", "partition", "How far partitions are behind, what they hold, and what a takeover would cost.", [NAMESPACE, JOB, chosen], [
        ("State", [
            gauge("Serves", ("millrace_partition_serving", ""), alerts=["MillraceRestoreStuck"], about="1 while it does."),
            gauge("Cannot be restored", ("millrace_partition_failed", ""), alerts=["MillracePartitionFailed"], red=1),
            gauge("Instances set aside", ("millrace_partition_instances_quarantined", ""), alerts=["MillraceQuarantined"], red=1),
        ]),
        ("Backlog", [
            gauge("Records that wait", ("millrace_partition_backlog_records", ""), alerts=["MillraceBacklogGrowing"]),
            gauge("Age of the next one", ("millrace_partition_backlog_seconds", ""), unit="s", alerts=["MillraceBacklogOld"], red=60),
            gauge("Records in memory", ("millrace_partition_inbox_records", ""), about="Reading pauses at `--inbox-max`."),
        ]),
        ("Memory", [
            gauge("Instances in memory", ("millrace_partition_instances_cached", "")),
            gauge("Their size", ("millrace_partition_cache_bytes", ""), unit="bytes"),
            gauge("Instances that the store lacks", ("millrace_partition_instances_dirty", ""), alerts=["MillraceSnapshotsBehind"]),
        ]),
        ("Behind the store", [
            gauge("Age of the oldest change that it lacks", ("millrace_partition_snapshot_age_seconds", ""), unit="s", alerts=["MillraceSnapshotsBehind"], red=300),
            gauge("Age of the checkpoint", ("millrace_partition_checkpoint_age_seconds", ""), unit="s", about="0 when nothing has come after it."),
            gauge("Changelog behind the checkpoint", ("millrace_partition_tail_entries", "entries"), ("millrace_partition_tail_records", "offsets"), about="What a restore would read."),
            gauge("Its size", ("millrace_partition_tail_bytes", ""), unit="bytes"),
            Panel("Takeover of any partition", [*quantiles("millrace_partition_acquire_duration_seconds"), (quantile(0.99, "millrace_partition_acquire_phase_seconds", "phase"), "p99 {{phase}}")], "s", alerts=["MillraceRestoreStuck"]),
            Panel("Takeovers", [(f"sum(increase(millrace_partition_acquire_duration_seconds_count{{{FLEET}}}[{RATE}]))", "of all partitions")]),
        ]),
        ("Timers", [
            gauge("Behind", ("millrace_partition_timers_behind_seconds", ""), unit="s", alerts=["MillraceTimersLate"], red=60),
            gauge("In memory", ("millrace_partition_timers_near", "due soon"), ("millrace_partition_timers_unindexed", "not in the store yet")),
            Panel("Fired, and pages read", [(f"sum({rate('millrace_timers_fired_total')})", "fired"), (f"sum({rate('millrace_timer_pages_loaded_total')})", "pages")], "ops", about="Of all partitions."),
        ]),
        ("Tasks", [
            Panel("With workers", [(f"sum by (partition, queue) (millrace_partition_tasks_open{{{own}}})", "{{partition}} {{queue}}")], about="Of those that began since the partition is here.", width=12),
            Panel("The oldest of them", [(f"max by (partition, queue) (millrace_partition_task_age_seconds{{{own}}})", "{{partition}} {{queue}}")], "s", width=12),
        ]),
    ])


def workers():
    # Processors and workers have jobs of their own; the queue is what they share.
    own = 'namespace=~"$namespace", queue=~"$queue"'
    chosen = variable("queue", 'label_values({__name__=~"millrace_tasks_dispatched_total|millrace_worker_ready", namespace=~"$namespace"}, queue)')

    def total(metric, legend, by=""):
        return (per_second(metric, by, own), legend)

    processes = f'* on (namespace, job, instance) group_left () max by (namespace, job, instance) (millrace_worker_ready{{{own}}} * 0 + 1)'
    return dashboard("workers", "workers", "Tasks from their dispatch to their answer, as processors and as workers see them.", [NAMESPACE, chosen], [
        ("As processors see them", [
            Panel("Sent and ended", [total("millrace_tasks_dispatched_total", "{{queue}} sent", "queue"), total("millrace_tasks_ended_total", "{{queue}} {{outcome}}", "queue, outcome")], "ops", alerts=["MillraceQueueUnserved"], width=12),
            Panel("From entering a task to its answer", quantiles("millrace_task_duration_seconds", "queue", own, "{{queue}}"), "s", width=12),
            Panel("Depth of the queue", [(f"sum by (queue) (millrace_partition_tasks_open{{{own}}})", "{{queue}}")], about="Sent and not answered, of those that began since their partitions are where they are.", width=12),
            Panel("Age of the oldest", [(f"max by (queue) (millrace_partition_task_age_seconds{{{own}}})", "{{queue}}")], "s", width=12),
        ]),
        ("As workers see them", [
            Panel("Ready", [(f"sum by (queue) (millrace_worker_ready{{{own}}})", "{{queue}}")], about="Workers that serve their queue.", alerts=["MillraceWorkerNotReady"]),
            Panel("Done, by outcome", [total("millrace_worker_tasks_total", "{{outcome}}", "outcome")], "ops", stacked=True, alerts=["MillraceWorkerFailing"]),
            Panel("Share that fails", [(f"sum by (function) ({rate('millrace_worker_tasks_total', own + ', outcome!=' + chr(34) + 'completed' + chr(34))}) / (sum by (function) ({rate('millrace_worker_tasks_total', own)}) > 0)", "{{function}}")], "percentunit", alerts=["MillraceWorkerFailing"], red=0.1),
            Panel("A function's duration", quantiles("millrace_worker_task_duration_seconds", "function", own, "{{function}}"), "s"),
            Panel("Waiting before that", quantiles("millrace_worker_task_wait_seconds", "queue", own, "{{queue}}"), "s", about="In Kafka, and for room in the worker."),
            Panel("Places taken", [(f"sum by (queue) (millrace_worker_tasks_running{{{own}}}) / sum by (queue) (millrace_worker_concurrency{{{own}}})", "{{queue}}")], "percentunit", alerts=["MillraceWorkersFull"], red=0.95),
            Panel("Tasks that are not done", [(f"sum by (queue) (millrace_worker_queue_lag_records{{{own}}})", "{{queue}}")], about="In Kafka and in the workers."),
            Panel("The oldest in a worker", [(f"max by (queue, instance) (millrace_worker_queue_age_seconds{{{own}}})", "{{queue}} {{instance}}")], "s", alerts=["MillraceWorkerBehind"], red=900),
            Panel("Partitions assigned", [(f"sum by (queue, instance) (millrace_worker_partitions_assigned{{{own}}})", "{{queue}} {{instance}}")], about="0: there are more workers than partitions."),
            Panel("Received", [total("millrace_worker_tasks_received_total", "{{queue}}", "queue"), total("millrace_worker_heartbeats_total", "{{queue}} heartbeats", "queue")], "ops"),
            Panel("Defects", [total("millrace_worker_panics_total", "{{queue}} panics", "queue"), total("millrace_worker_undecodable_total", "{{queue}} not readable", "queue")], "ops", alerts=["MillraceWorkerPanics"]),
            Panel("Processor cores", [(f'rate(process_cpu_seconds_total{{namespace=~"$namespace"}}[{RATE}]) {processes}', "{{instance}}")]),
            Panel("Memory", [(f'process_resident_memory_bytes{{namespace=~"$namespace"}} {processes}', "{{instance}}")], "bytes"),
        ]),
    ])


def main():
    files = {HERE / f"{made['uid'].removeprefix('millrace-')}.json": json.dumps(made, indent=2) + "\n" for made in (fleet(), workflow(), partition(), workers())}
    if sys.argv[1:] == ["--check"]:
        stale = [file.name for file, text in files.items() if not file.exists() or file.read_text() != text]
        extra = [file.name for file in HERE.glob("*.json") if file not in files]
        if stale or extra:
            sys.exit(f"not what {Path(__file__).name} would write: {', '.join(stale + extra)}; run it")
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        for file, text in files.items():
            file.write_text(text)


if __name__ == "__main__":
    main()
