#!/usr/bin/env python3
"""Holds the files of examples/peers/apisix and higress to the schemas that their projects publish, which are not in this repository.

    gateway_schemas.py FOLDER...

Each FOLDER is a checkout, or a part of one: of apache/apisix-ingress-controller (config/crd), alibaba/higress (helm/core/crds) and
apache/apisix (apisix/plugins). Every file must find its schema there. What a schema does not know is a fault, although the API server
would drop it and APISIX would ignore it.
"""

import re
import sys
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator

PEERS = Path(__file__).resolve().parents[2] / "examples/peers"
OBJECTS = ["apisix/ingress.yaml", "higress/envoyfilter.yaml", "higress/wasmplugin.yaml"]
TOKEN = re.compile(r'--[^\n]*|"(?:\\.|[^"\\])*"|\[\[.*?\]\]|\.\.|[{}\[\]=,]|[\w.]+', re.S)


def documents(path):
    return list(yaml.safe_load_all(path.read_text()))


def closed(schema):
    """The same, which takes no member that it does not name."""
    schema = dict(schema)
    if "properties" in schema:
        schema["properties"] = {name: closed(inner) for name, inner in schema["properties"].items()}
        if not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
    if isinstance(schema.get("items"), dict):
        schema["items"] = closed(schema["items"])
    return schema


def definitions(folders):
    """The schema of each kind of object, by group, version and kind."""
    found = {}
    for path in (path for folder in folders for path in Path(folder).rglob("*.yaml")):
        text = path.read_text()
        if "kind: CustomResourceDefinition" not in text or "{{" in text:
            continue
        for spec in (document.get("spec", {}) for document in yaml.safe_load_all(text) if isinstance(document, dict)):
            for version in spec.get("versions", []) if "names" in spec else []:
                schema = version.get("schema", {}).get("openAPIV3Schema")
                if schema:
                    own = {name: {} for name in ("apiVersion", "kind", "metadata")}
                    schema = schema | {"properties": own | schema["properties"]}
                    found[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = closed(schema)
    return found


def plugin_schema(source):
    """What a plugin of APISIX calls `local schema`: a table of Lua's, with an empty schema for what is not written in it."""
    tokens = [token for token in TOKEN.findall(source[source.index("local schema = {") + 15 :]) if not token.startswith("--")]

    def value():
        token = tokens.pop(0)
        if token == "{":
            return table()
        if token[0] == '"' or token.startswith("[["):
            text = token[1:-1].replace('\\"', '"') if token[0] == '"' else token[2:-2]
            while tokens[0] == "..":
                tokens.pop(0)
                text += value()
            return text
        if re.fullmatch(r"\d+", token):
            return int(token)
        return {"true": True, "false": False}.get(token)

    def table():
        listed, named = [], {}
        while tokens[0] != "}":
            if tokens[0] == "[":
                tokens.pop(0)
                name, _, _ = value(), tokens.pop(0), tokens.pop(0)
                named[name] = value()
            elif tokens[1] == "=":
                name, _ = tokens.pop(0), tokens.pop(0)
                named[name] = value()
            else:
                listed.append(value())
            if tokens[0] == ",":
                tokens.pop(0)
        tokens.pop(0)
        return {name: inner for name, inner in named.items() if inner is not None} if named else listed

    return closed(value())


def check(schema, value, what):
    Draft202012Validator.check_schema(schema)
    faults = [f"{what}: {'.'.join(map(str, error.path))}: {error.message[:200]}" for error in Draft202012Validator(schema).iter_errors(value)]
    print(*faults or [f"{what}: valid"], sep="\n")
    return len(faults)


def main():
    folders = sys.argv[1:]
    if not folders:
        sys.exit(__doc__)
    known, faults = definitions(folders), 0
    for name in OBJECTS:
        for document in documents(PEERS / name):
            kind = document["apiVersion"], document["kind"]
            if kind not in known:
                sys.exit(f"{name}: no definition of {' '.join(kind)} in {folders}")
            faults += check(known[kind], document, f"{name}: {kind[1]}/{document['metadata']['name']}")
    for plugin, settings in documents(PEERS / "apisix/apisix.yaml")[0]["routes"][0]["plugins"].items():
        sources = [path for folder in folders for path in Path(folder).rglob(f"{plugin}.lua")]
        if not sources:
            sys.exit(f"no {plugin}.lua in {folders}")
        faults += check(plugin_schema(sources[0].read_text()), settings, f"apisix/apisix.yaml: {plugin}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
