"""The JSON schemas of a custom resource, from its definition: one file for each version, named as kubeconform looks for it.

As the API server would in its strict mode, it refuses fields that the definition does not have."""

import json
import sys
from pathlib import Path

import yaml


def strict(schema):
    """Refuses further fields wherever fields are listed, unless the definition says that it keeps unknown ones."""
    if isinstance(schema, list):
        return [strict(it) for it in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: strict(value) for key, value in schema.items()}
    if isinstance(result.get("properties"), dict) and not result.get("x-kubernetes-preserve-unknown-fields"):
        result.setdefault("additionalProperties", False)
    if result.pop("x-kubernetes-int-or-string", False):
        result.pop("type", None)
        result.setdefault("anyOf", [{"type": "integer"}, {"type": "string"}])
    return result


def main(definition, folder):
    spec = yaml.safe_load(Path(definition).read_text())["spec"]
    for version in spec["versions"]:
        schema = strict(version["schema"]["openAPIV3Schema"])
        # Every object has these, and a definition says no more of them.
        schema["properties"]["metadata"] = {"type": "object"}
        name = f"{spec['names']['kind'].lower()}-{spec['group'].split('.')[0]}-{version['name']}.json"
        (Path(folder) / name).write_text(json.dumps(schema))


main(*sys.argv[1:])
