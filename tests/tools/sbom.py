#!/usr/bin/env python3
"""Prints what is linked into wxmint, and what stands beside it in the image, as CycloneDX 1.5.

    cargo metadata --locked --features kubernetes --filter-platform TRIPLE --format-version 1 | sbom.py ROOT

Crates come from Cargo's own resolution: what is needed only to build, to test or to expand macros is left out. Shared
libraries and certificates in ROOT are named by the Debian packages that they were copied from.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path


def linked(metadata):
    """The packages that end up in the program, wxmint first."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    packages = {package["id"]: package for package in metadata["packages"]}
    todo, seen = [metadata["resolve"]["root"]], []
    while todo:
        package = packages[todo.pop()]
        macros = any("proc-macro" in target["kind"] for target in package["targets"])
        if package["id"] in seen or macros:
            continue
        seen.append(package["id"])
        for dependency in nodes[package["id"]]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                todo.append(dependency["pkg"])
    return [packages[id] for id in seen]


def crate(package):
    """A crate as a component."""
    name, version = package["name"], package["version"]
    # Crates of the old days write MIT/Apache-2.0.
    licence = re.sub(r"\s*/\s*", " OR ", package["license"] or "")
    component = {"type": "library", "name": name, "version": version, "purl": f"pkg:cargo/{name}@{version}"}
    return {**component, "bom-ref": component["purl"], **({"licenses": [{"expression": licence}]} if licence else {})}


def debian(root):
    """The Debian packages of the libraries and certificates in the image."""
    if not shutil.which("dpkg-query"):
        print("sbom.py: no dpkg here, so the shared libraries are not listed", file=sys.stderr)
        return
    files = ["/" + str(path.relative_to(root)) for path in sorted(root.rglob("*.so*"))]
    packages = {"ca-certificates"}
    for file in files:
        # /lib is /usr/lib, and dpkg knows a file by one of the two names.
        for name in (file, file.removeprefix("/usr"), f"/usr{file}"):
            found = subprocess.run(["dpkg-query", "--search", name], capture_output=True, text=True, check=False)
            if found.returncode == 0:
                packages.add(found.stdout.partition(":")[0])
                break
        else:
            sys.exit(f"sbom.py: no Debian package has {file}")
    for name in sorted(packages):
        show = ["dpkg-query", "--show", "--showformat", "${Version}\n", name]
        version = subprocess.run(show, capture_output=True, text=True, check=True).stdout.splitlines()[0]
        purl = f"pkg:deb/debian/{name}@{version}"
        yield {"type": "library", "name": name, "version": version, "purl": purl, "bom-ref": purl}


def main():
    """Prints the bill of materials."""
    program, *crates = linked(json.load(sys.stdin))
    components = sorted([crate(package) for package in crates], key=lambda component: component["purl"])
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {**crate(program), "type": "application"}},
        "components": components + list(debian(Path(sys.argv[1]))),
    }
    json.dump(bom, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
