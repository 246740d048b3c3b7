"""What must hold in what the chart renders, beyond what schemas know. Each rule is a function: its first line says what it wants."""

import json
import re
import shutil
import tempfile
from pathlib import Path

import yaml

from render import NAMESPACE

CONTROLLERS = {"StatefulSet", "Deployment", "Job"}
RULES = []


def rule(function):
    """A rule for the objects of each file of values."""
    RULES.append(function)
    return function


# --- Looking at objects


def name_of(it):
    return it["metadata"]["name"]


def of_kind(objects, *kinds):
    return [it for it in objects if it["kind"] in kinds]


def template_of(owner):
    return owner["spec"]["template"] if owner["kind"] in CONTROLLERS else owner


def pods_of(objects):
    """Whoever has a pod, and the pod's spec."""
    return [(it, template_of(it)["spec"]) for it in of_kind(objects, *CONTROLLERS, "Pod")]


def containers_of(pod):
    return pod.get("initContainers", []) + pod["containers"]


def labels_of(owner):
    return template_of(owner)["metadata"]["labels"]


def selects(selector, labels):
    return selector.items() <= labels.items()


def is_hook(it):
    return "helm.sh/hook" in it["metadata"].get("annotations", {})


def environment_of(container):
    return {it["name"]: it.get("value", it.get("valueFrom")) for it in container["env"]}


# --- Rules


@rule
def pods_have_no_rights(objects):
    """Not root, nothing to write to but /tmp, no capability, no token, and the usual filter of system calls"""
    for owner, pod in pods_of(objects):
        security = pod["securityContext"]
        yield security["runAsNonRoot"] is True and security["runAsUser"] > 0, name_of(owner)
        yield security["seccompProfile"] == {"type": "RuntimeDefault"}, name_of(owner)
        yield pod["automountServiceAccountToken"] is False, name_of(owner)
        for container in containers_of(pod):
            security = container["securityContext"]
            yield security["readOnlyRootFilesystem"] is True and security["allowPrivilegeEscalation"] is False, name_of(owner)
            yield security["capabilities"] == {"drop": ["ALL"]}, name_of(owner)
            writable = [it["mountPath"] for it in container["volumeMounts"] if not it.get("readOnly")]
            yield writable == ["/tmp"], name_of(owner)
    for account in of_kind(objects, "ServiceAccount"):
        yield account["automountServiceAccountToken"] is False, name_of(account)


@rule
def pods_are_bounded(objects):
    """Memory has a limit, what is reserved is said, and no image is `latest`"""
    for owner, pod in pods_of(objects):
        for container in containers_of(pod):
            yield "memory" in container["resources"]["limits"], name_of(owner)
            yield {"cpu", "memory"} <= container["resources"]["requests"].keys(), name_of(owner)
            yield re.search(r"(:[^:/]+|@sha256:[0-9a-f]{64})$", container["image"]) and ":latest" not in container["image"], name_of(owner)


@rule
def selectors_select_what_they_mean(objects):
    """Whatever selects pods selects some, and controllers none but their own"""
    owners = of_kind(objects, *CONTROLLERS, "Pod")
    for controller in of_kind(objects, "StatefulSet", "Deployment"):
        selector = controller["spec"]["selector"]["matchLabels"]
        selected = [name_of(it) for it in owners if selects(selector, labels_of(it))]
        yield selected == [name_of(controller)], f"{name_of(controller)} selects {selected}"
        for spread in template_of(controller)["spec"].get("topologySpreadConstraints", []):
            yield spread["labelSelector"]["matchLabels"] == selector, f"{name_of(controller)} spreads by another selector"
    for service in of_kind(objects, "Service"):
        component = service["metadata"]["labels"]["app.kubernetes.io/component"]
        selected = {labels_of(it)["app.kubernetes.io/component"] for it in owners if selects(service["spec"]["selector"], labels_of(it))}
        yield selected == {component}, f"Service {name_of(service)} selects {selected}"
        ports = {it["name"] for _, pod in pods_of(objects) for c in containers_of(pod) for it in c.get("ports", [])}
        yield all(it["targetPort"] in ports for it in service["spec"]["ports"]), f"Service {name_of(service)}: no such port"
    for budget in of_kind(objects, "PodDisruptionBudget"):
        selected = [name_of(it) for it in owners if selects(budget["spec"]["selector"]["matchLabels"], labels_of(it))]
        yield selected == [name_of(budget)], f"PodDisruptionBudget {name_of(budget)} is about {selected}"


