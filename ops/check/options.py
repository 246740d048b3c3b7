"""What manifests say to the binary, as the binary itself judges it: each command line is given to it, with --help at its end, so that
it reads everything before and does nothing."""

import os
import re
import subprocess
from functools import lru_cache

from content import containers_of, pods_of

# Named in a message or a page rather than as the variable of an option.
PREFIX_OF_SETTINGS = "MILLRACE_KAFKA_SET_"


class Binary:
    def __init__(self, program):
        self.program = program
        self.commands = {}

    def _run(self, *arguments):
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MILLRACE")}
        return subprocess.run([self.program, *arguments], capture_output=True, text=True, check=False, env=environment)

    @lru_cache(maxsize=None)
    def help(self, *command):
        return self._run(*command, "--help").stdout

    def options(self, *command):
        """Without a command, those that every command has."""
        return set(re.findall(r"^ +(?:-\w, )?--([a-z][\w-]*)", self.help(*command), re.M))

    def refuses(self, arguments):
        """What is wrong with a command line, or None. Folders of a container are not here; there is one for each."""
        here = [re.sub(r"=/.*", "=/", it) for it in arguments]
        done = self._run(*here, "--help")
        return done.stderr.strip() if done.returncode else None

    def check_environment(self, where, names, command, problems):
        text = self.help(*command)
        for name in names:
            known = PREFIX_OF_SETTINGS if name.startswith(PREFIX_OF_SETTINGS) else name
            problems.unless(
                not name.startswith("MILLRACE") or re.search(rf"\b{known}", text),
                where,
                f"the environment has {name}, which `millrace {' '.join(command)} --help` does not know",
            )

    def check_chart(self, chart, values, problems):
        """Answers how many options and variables were looked at."""
        seen = set()
        for file in values:
            for owner, pod in pods_of(chart.objects(file)):
                for container in containers_of(pod):
                    where = f"{file.name}, {owner['kind']} {owner['metadata']['name']}"
                    arguments = [str(it) for it in container["args"]]
                    refusal = self.refuses(arguments)
                    problems.unless(refusal is None, where, f"millrace {' '.join(arguments)}: {refusal}")
                    names = [it["name"] for it in container["env"]]
                    command = [it for it in arguments if not it.startswith("-")]
                    self.check_environment(where, names, command, problems)
                    seen.update(it.split("=")[0] for it in arguments if it.startswith("--"))
                    seen.update(it for it in names if it.startswith("MILLRACE"))
        self._check_values(chart, problems)
        problems.unless(self.refuses(["processor", "--no-such-option"]), "options", "the binary takes an option that there is not")
        return len(seen)

    def _check_values(self, chart, problems):
        """The options that the schema of the values knows are those of the binary, but for what the chart sets itself."""
        import json

        properties = json.loads((chart.folder / "values.schema.json").read_text())["properties"]
        ours = {
            "processors": "http advertise ordinal create-schema replication consistency lanes group-protocol wait-for-servers http-insecure http-tokens "
            "http-jwt-issuer http-jwt-audience http-jwt-keys http-jwt-roles-claim http-jwt-role http-tls-cert http-tls-key",
            "workers": "http allow-private-networks speculative concurrency response-bytes-max secrets allow-processes wait-for-servers",
        }
        for section, set_here in ours.items():
            command = section.removesuffix("s")
            known = self.options(command) - self.options() - set(set_here.split())
            listed = set(properties[section]["properties"]["options"]["properties"])
            where = f"values.schema.json, {section}.options"
            problems.unless(listed <= known, where, f"`millrace {command}` has no {', '.join(sorted(listed - known))}")
            problems.unless(known <= listed, where, f"lacks {', '.join(sorted(known - listed))} of `millrace {command}`")
