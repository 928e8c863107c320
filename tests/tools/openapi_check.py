"""Holds messages against docs/accounts.openapi.yaml: python openapi_check.py OPENAPI < messages.json

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


def fault(path, place, text):
    """Why a message does not fit, or None."""
    pointer = f"/paths/{path.replace('/', '~1')}/post{place}/content/application~1json/schema"
    try:
        message = json.loads(text)
    except ValueError:
        return "not JSON"
    found = Draft202012Validator({"$ref": f"openapi#{pointer}"}, registry=registry).iter_errors(message)
    return next((error.message for error in found), None)


PLACES = {"request": "/requestBody", "answer": "/responses/200"}

for path, item in document["paths"].items():
    for name, example in item["post"]["responses"]["200"]["content"]["application/json"]["examples"].items():
        if why := fault(path, PLACES["answer"], json.dumps(example["value"])):
            sys.exit(f"the example {name!r} of {path}: {why}")

for path, kind, text in json.load(sys.stdin):
    print(fault(path, PLACES[kind], text) or "ok")