@rule
def objects_have_names_of_their_own(objects):
    """No two objects of a kind share a name, none is longer than a label, and all carry the release"""
    seen = [(it["kind"], name_of(it)) for it in objects]
    yield len(seen) == len(set(seen)), str(seen)
    for it in objects:
        yield len(name_of(it)) <= 63, name_of(it)
        yield it["metadata"]["labels"]["app.kubernetes.io/instance"], name_of(it)


@rule
def pods_do_not_change_with_the_chart_alone(objects):
    """Nothing in a pod's labels changes when only the chart's version does, so such an upgrade starts no pod again"""
    for owner in of_kind(objects, "StatefulSet", "Deployment"):
        yield "helm.sh/chart" not in labels_of(owner), name_of(owner)


@rule
def processors_keep_their_ordinal(objects):
    """The ordinal is the pod's number, which names the transactional producers; no two pods share one"""
    sets = of_kind(objects, "StatefulSet")
    yield len(sets) == 1, "StatefulSets"
    environment = environment_of(template_of(sets[0])["spec"]["containers"][0])
    path = environment["MILLRACE_ORDINAL"]["fieldRef"]["fieldPath"]
    yield path == "metadata.labels['apps.kubernetes.io/pod-index']", path
    yield sets[0]["spec"]["updateStrategy"]["type"] == "RollingUpdate", "updates"


@rule
def processors_reach_each_other(objects):
    """What a pod advertises is its name under a headless service of the set, at its port, also while it is not ready"""
    (owner,) = of_kind(objects, "StatefulSet")
    container = template_of(owner)["spec"]["containers"][0]
    environment = environment_of(container)
    (service,) = [it for it in of_kind(objects, "Service") if name_of(it) == owner["spec"]["serviceName"]]
    yield service["spec"]["clusterIP"] == "None" and service["spec"]["publishNotReadyAddresses"] is True, name_of(service)
    scheme = "https" if "MILLRACE_HTTP_TLS_CERT" in environment else "http"
    probes = {container[it]["httpGet"].get("scheme", "HTTP") for it in container if it.endswith("Probe")}
    yield probes == {scheme.upper()}, f"probes speak {probes}"
    wanted = f"{scheme}://$(POD_NAME).{name_of(service)}.{NAMESPACE}.svc:{service['spec']['ports'][0]['port']}"
    yield environment["MILLRACE_ADVERTISE"] == wanted, environment["MILLRACE_ADVERTISE"]
    names = [it["name"] for it in container["env"]]
    yield names.index("POD_NAME") < names.index("MILLRACE_ADVERTISE"), "POD_NAME is not known yet"
    port = int(environment["MILLRACE_HTTP"].rpartition(":")[2])
    yield container["ports"][0]["containerPort"] == port == service["spec"]["ports"][0]["port"], str(port)


@rule
def health_is_asked_for(objects):
    """Probes of what runs on: a restart only if /livez does not answer, a start may take longer than it may wait for servers, and what stops
    is forgotten by its Services first"""
    for owner in of_kind(objects, "StatefulSet", "Deployment"):
        container = template_of(owner)["spec"]["containers"][0]
        paths = {it: container[it]["httpGet"]["path"] for it in container if it.endswith("Probe")}
        wanted = {"livenessProbe": "/livez", "readinessProbe": "/readyz"}
        if owner["kind"] == "StatefulSet":
            wanted["startupProbe"] = "/livez"
            (wait,) = [it for it in container["args"] if it.startswith("--wait-for-servers=")]
            room = container["startupProbe"]["periodSeconds"] * container["startupProbe"]["failureThreshold"]
            yield room > int(re.search(r"(\d+)s$", wait)[1]), f"{wait}, but the start has {room} s"
        yield paths == wanted, f"{name_of(owner)}: {paths}"
        rest = template_of(owner)["spec"]["terminationGracePeriodSeconds"]
        if owner["kind"] == "StatefulSet":
            leaving = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            yield leaving > 0, f"{name_of(owner)} refuses what its Service still sends"
            rest -= leaving
        yield rest >= 25, f"{name_of(owner)} has no time to hand over"


