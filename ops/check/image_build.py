#!/usr/bin/env python3
"""The Dockerfile's steps, run in a plain shell, since not every machine has a container engine: `ops/check/image_build.py`.

Each stage is a folder, and what it copies and runs happens in there: a stage on Rust's image runs with the Rust of this machine, which must be
the same release on the same Debian; the last one runs in a Debian of its own, made by mmdebstrap, as the user that it names. It needs root
(for chroot) and takes a quarter of an hour, so it is a command of its own outside CI.

What a stage on Rust's image runs is not shut in: the RUN lines there name no place outside of their folder, and this refuses one that does.

The last line is `PASS image: …` or `FAIL image: …`."""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from image import Ignored, instructions_of  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent.parent


class Failed(Exception):
    """A step that did not do what it says."""


class Stage:
    """What a FROM begins: a folder that stands for the file system, and what the next RUN inherits."""

    def __init__(self, folder, base):
        self.folder = folder
        self.environment = dict(base.environment) if base else {}
        self.workdir = base.workdir if base else "/"
        self.user = base.user if base else None
        self.has_own_system = base.has_own_system if base else False
        self.entrypoint, self.command = (base.entrypoint, base.command) if base else ("", "")
        if base:
            shutil.copytree(base.folder, folder, symlinks=True)
        else:
            folder.mkdir(parents=True)

    def path(self, inside):
        return self.folder / str(Path(self.workdir, inside)).lstrip("/")

    def run(self, words, **options):
        if self.has_own_system:
            place = ["--userspec", self.user] if self.user else []
            words = ["chroot", *place, self.folder, "/usr/bin/env", "-C", self.workdir, *words]
            return subprocess.run(words, check=False, env={"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", **self.environment}, **options)
        self.path(".").mkdir(parents=True, exist_ok=True)
        # What steers the cargo of this machine is none of the image's.
        kept = {name: it for name, it in os.environ.items() if name in ("CARGO_HOME", "RUSTUP_HOME") or not name.startswith(("CARGO", "RUST"))}
        return subprocess.run(words, check=False, cwd=self.path("."), env={**kept, **self.environment}, **options)


class Build:
    def __init__(self, work):
        self.work, self.stages, self.arguments, self.stage = work, {}, {}, None
        # What `cargo install` installs is this build's, not the machine's.
        self.installed = work / "installed"
        ignored = Ignored((ROOT / ".dockerignore").read_text())
        files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
        # As it is now: an engine, too, takes the context once.
        self.context = work / "context"
        for file in files:
            if ignored.lets_through(file) and (ROOT / file).is_file():
                (self.context / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / file, self.context / file)

    def step(self, name, words):
        words = re.sub(r"\$\{(\w+)\}", lambda it: self.arguments.get(it[1], ""), words)
        print(f"=== {name.rstrip('_')} {words}", flush=True)
        getattr(self, name.lower())(words)

    def arg(self, words):
        name, _, value = words.partition("=")
        self.arguments[name] = value

    def from_(self, words):
        image, _, name = words.partition(" AS ")
        base = self.stages.get(image)
        self.stage = Stage(self.work / (name or "result"), base)
        self.stages[name or "result"] = self.stage
        if base:
            return
        kind, tag = image.split(":")
        if kind == "rust":
            self._is_same_rust(*tag.split("-"))
            self.stage.environment = {"CARGO_INSTALL_ROOT": str(self.installed), "PATH": f"{self.installed}/bin:{os.environ['PATH']}"}
        elif kind == "debian":
            self.stage.has_own_system = True
            made = subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase", "--include=bash", tag.removesuffix("-slim"), self.stage.folder], check=False)
            if made.returncode:
                raise Failed(f"mmdebstrap could not make {image}")
        else:
            raise Failed(f"{image} has no counterpart in a plain shell")

    def _is_same_rust(self, release, debian):
        rust = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
        here = dict(it.split("=", 1) for it in Path("/etc/os-release").read_text().splitlines() if "=" in it).get("VERSION_CODENAME")
        if not rust.startswith(release + ".") or here != debian:
            raise Failed(f"this machine has Rust {rust} on {here}; the image has {release} on {debian}: rustup default {release}, on such a Debian")

    def env(self, words):
        self.stage.environment.update(it.split("=", 1) for it in shlex.split(words))

    def workdir(self, words):
        self.stage.workdir = words

    def user(self, words):
        self.stage.user = words

    def label(self, _):
        """It is for an engine."""

    expose = label

    def entrypoint(self, words):
        self.stage.entrypoint = words

    def cmd(self, words):
        self.stage.command = words

    def copy(self, words):
        *flags, source, target = words.split()
        if not flags:
            if (source, target) != (".", "."):
                raise Failed("only COPY . . is known")
            shutil.copytree(self.context, self.stage.path("."), dirs_exist_ok=True)
            return
        other = self.stages[flags[0].removeprefix("--from=")]
        to = self.stage.path(target)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(other.folder / source.lstrip("/"), to)

    def run(self, words):
        begun = time.monotonic()
        if not self.stage.has_own_system and re.search(r"(^|\s)/", words):
            raise Failed(f"RUN {words}: it names a place outside of its stage")
        if self.stage.run(["/bin/sh", "-c", words]).returncode:
            raise Failed(f"RUN {words}")
        print(f"    {time.monotonic() - begun:.0f} s", flush=True)

    def result(self):
        """The program in the last stage, as an engine would start it."""
        print(f"=== ENTRYPOINT {self.stage.entrypoint}", flush=True)
        entrypoint = json.loads(self.stage.entrypoint)
        asked = [entrypoint + json.loads(self.stage.command), [*entrypoint, "--version"]]
        said = [self.stage.run(it, capture_output=True, text=True) for it in asked]
        if any(it.returncode for it in said) or "Usage:" not in said[0].stdout:
            raise Failed(f"the program does not run: {said}")
        size = (self.stage.folder / entrypoint[0].lstrip("/")).stat().st_size
        return f"{said[1].stdout.strip()} runs as {self.stage.user} in its own Debian, {size / 2**20:.0f} MiB"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--work", type=Path, help="an empty folder for the stages, kept afterwards; otherwise a temporary one")
    arguments = parser.parse_args()
    begun = time.monotonic()
    for tool in ("mmdebstrap", "chroot", "cargo"):
        if not shutil.which(tool):
            print(f"FAIL image: {tool} is missing")
            return 1
    if os.geteuid():
        print("FAIL image: chroot wants root")
        return 1
    with tempfile.TemporaryDirectory(prefix="millrace-image-") as temporary:
        try:
            build = Build(arguments.work or Path(temporary))
            steps = instructions_of((ROOT / "ops" / "Dockerfile").read_text())
            for name, words in steps:
                build.step("FROM_" if name == "FROM" else name, words)
            result = build.result()
        except Failed as failed:
            print(f"FAIL image: {failed}")
            return 1
        except Exception as error:  # whatever it is, the last line says it
            print(f"FAIL image: {type(error).__name__}: {error}")
            return 1
    print(f"PASS image: {len(steps)} instructions in a plain shell; {result} ({time.monotonic() - begun:.0f} s)")
    return 0


sys.exit(main())
