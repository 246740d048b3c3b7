"""The chart as manifests: rendered by helm, validated by kubeconform."""

import subprocess
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import yaml

RELEASE, NAMESPACE = "shop", "flows"


class Refused(Exception):
    """What helm says of values that it does not take."""


class Chart:
    def __init__(self, folder, tools):
        self.folder = Path(folder)
        self.tools = Path(tools)
        self.releases = sorted(it.name.removeprefix("v") for it in (self.tools / "kubernetes").iterdir())

    def _helm(self, *arguments):
        command = [self.tools / "bin" / "helm", *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def text(self, values=(), sets=(), release=None, folder=None):
        """What `helm template` prints. `sets` are pairs for --set-json."""
        arguments = ["template", RELEASE, folder or self.folder, "--namespace", NAMESPACE]
        arguments += ["--kube-version", release or self.releases[-1]]
        for file in values:
            arguments += ["--values", file]
        for pair in sets:
            arguments += ["--set-json", pair]
        done = self._helm(*arguments)
        if done.returncode:
            raise Refused(done.stderr)
        return done.stdout

    @lru_cache(maxsize=None)
    def objects(self, values, sets=(), folder=None):
        """The objects, hooks among them. `values` is a file."""
        return [it for it in yaml.safe_load_all(self.text([values], sets, folder=folder)) if it]

    def notes(self, values):
        done = self._helm("install", RELEASE, self.folder, "--namespace", NAMESPACE, "--values", values, "--dry-run=client")
        if done.returncode:
            raise Refused(done.stderr)
        return done.stdout.partition("\nNOTES:\n")[2]

    def check_renderings(self, values, problems):
        """Lint, and each file of values on each release. Answers the releases."""
        cases = [(file, release) for file in values for release in self.releases]
        with ThreadPoolExecutor(2) as pool:
            for told in pool.map(lambda file: self._lint(file), values):
                for problem in told:
                    problems.add(*problem)
            for told in pool.map(lambda case: self._validate(*case), cases):
                for problem in told:
                    problems.add(*problem)
        if len(self.releases) < 2:
            problems.add("ops/tools.sh", "schemas of fewer than two releases of Kubernetes")
        return self.releases

    def _lint(self, file):
        done = self._helm("lint", "--strict", "--quiet", self.folder, "--values", file)
        return [(file.name, f"helm lint: {done.stdout}{done.stderr}")] if done.returncode else []

    def _validate(self, file, release):
        where = f"{file.name} on Kubernetes {release}"
        try:
            text = self.text([file], release=release)
        except Refused as refused:
            return [(where, str(refused))]
        done = self.kubeconform(text, release)
        if done.returncode:
            return [(where, done.stdout + done.stderr)]
        # It says nothing of what it has no schema for unless asked; then it fails, and so this holds for all objects.
        wanted = sum(1 for it in yaml.safe_load_all(text) if it)
        if f"Valid: {wanted}," not in done.stdout:
            return [(where, f"{wanted} objects, but kubeconform says: {done.stdout}")]
        return []

    def kubeconform(self, text, release):
        locations = [
            str(self.tools / "kubernetes" / "{{.NormalizedKubernetesVersion}}" / "{{.ResourceKind}}{{.KindSuffix}}.json"),
            str(self.tools / "resources" / "{{.ResourceKind}}{{.KindSuffix}}.json"),
        ]
        command = [self.tools / "bin" / "kubeconform", "-strict", "-summary", "-n", "4", "-kubernetes-version", release]
        for location in locations:
            command += ["-schema-location", location]
        return subprocess.run([*command, "-"], input=text, capture_output=True, text=True, check=False)
