"""Whether alerts, their tests, the runbook, the dashboards and the metrics fit together. Run by check.sh.

Prints what does not fit, then the verdict.
"""

import json
import re
import sys
from pathlib import Path

import yaml

HERE = Path(__file__).resolve().parent
OPS = HERE.parent
RUNBOOK, METRICS = OPS / "RUNBOOK.md", OPS / "METRICS.md"
DOCS, GRAFANA = "https://git.example.com/millrace/blob/main/", "https://grafana.example.com/"
SEVERITIES = {"critical", "warning", "info"}

# Labels that whoever scrapes puts on everything, and those of histograms.
SCRAPED = {"namespace", "job", "instance", "le"}
# Of Prometheus itself.
GIVEN = {"up": set(), "ALERTS": {"alertname", "alertstate"}}

METRIC = re.compile(r"\b(?:millrace[_:]|process_)[a-zA-Z0-9_:]+")
SELECTOR = re.compile(r"([a-zA-Z_][a-zA-Z0-9_:]*)\{([^}]*)\}")
GROUPING = re.compile(r"\b(?:by|on|group_left) \(([^)]*)\)")
LABEL = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]*)\s*(?:=~|!~|!=|=)")

problems = []


def problem(text):
    problems.append(text)
    print(f"  {text}")


def metrics():
    """Names of the catalogue, with their labels."""
    rows = re.findall(r"^\| `([a-z_]+)` \| (\w+), \w+ \| ([^|]*) \|", METRICS.read_text(), re.M)
    known = {}
    for name, kind, labels in rows:
        labels = set(re.findall(r"`(\w+)`", labels))
        known[name] = known.get(name, set()) | labels
        if kind == "histogram":
            known.update({f"{name}_{part}": labels for part in ("bucket", "sum", "count")})
    return known


def rules():
    """(recording rules, alerts), as they stand in the files."""
    found = [
        rule
        for file in ("recording.yml", "alerts.yml")
        for group in yaml.safe_load((HERE / file).read_text())["groups"]
        for rule in group["rules"]
    ]
    return [it for it in found if "record" in it], [it for it in found if "alert" in it]


