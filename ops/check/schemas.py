"""Makes JSON schemas that kubeconform reads offline, in the names that it looks for. Run by ops/tools.sh.

    schemas.py kubernetes FROM TO          those of a release of Kubernetes, as the package kubernetes-validate has them
    schemas.py resource DEFINITION TO      those of a custom resource, from its definition"""

import json
import sys
from pathlib import Path

import yaml


def kubernetes(source, folder):
    """The package's schemas refer to each other by addresses of its own. Here they do so as files."""
    Path(folder).mkdir(parents=True)
    for file in Path(source).glob("*.json"):
        text = file.read_text().replace('"$ref": "/api/_definitions.json#', '"$ref": "_definitions.json#')
        schema = json.loads(text)
        schema.pop("$id", None)
        (Path(folder) / file.name).write_text(json.dumps(schema))


def strict(schema):
    """As the API server in its strict mode: refuses further fields wherever fields are listed, unless unknown ones are kept."""
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


def resource(definition, folder):
    spec = yaml.safe_load(Path(definition).read_text())["spec"]
    for version in spec["versions"]:
        schema = strict(version["schema"]["openAPIV3Schema"])
        # Every object has it, and a definition says no more of it.
        schema["properties"]["metadata"] = {"type": "object"}
        name = f"{spec['names']['kind'].lower()}-{spec['group'].split('.')[0]}-{version['name']}.json"
        (Path(folder) / name).write_text(json.dumps(schema))


if __name__ == "__main__":
    {"kubernetes": kubernetes, "resource": resource}[sys.argv[1]](*sys.argv[2:])
