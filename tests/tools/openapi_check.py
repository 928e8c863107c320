"""Holds messages against an OpenAPI document: python openapi_check.py OPENAPI < messages.json

Reads [[path, "request" or "answer", message as text], …] and prints a line for each: "ok", or why it is not. Fails if
an example of the document does not fit its own schema.
"""

import json
import sys

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

document = yaml.safe_load(open(sys.argv[1], encoding="utf-8"))
registry = Registry().with_resource("openapi", Resource.from_contents(document, default_specification=DRAFT202012))


def fault_at(place, message):
    """Why a message does not fit the schema at a place, or None."""
    found = Draft202012Validator({"$ref": f"openapi#{place}"}, registry=registry).iter_errors(message)
    return next((error.message for error in found), None)


def fault(path, place, text):
    try:
        message = json.loads(text)
    except ValueError:
        return "not JSON"
    return fault_at(f"/paths/{path.replace('/', '~1')}/post{place}/content/application~1json/schema", message)


PLACES = {"request": "/requestBody", "answer": "/responses/200"}


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
    print(fault(path, PLACES[kind], text) or "ok")