@rule
def topics_come_first(objects):
    """The topics and tables are there before the processors of a release, by a Job that needs nothing of the release"""
    for job in of_kind(objects, "Job"):
        annotations = job["metadata"]["annotations"]
        yield annotations["helm.sh/hook"] == "pre-install,pre-upgrade", annotations["helm.sh/hook"]
        yield "before-hook-creation" in annotations["helm.sh/hook-delete-policy"], "a second upgrade would fail"
        pod = template_of(job)["spec"]
        yield pod["containers"][0]["args"][:2] == ["topics", "apply"], str(pod["containers"][0]["args"])
        ours = {name_of(it) for it in objects if not is_hook(it) and it["kind"] in {"ServiceAccount", "ConfigMap", "Secret"}}
        needed = {pod["serviceAccountName"]} | {it.get("configMap", {}).get("name") for it in pod["volumes"]}
        yield not needed & ours, f"it needs {needed & ours}, which is not there before the install"
        (owner,) = of_kind(objects, "StatefulSet")
        processor = template_of(owner)["spec"]["containers"][0]
        yield pod["containers"][0]["image"] == processor["image"], "the Job is of another image"


@rule
def hooks_are_tests_or_come_first(objects):
    """`helm test` asks the doctor; nothing else is a hook but the topics and their network policy"""
    hooks = {(it["kind"], it["metadata"]["annotations"]["helm.sh/hook"]) for it in objects if is_hook(it)}
    yield ("Pod", "test") in hooks, str(hooks)
    yield hooks <= {("Pod", "test"), ("Job", "pre-install,pre-upgrade"), ("NetworkPolicy", "pre-install,pre-upgrade")}, str(hooks)
    (doctor,) = of_kind(objects, "Pod")
    yield doctor["spec"]["containers"][0]["args"] == ["doctor"], name_of(doctor)


@rule
def all_reach_the_same_servers(objects):
    """Every pod has the same settings for Kafka, and each that has the store the same for it"""
    for prefixes in (("MILLRACE_BOOTSTRAP", "MILLRACE_PREFIX", "MILLRACE_REGISTRY", "MILLRACE_KAFKA_"), ("MILLRACE_CQL_T", "MILLRACE_CQL_U", "MILLRACE_CQL_P", "MILLRACE_KEYSPACE")):
        found = {}
        extra = "MILLRACE_KAFKA_SET_SSL_KEYSTORE_PASSWORD"  # by extraEnv, of one component
        for owner, pod in pods_of(objects):
            environment = environment_of(pod["containers"][0])
            ours = {key: value for key, value in environment.items() if key.startswith(prefixes) and key != extra}
            if "MILLRACE_CQL" in environment or "MILLRACE_KAFKA_" in prefixes:
                found.setdefault(json.dumps(ours, sort_keys=True), []).append(name_of(owner))
        yield len(found) == 1, str(found)


@rule
def files_that_are_named_are_mounted(objects):
    """A path in the environment or the options is under a mount, each mount has its volume, and each volume is mounted"""
    for owner, pod in pods_of(objects):
        volumes = {it["name"]: it for it in pod["volumes"]}
        for container in containers_of(pod):
            mounts = {it["mountPath"]: it["name"] for it in container["volumeMounts"]}
            yield sorted(mounts.values()) == sorted(volumes), f"{name_of(owner)}: mounts {mounts}, volumes {list(volumes)}"
            said = [it.get("value", "") for it in container["env"]] + [it.partition("=")[2] for it in container["args"]]
            for path in [it for it in said if str(it).startswith("/")]:
                at = next((it for it in mounts if path == it or path.startswith(it + "/")), None)
                if not at:
                    yield False, f"{name_of(owner)}: nothing is mounted at {path}"
                    continue
                volume = volumes[mounts[at]]
                items = (volume.get("secret") or volume.get("configMap") or {}).get("items")
                yield path == at or path.removeprefix(at + "/") in [it["path"] for it in items], f"{name_of(owner)}: no file {path}"


