"""The Dockerfile: BuildKit's own parser reads it, what it copies is there and is let through by .dockerignore, and what comes out is what
the chart runs."""

import re
import subprocess
import tomllib
from pathlib import Path, PurePosixPath

import yaml

INSTRUCTIONS = set("ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM LABEL RUN USER WORKDIR".split())


class Ignored:
    """.dockerignore: the last pattern that matches a path, or a folder that it is in, decides."""

    def __init__(self, text):
        lines = [it.strip() for it in text.splitlines()]
        self.patterns = [(it.lstrip("!").strip("/"), it.startswith("!")) for it in lines if it and not it.startswith("#")]

    @staticmethod
    def _matches(path, pattern):
        regex = "".join({"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}.get(it, re.escape(it)) for it in re.split(r"(\*\*/|\*\*|\*|\?)", pattern))
        return any(re.fullmatch(regex, str(it)) for it in [path, *path.parents][:-1] or [path])

    def lets_through(self, path):
        is_let = True
        for pattern, is_exception in self.patterns:
            if self._matches(PurePosixPath(path), pattern):
                is_let = is_exception
        return is_let


def instructions_of(text):
    """The instructions, each with its words; lines that go on are joined."""
    lines, joined = [], ""
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            continue
        joined += line
        if joined.endswith("\\"):
            joined = joined[:-1]
        elif joined.strip():
            lines.append(joined.split(maxsplit=1))
            joined = ""
    return [(it[0].upper(), it[1] if len(it) > 1 else "") for it in lines]


def check(ops, tools, problems):
    """Answers how many instructions there are."""
    root, file = ops.parent, ops / "Dockerfile"
    text = file.read_text()
    done = subprocess.run([tools / "bin" / "dockerfile", file], capture_output=True, text=True, check=False)
    if not problems.unless(done.returncode == 0, "Dockerfile", f"BuildKit does not read it: {done.stdout}{done.stderr}"):
        return 0
    # The parser takes words that are no instructions; these are ours.
    parsed = [it.upper() for it in re.findall(r"^\((\w+)", done.stdout, re.M)]
    instructions = instructions_of(text)
    problems.unless(parsed == [it for it, _ in instructions], "Dockerfile", f"BuildKit reads {parsed}")
    problems.unless(set(parsed) <= INSTRUCTIONS, "Dockerfile", f"unknown: {set(parsed) - INSTRUCTIONS}")

    ignored = Ignored((root / ".dockerignore").read_text())
    tracked = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=root, capture_output=True, text=True, check=True).stdout.split("\n")
    context = {it for it in tracked if it and ignored.lets_through(it) and (root / it).is_file()}
    _check_copies(instructions, context, problems)
    _check_context(root, context, ignored, problems)
    _check_result(ops, root, instructions, problems)
    return len(instructions)


def _check_copies(instructions, context, problems):
    stages = set()
    for instruction, words in instructions:
        if instruction == "FROM":
            stages.update(re.findall(r" AS (\S+)$", words, re.I))
            problems.unless(":latest" not in words and (":" in words or words.split()[0] in stages), "Dockerfile", f"FROM {words} has no version")
        if instruction == "COPY":
            flags = [it for it in words.split() if it.startswith("--")]
            *sources, _ = [it for it in words.split() if not it.startswith("--")]
            stage = next((it.removeprefix("--from=") for it in flags if it.startswith("--from=")), None)
            if stage:
                problems.unless(stage in stages, "Dockerfile", f"COPY from {stage}, which is no stage before it")
                continue
            for source in sources:
                is_there = source == "." and context or any(it == source or it.startswith(source + "/") for it in context)
                problems.unless(is_there, "Dockerfile", f"COPY {source}: it is not there, or .dockerignore holds it back")


def _check_context(root, context, ignored, problems):
    """All that cargo needs, and nothing that must not be in an image's history."""
    members = tomllib.loads((root / "Cargo.toml").read_text())["workspace"]["members"]
    needed = {"Cargo.toml", "Cargo.lock"} | {f"{it}/Cargo.toml" for it in members}
    for source in [it for it in context if it.endswith(".rs") and "/src/" in it]:
        for included in re.findall(r'include_(?:str|bytes)!\("([^"]+)"\)', (root / source).read_text()):
            path = (root / source).parent / included
            if path.exists():
                needed.add(str(path.resolve().relative_to(root.resolve())))
    problems.unless(needed <= context, ".dockerignore", f"holds back {sorted(needed - context)}, which the build needs")
    for unwanted in (".git/config", "target/release/millrace", "processor/target/x", "ops/helm/values/production.yaml", "kafka.properties", "processor/console/node_modules/x/index.js"):
        problems.unless(not ignored.lets_through(unwanted), ".dockerignore", f"lets {unwanted} through")


def _check_result(ops, root, instructions, problems):
    arguments = dict(it.split("=", 1) for name, it in instructions if name == "ARG" and "=" in it)
    wanted = tomllib.loads((root / "Cargo.toml").read_text())["workspace"]["package"]
    version = lambda text: [int(it) for it in text.split(".")]  # noqa: E731
    problems.unless(version(arguments["RUST"]) >= version(wanted["rust-version"]), "Dockerfile", f"Rust {arguments['RUST']} is older than {wanted['rust-version']}")
    chart = yaml.safe_load((ops / "helm" / "millrace" / "Chart.yaml").read_text())
    versions = {arguments["VERSION"], wanted["version"], str(chart["appVersion"])}
    problems.unless(len(versions) == 1, "Dockerfile", f"versions of the image, the workspace and the chart differ: {versions}")

    last = [index for index, (name, _) in enumerate(instructions) if name == "FROM"][-1]
    final = dict(instructions[last:])
    pod = (ops / "helm" / "millrace" / "templates" / "_pod.tpl").read_text()
    user = re.search(r"runAsUser: (\d+)", pod)[1]
    problems.unless(final.get("USER") == f"{user}:{user}" and int(user) > 0, "Dockerfile", f"USER {final.get('USER')} is not the chart's {user}")
    problems.unless(final.get("ENTRYPOINT") == '["/usr/local/bin/millrace"]', "Dockerfile", f"ENTRYPOINT {final.get('ENTRYPOINT')}")
    for label in ("title", "version", "revision", "licenses"):
        problems.unless(f"org.opencontainers.image.{label}=" in final.get("LABEL", ""), "Dockerfile", f"no label {label}")
