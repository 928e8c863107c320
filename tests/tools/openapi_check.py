"""Holds messages against an OpenAPI document: python openapi_check.py OPENAPI [--closed] < messages.json

Reads [[path, "request" or "answer" of a POST, or "METHOD STATUS", message as text], …] and prints a line for each: "ok", or
why it is not. Fails if an example of the document does not fit its own schema. With --closed, a message has no member that is
not described.
"""

import json
import sys

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

document = yaml.safe_load(open(sys.argv[1], encoding="utf-8"))


def close(part):
    """An object has no further members from now on."""
    if isinstance(part, dict):
        if "properties" in part:
            part.setdefault("additionalProperties", False)
        for member in part.values():
            close(member)


if "--closed" in sys.argv:
    close(document["components"]["schemas"])
registry = Registry().with_resource("openapi", Resource.from_contents(document, default_specification=DRAFT202012))


def fault_at(place, message):
    """Why a message does not fit the schema at a place, or None."""
    found = Draft202012Validator({"$ref": f"openapi#{place}"}, registry=registry).iter_errors(message)
    return next((error.message for error in found), None)


def fault(path, kind, text):
    try:
        message = json.loads(text)
    except ValueError:
        return "not JSON"
    method, *status = {"request": "post", "answer": "post 200"}.get(kind, kind).split()
    operation = document["paths"].get(path, {}).get(method, {})
    place = f"/responses/{status[0]}" if status else "/requestBody"
    described = operation.get("responses", {}).get(status[0]) if status else operation.get("requestBody")
    if not described or not (content := described.get("content")):
        return f"{method} {path} has no {place} with a message"
    kind = next(iter(content)).replace("/", "~1")
    return fault_at(f"/paths/{path.replace('/', '~1')}/{method}{place}/content/{kind}/schema", message)


def examples(part, place=""):
    """Each example below a part of the document, with the place of its schema."""
    if isinstance(part, dict):
        if "schema" in part:
            yield from ((f"{place}/schema", example["value"]) for example in part.get("examples", {}).values())
            yield from ((f"{place}/schema", part[name]) for name in ["example"] if name in part)
        for name, member in part.items():
            yield from examples(member, f"{place}/{str(name).replace('~', '~0').replace('/', '~1')}")


for place, example in examples(document):
    if why := fault_at(place, example):
        sys.exit(f"an example at {place}: {why}")

for path, kind, text in json.load(sys.stdin):
    print(fault(path, kind, text) or "ok")