@rule
def secrets_are_named_and_never_shown(objects):
    """No Secret is made, and no variable that is secret has its value in the manifest"""
    yield not of_kind(objects, "Secret"), "a Secret is rendered"
    for owner, pod in pods_of(objects):
        for container in containers_of(pod):
            for variable in container["env"]:
                is_file = str(variable.get("value", "")).startswith("/etc/millrace/")
                if re.search("PASSWORD|USERNAME|CQL_USER|SECRET|TOKEN", variable["name"]) and not is_file:
                    yield "secretKeyRef" in variable.get("valueFrom", {}), f"{name_of(owner)}: {variable['name']}"
            yield not re.search("password|token", " ".join(map(str, container["args"])), re.I), f"{name_of(owner)}: {container['args']}"


@rule
def whoever_scales_scales_alone(objects):
    """What is scaled exists and has no count of its own; KEDA goes by the records that wait, never by offsets of a group"""
    scalers = of_kind(objects, "HorizontalPodAutoscaler", "ScaledObject")
    targets = [(it["spec"]["scaleTargetRef"]["kind"], it["spec"]["scaleTargetRef"]["name"]) for it in scalers]
    yield len(targets) == len(set(targets)), f"scaled twice: {targets}"
    for controller in of_kind(objects, "StatefulSet", "Deployment"):
        is_scaled = (controller["kind"], name_of(controller)) in targets
        yield is_scaled != ("replicas" in controller["spec"]), name_of(controller)
    known = {(it["kind"], name_of(it)) for it in objects}
    yield set(targets) <= known, str(targets)
    for scaled in of_kind(objects, "ScaledObject"):
        triggers = scaled["spec"]["triggers"]
        yield {it["type"] for it in triggers} == {"prometheus"}, str(triggers)
        metric = {"StatefulSet": "millrace_partition_backlog_records", "Deployment": "millrace_worker_queue_lag_records"}[scaled["spec"]["scaleTargetRef"]["kind"]]
        yield metric in triggers[0]["metadata"]["query"], str(triggers[0])
        yield triggers[0]["metricType"] == "AverageValue", "KEDA's fallback needs one trigger of this type"
        yield scaled["spec"]["minReplicaCount"] >= 1, "with none, timers do not fire"


@rule
def everything_is_scraped_once(objects):
    """The ServiceMonitor finds each pod with metrics by one service, and the port that it names is there"""
    found = {}
    for monitor in of_kind(objects, "ServiceMonitor"):
        wanted = monitor["spec"]["selector"]["matchLabels"]
        services = [it for it in of_kind(objects, "Service") if selects(wanted, it["metadata"]["labels"])]
        for service in services:
            yield {it["name"] for it in service["spec"]["ports"]} == {it["port"] for it in monitor["spec"]["endpoints"]}, name_of(service)
        for owner in of_kind(objects, "StatefulSet", "Deployment"):
            by = [name_of(it) for it in services if selects(it["spec"]["selector"], labels_of(owner))]
            found.setdefault(name_of(owner), []).extend(by)
            environment = environment_of(template_of(owner)["spec"]["containers"][0])
            scheme = "https" if "MILLRACE_HTTP_TLS_CERT" in environment else "http"
            yield not by or {it.get("scheme", "http") for it in monitor["spec"]["endpoints"]} == {scheme}, f"{name_of(owner)} speaks {scheme}"
        yield "jobLabel" not in monitor["spec"], "the fleets of a namespace share a job, or processors and workers do"
    for name, by in found.items():
        yield len(by) == 1, f"{name} is found by {by}"


@rule
def somebody_says_who_may_use_the_api(objects):
    """Tokens or an issuer, or it is said that nobody is asked; with tokens in sight of others there is TLS"""
    (owner,) = of_kind(objects, "StatefulSet")
    environment = environment_of(template_of(owner)["spec"]["containers"][0])
    asks = "MILLRACE_HTTP_TOKENS" in environment or "MILLRACE_HTTP_JWT_ISSUER" in environment
    yield asks != ("MILLRACE_HTTP_INSECURE" in environment), "the processor would not start, or lets everybody in"
    for service in of_kind(objects, "Service"):
        if service["spec"].get("type", "ClusterIP") != "ClusterIP":
            yield asks and "MILLRACE_HTTP_TLS_CERT" in environment, f"Service {name_of(service)} is reached by others"


