"""Splits rendered manifests for the two that validate them.

    k8s_split.py RENDERED_FOLDER CORE_FOLDER CUSTOM_FOLDER

What Kubernetes itself knows goes to CORE_FOLDER as YAML, for kubernetes-validate; custom resources go to CUSTOM_FOLDER as
JSON, for k8s_kinds.mjs. A file for each that has any.
"""

import json
import re
import sys
from pathlib import Path

import yaml

# v1, apps/v1, networking.k8s.io/v1; not gateway.networking.k8s.io/v1, nor a vendor's domain.
BUILT_IN = re.compile(r"^([a-z]+/)?v\d[a-z0-9]*$|^(networking|rbac\.authorization)\.k8s\.io/v\d[a-z0-9]*$")


def main():
    """Writes the halves."""
    rendered, core, custom = map(Path, sys.argv[1:])
    for path in sorted(rendered.glob("*.yaml")):
        documents = [document for document in yaml.safe_load_all(path.read_text()) if document]
        built_in = [document for document in documents if BUILT_IN.match(document["apiVersion"])]
        others = [document for document in documents if document not in built_in]
        if built_in:
            (core / path.name).write_text(yaml.safe_dump_all(built_in))
        if others:
            (custom / f"{path.stem}.json").write_text(json.dumps(others))


if __name__ == "__main__":
    main()
