"""The Compose file: read by the loader of the Compose specification, then what it says about order, options and files."""

import json
import os
import subprocess
import tempfile

import yaml

OWN = "millrace"


def check(ops, tools, binary, problems):
    """Answers how many services there are."""
    done = _load(ops, tools, ops / "compose.yaml")
    if not problems.unless(done.returncode == 0, "compose.yaml", f"{done.stdout}{done.stderr}"):
        return 0
    services = json.loads(done.stdout)["services"]
    _check_loader(ops, tools, problems)
    for name, service in services.items():
        where = f"compose.yaml, {name}"
        problems.unless(":latest" not in service["image"] and ":" in service["image"], where, f"image {service['image']} has no version")
        for port in service.get("ports", []):
            problems.unless(port.get("host_ip") == "127.0.0.1", where, f"port {port} is open to others")
        for volume in service.get("volumes", []):
            if volume["type"] == "bind":
                problems.unless(os.path.exists(volume["source"]), where, f"{volume['source']} is not there")
                problems.unless(volume.get("read_only"), where, f"{volume['source']} could be changed from within")
        for other, on in (service.get("depends_on") or {}).items():
            waits = on["condition"]
            problems.unless(other in services, where, f"depends on {other}, which is no service")
            has_check = "healthcheck" in services.get(other, {}) or not on.get("required", True)
            problems.unless(waits != "service_started", where, f"does not wait until {other} is ready")
            problems.unless(waits != "service_healthy" or has_check, where, f"waits for the health of {other}, which nobody checks")
            ends = services.get(other, {}).get("restart") == "no"
            problems.unless(waits != "service_completed_successfully" or ends, where, f"waits for the end of {other}, which is started again")
        if service["image"].startswith(f"{OWN}:"):
            _check_own(where, service, binary, problems)
    _check_fleet(services, problems)
    _check_configurations(ops, services, problems)
    return len(services)


def _load(ops, tools, file):
    environment = {**os.environ, "COMPOSE_PROFILES": "*"}
    command = [tools / "bin" / "compose", "-format", "json", file]
    return subprocess.run(command, cwd=ops, capture_output=True, text=True, check=False, env=environment)


def _check_loader(ops, tools, problems):
    """That it refuses what is wrong: a check that nothing refuses checks nothing."""
    right = yaml.safe_load((ops / "compose.yaml").read_text())
    for what, change in {
        "a key that there is not": lambda it: it["services"]["kafka"].update(helthcheck={}),
        "a value of another type": lambda it: it["services"]["worker-0"].update(read_only=["yes"]),
        "a condition that there is not": lambda it: it["services"]["topics"].update(depends_on={"kafka": {"condition": "service_well"}}),
    }.items():
        wrong = json.loads(json.dumps(right))
        change(wrong)
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(wrong, file)
            file.flush()
            problems.unless(_load(ops, tools, file.name).returncode, "compose", f"the loader takes {what}")


def _check_own(where, service, binary, problems):
    refusal = binary.refuses(service["command"])
    problems.unless(refusal is None, where, f"millrace {' '.join(service['command'])}: {refusal}")
    command = [it for it in service["command"] if not it.startswith("-")]
    binary.check_environment(where, service["environment"], command, problems)
    problems.unless(service.get("read_only") and service.get("cap_drop") == ["ALL"], where, "has more rights than it needs")
    dockerfile = os.path.join(service["build"]["context"], service["build"]["dockerfile"])
    problems.unless(os.path.exists(dockerfile), where, f"{dockerfile} is not there")


def _check_fleet(services, problems):
    """Two processors with ordinals of their own, after the topics, and a worker."""
    processors = {name: it for name, it in services.items() if (it.get("command") or [""])[0] == "processor"}
    ordinals = [it["environment"]["MILLRACE_ORDINAL"] for it in processors.values()]
    problems.unless(sorted(ordinals) == ["0", "1"], "compose.yaml", f"ordinals of the processors: {ordinals}")
    for name, processor in processors.items():
        advertised = processor["environment"]["MILLRACE_ADVERTISE"]
        port = processor["environment"]["MILLRACE_HTTP"].rpartition(":")[2]
        problems.unless(advertised == f"http://{name}:{port}", "compose.yaml", f"{name} is advertised as {advertised}")
        first = processor["depends_on"].get("topics", {}).get("condition")
        problems.unless(first == "service_completed_successfully", "compose.yaml", f"{name} does not wait for the topics")
        problems.unless("/readyz" in " ".join(processor["healthcheck"]["test"]), "compose.yaml", f"{name} is not asked whether it is ready")
    problems.unless(services["topics"]["command"][:2] == ["topics", "apply"], "compose.yaml", "nobody makes the topics")
    problems.unless((services["worker-0"]["command"] or [""])[0] == "worker", "compose.yaml", "there is no worker")


def _check_configurations(ops, services, problems):
    """Prometheus scrapes what there is, and Grafana asks the Prometheus that there is. promtool has the rest, in ops/prometheus/check.sh."""
    jobs = yaml.safe_load((ops / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    targets = {target for job in jobs for it in job["static_configs"] for target in it["targets"]}
    wanted = {f"{name}:{_http_port(it)}" for name, it in services.items() if (it.get("command") or [""])[0] in ("processor", "worker")}
    problems.unless(targets == wanted, "prometheus.yml", f"scrapes {sorted(targets)}, there are {sorted(wanted)}")
    sources = yaml.safe_load((ops / "grafana" / "provisioning" / "datasources" / "prometheus.yml").read_text())["datasources"]
    problems.unless([it["url"] for it in sources] == ["http://prometheus:9090"], "grafana/provisioning", str(sources))
    providers = yaml.safe_load((ops / "grafana" / "provisioning" / "dashboards" / "millrace.yml").read_text())["providers"]
    mounted = {it["target"]: it["source"] for it in services["grafana"]["volumes"]}
    for provider in providers:
        source = mounted.get(provider["options"]["path"], "")
        problems.unless(source and any(it.endswith(".json") for it in os.listdir(source)), "grafana/provisioning", f"no dashboards for {provider}")


def _http_port(service):
    said = [it.partition("=")[2] for it in service["command"] if it.startswith("--http=")]
    return (said or [service["environment"].get("MILLRACE_HTTP", "")])[0].rpartition(":")[2]