@rule
def links_of_alerts_lead_somewhere(objects):
    """All links of alerts are of the hosts that values name, or all are the examples'"""
    for rules in of_kind(objects, "PrometheusRule"):
        alerts = [it["annotations"] for group in rules["spec"]["groups"] for it in group["rules"] if "alert" in it]
        for kind in ("runbook_url", "dashboard"):
            hosts = {it[kind].split("/")[2] for it in alerts}
            yield len(hosts) <= 1, f"{name_of(rules)}: {kind} leads to {hosts}"
            # Examples of values whose fleet is monitored for good name theirs.
            is_production = rules["metadata"]["labels"].get("release") == "prometheus"
            yield not is_production or not any(it.endswith(".example.com") for it in hosts), f"{name_of(rules)}: {kind} leads to {hosts}"


@rule
def the_network_is_closed_but_for_what_is_needed(objects):
    """With policies, each pod has one of its own for both ways; servers are reached at their ports, workers stay out of private networks"""
    policies = of_kind(objects, "NetworkPolicy")
    if not policies:
        return
    for owner, pod in pods_of(objects):
        ours = [it for it in policies if selects(it["spec"]["podSelector"]["matchLabels"], labels_of(owner))]
        yield len(ours) == 1, f"{name_of(owner)} has {len(ours)} policies"
        spec = ours[0]["spec"]
        yield spec["policyTypes"] == ["Ingress", "Egress"], name_of(owner)
        yield is_hook(ours[0]) == (owner["kind"] == "Job"), f"the policy of {name_of(owner)} is not there in time"
        open_ports = {it["port"] for rule in spec["egress"] for it in rule.get("ports", [])}
        environment = environment_of(pod["containers"][0])
        servers = environment["MILLRACE_BOOTSTRAP"].split(",") + environment.get("MILLRACE_CQL", "").split(",")
        needed = {int(it.rpartition(":")[2]) for it in servers if it} | {53}
        if "MILLRACE_REGISTRY" in environment:
            needed.add(443 if environment["MILLRACE_REGISTRY"].startswith("https") else 80)
        yield needed <= open_ports, f"{name_of(owner)} needs {needed}, open are {open_ports}"
    for policy in policies:
        if policy["metadata"]["labels"]["app.kubernetes.io/component"] != "worker":
            continue
        (owner, *_) = of_kind(objects, "Deployment")
        may = "--allow-private-networks" in template_of(owner)["spec"]["containers"][0]["args"]
        blocks = [to["ipBlock"] for rule in policy["spec"]["egress"] for to in rule.get("to", []) if "except" in to.get("ipBlock", {})]
        excepted = {it for block in blocks for it in block["except"]}
        yield {"169.254.0.0/16", "fe80::/10"} <= excepted, "where clouds serve credentials is open"
        yield ("10.0.0.0/8" in excepted and "fc00::/7" in excepted) != may, f"private networks: {excepted}"


# --- What takes more than one rendering


def check_changes(chart, values, problems):
    """A setting that changes starts the pods again; nothing else does."""
    for file in values:
        before = {name_of(it): template_of(it) for it in of_kind(chart.objects(file), "StatefulSet", "Deployment")}
        for pair, wanted in [('kafka.settings={"client.rack":"other"}', True), ('monitoring.serviceMonitor={"enabled":true}', False)]:
            after = {name_of(it): template_of(it) for it in of_kind(chart.objects(file, (pair,)), "StatefulSet", "Deployment")}
            for name, template in before.items():
                problems.unless((after[name] != template) == wanted, f"{file.name} with {pair}", f"{name} would {'not ' * wanted}start again")


TRICKY = {
    "rules/alerts.yaml": 'groups:\n  - name: a\n    rules:\n      - alert: B\n        expr: up == 0\n        annotations: { summary: "{{ $labels.pod }} is {{ $value }}" }\n',
    "dashboards/fleet.json": '{\n  "title": "a: {{pod}} | \\"b\\"",\n  "tabs": "\\t"\n}\n',
}