def anchors(page):
    """As Git hosts make them of headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", it.lower()).replace(" ", "-") for it in headings}


def used(expr, known, where):
    """The metrics of an expression. What is not known is a problem, and so are labels that a metric does not have."""
    names = set(METRIC.findall(expr))
    for name in names - known.keys():
        problem(f"{where} uses {name}, which METRICS.md does not have")
    for name, labels in SELECTOR.findall(expr):
        own = known.get(name, GIVEN.get(name))
        if own is None or name == "__name__":
            continue
        for label in set(LABEL.findall(labels)) - own - SCRAPED:
            problem(f"{where} uses the label {label} of {name}, which has none of that name")
    there = SCRAPED.union(*(known.get(it, set()) for it in names))
    for label in groupings(expr) - there:
        problem(f"{where} groups by {label}, which none of its metrics has")
    return names


def groupings(expr):
    return {label for labels in GROUPING.findall(expr) for label in re.findall(r"\w+", labels)}


def check_alerts(alerts, dashboards):
    headings = anchors(RUNBOOK)
    for alert in alerts:
        name, notes = alert["alert"], alert.get("annotations", {})
        if alert.get("labels", {}).get("severity") not in SEVERITIES:
            problem(f"{name} has no severity among {', '.join(sorted(SEVERITIES))}")
        for note in ("summary", "description"):
            if not notes.get(note):
                problem(f"{name} has no {note}")
        if notes.get("runbook_url") != f"{DOCS}ops/RUNBOOK.md#{name.lower()}":
            problem(f"{name}: its runbook_url is not that of its section")
        if name.lower() not in headings:
            problem(f"{name} has no section in RUNBOOK.md")
        url = re.fullmatch(re.escape(GRAFANA) + r"d/([\w-]+)\?(.*)", notes.get("dashboard", ""))
        board = dashboards.get(url[1]) if url else None
        if board is None:
            problem(f"{name}: its dashboard does not exist: {notes.get('dashboard')}")
            continue
        variables = {it["name"] for it in board["templating"]["list"]}
        for variable in re.findall(r"var-(\w+)=", url[2]):
            if variable not in variables:
                problem(f"{name}: its dashboard has no variable {variable}")
    names = {it["alert"] for it in alerts}
    sections = re.findall(r"^## (Millrace\w+)$", RUNBOOK.read_text(), re.M)
    for section in sections:
        if section not in names:
            problem(f"RUNBOOK.md has a section {section}, and there is no such alert")
    explained = {
        link["title"].removeprefix("Runbook: ")
        for board in dashboards.values()
        for panel in board["panels"]
        for link in panel.get("links", [])
    }
    for name in sorted(names ^ explained):
        problem(f"{name} is {'an alert that no panel links to' if name in names else 'linked from a panel, and is no alert'}")


def check_tests(alerts):
    """Each alert must be seen silent and firing."""
    silent, firing = set(), set()
    for file in (HERE / "tests").glob("*.yml"):
        for test in yaml.safe_load(file.read_text())["tests"]:
            for look in test.get("promql_expr_test", []):
                found = re.search(r'ALERTS\{alertname="(\w+)", alertstate="firing"\}', look["expr"])
                if found:
                    (firing if look["exp_samples"] else silent).add(found[1])
    for alert in alerts:
        for state, seen in (("silent", silent), ("firing", firing)):
            if alert["alert"] not in seen:
                problem(f"{alert['alert']} is not tested {state}")


def check_links():
    """Of the pages for people: files and headings that they point to."""
    for page in (RUNBOOK, METRICS, *(OPS / "runbooks").glob("*.md")):
        for link in re.findall(r"\]\(([^)#\s]*)(#[^)\s]*)?\)", page.read_text()):
            file, anchor = link
            target = (page.parent / file).resolve() if file else page
            if file.startswith("http"):
                continue
            if not target.exists():
                problem(f"{page.name} links to {file}, which is not there")
            elif anchor and anchor[1:] not in anchors(target):
                problem(f"{page.name} links to {file}{anchor}, and there is no such heading")


def main():
    records, alerts = rules()
    dashboards = {board["uid"]: board for board in (json.loads(it.read_text()) for it in sorted((OPS / "grafana").glob("*.json")))}
    catalogue = metrics()
    known = {**catalogue, **{it["record"]: groupings(it["expr"]) for it in records}}

    seen = set()
    for rule in records + alerts:
        seen |= used(rule["expr"], known, rule.get("record") or rule["alert"])
    panels = 0
    for board in dashboards.values():
        for panel in board["panels"]:
            for target in panel.get("targets", []):
                seen |= used(target["expr"], known, f"{board['uid']}, {panel['title']}")
            panels += bool(panel.get("targets"))
        for variable in board["templating"]["list"]:
            used(str(variable["query"]), known, f"{board['uid']}, variable {variable['name']}")
    for file in (HERE / "tests").glob("*.yml"):
        for test in yaml.safe_load(file.read_text())["tests"]:
            for series in test["input_series"]:
                used(series["series"], known, f"{file.name}, {test['name']}")

    shown = {re.sub(r"_(bucket|sum|count)$", "", it) for it in seen} | seen
    for name in sorted(catalogue):
        if name.startswith("millrace_") and not re.search(r"_(bucket|sum|count)$", name) and name not in shown:
            problem(f"{name} is in no dashboard and in no rule")
    check_alerts(alerts, dashboards)
    check_tests(alerts)
    check_links()

    if problems:
        print(f"FAIL prometheus: {len(problems)} things do not fit together, the first: {problems[0]}")
        sys.exit(1)
    print(
        f"PASS prometheus: {len(alerts)} alerts, each tested silent and firing, with its section and its dashboard; "
        f"{len(records)} recording rules and {panels} panels use metrics that there are"
    )


if __name__ == "__main__":
    main()