def check_files(chart, values, problems):
    """Rules and dashboards arrive as they are, whatever files there are, none included."""
    (everything,) = [it for it in values if it.name == "everything.yaml"]
    with tempfile.TemporaryDirectory() as scratch:
        for case, files in {"none": {}, "tricky": TRICKY, "ours": None}.items():
            folder = Path(scratch) / case
            shutil.copytree(chart.folder, folder)
            if files is not None:
                shutil.rmtree(folder / "files", ignore_errors=True)
                for name, text in files.items():
                    (folder / "files" / name).parent.mkdir(parents=True, exist_ok=True)
                    (folder / "files" / name).write_text(text)
            objects = chart.objects(everything, folder=folder)
            found = {f"rules {name_of(it)}": it["spec"] for it in of_kind(objects, "PrometheusRule")}
            found |= {f"dashboard {key}": json.loads(text) for it in of_kind(objects, "ConfigMap") for key, text in it["data"].items()}
            wanted = [yaml.safe_load(it.read_text()) for it in sorted((folder / "files").glob("rules/*"))]
            wanted += [json.loads(it.read_text()) for it in sorted((folder / "files").glob("dashboards/*"))]
            key = lambda it: json.dumps(it, sort_keys=True)  # noqa: E731
            problems.unless(sorted(found.values(), key=key) == sorted(wanted, key=key), f"chart with {case} files", f"renders {list(found)}")


def check_values_are_described(chart, problems):
    """What values.yaml has, the schema knows, and the other way round."""
    schema = json.loads((chart.folder / "values.schema.json").read_text())

    def walk(values, node, path):
        node = schema["definitions"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node
        known = set(node.get("properties", {})) - {"global"}
        if not isinstance(values, dict) or not known:
            return
        problems.unless(
            set(values) <= known and (set(values) == known or path.endswith((".options", ".resources"))),
            f"values.yaml {path or '.'}",
            f"has {sorted(values)}, the schema {sorted(known)}",
        )
        problems.unless(node.get("additionalProperties") is False, f"values.schema.json {path}", "takes whatever it is given")
        for key in known & set(values):
            walk(values[key], node["properties"][key], f"{path}.{key}")

    walk(yaml.safe_load((chart.folder / "values.yaml").read_text()), schema, "")


def check_notes(chart, values, problems):
    """The notes say how to see whether it works, and warn of passwords in the clear."""
    for file in values:
        notes = chart.notes(file)
        given = yaml.safe_load(file.read_text())
        for part in ("rollout status statefulset/", "helm -n flows test shop"):
            problems.unless(part in notes, f"{file.name}, notes", f"lack {part!r}: {notes}")
        sasl, tls = given["kafka"].get("sasl"), given["kafka"].get("tls", {}).get("enabled")
        problems.unless(bool(sasl and not tls) == ("kafka.sasl without kafka.tls" in notes), f"{file.name}, notes", notes)


def check_metrics(chart, values, problems):
    """What KEDA asks for is a metric that the code has, by this very name."""
    processor = chart.folder.parents[2] / "processor"
    code = "".join(it.read_text() for it in processor.glob("*/src/**/*.rs"))
    asked = set()
    for file in values:
        for scaled in of_kind(chart.objects(file), "ScaledObject"):
            asked |= {name for it in scaled["spec"]["triggers"] for name in re.findall(r"millrace_\w+", it["metadata"]["query"])}
    problems.unless(len(asked) >= 3, "metrics", f"only {sorted(asked)} are asked for")
    for name in asked:
        problems.unless(f'"{name}"' in code, "metrics", f"KEDA asks for {name}, which no code makes")


def check(chart, values, problems):
    """Answers how many rules there are."""
    for file in values:
        objects = chart.objects(file)
        for function in RULES:
            try:
                for holds, what in function(objects):
                    problems.unless(holds, f"{file.name}, rule {function.__name__}", what)
            except (KeyError, ValueError, IndexError, TypeError) as error:
                problems.add(f"{file.name}, rule {function.__name__}", f"the object is not as expected: {error!r}")
    check_changes(chart, values, problems)
    check_files(chart, values, problems)
    check_values_are_described(chart, problems)
    check_notes(chart, values, problems)
    check_metrics(chart, values, problems)
    return len(RULES) + 5
