#!/usr/bin/env python3
"""Prints what is linked into wxmint, and what stands beside it in the image, as CycloneDX 1.6, checked against its schema.

    cargo metadata --locked --features kubernetes --filter-platform TRIPLE --format-version 1 | sbom.py

Crates come from Cargo's own resolution: what is needed only to build, to test or to expand macros is left out. The static
libraries of C and of the compiler are named by the Debian packages that have them, and so are the image's certificates.
"""

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

LOCK = Path(__file__).resolve().parents[2] / "Cargo.lock"


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


def crate(package, checksums):
    """A crate as a component."""
    name, version = package["name"], package["version"]
    # Crates of the old days write MIT/Apache-2.0.
    licence = re.sub(r"\s*/\s*", " OR ", package["license"] or "")
    checksum = checksums.get((name, version))
    return {
        "type": "library",
        "bom-ref": f"pkg:cargo/{name}@{version}",
        "name": name,
        "version": version,
        **({"hashes": [{"alg": "SHA-256", "content": checksum}]} if checksum else {}),
        **({"licenses": [{"expression": licence}]} if licence else {}),
        "purl": f"pkg:cargo/{name}@{version}",
    }


def libraries():
    """What the compilers link, and the certificates, which are in the image alone."""
    rust = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    yield {"type": "library", "bom-ref": "rust-std", "name": "rust-std", "version": rust}
    if not shutil.which("dpkg-query"):
        print("sbom.py: no dpkg here, so the libraries of C are not listed", file=sys.stderr)
        return
    packages = [("ca-certificates", "optional")]
    for library in ("libc.a", "libgcc_eh.a"):
        file = subprocess.run(["cc", f"-print-file-name={library}"], capture_output=True, text=True, check=True).stdout.strip()
        # /lib is /usr/lib, and dpkg knows a file by one of the two names.
        found = subprocess.run(["dpkg-query", "--search", Path(file).resolve()], capture_output=True, text=True, check=True)
        packages.append((found.stdout.partition(":")[0], "required"))
    for name, scope in sorted(packages):
        show = ["dpkg-query", "--show", "--showformat", "${Version}\n", name]
        version = subprocess.run(show, capture_output=True, text=True, check=True).stdout.splitlines()[0]
        purl = f"pkg:deb/debian/{name}@{version}"
        yield {"type": "library", "bom-ref": purl, "name": name, "version": version, "scope": scope, "purl": purl}


def main():
    """Prints the bill of materials."""
    locked = tomllib.loads(LOCK.read_text())["package"]
    checksums = {(package["name"], package["version"]): package.get("checksum") for package in locked}
    program, *crates = [crate(package, checksums) for package in linked(json.load(sys.stdin))]
    bom = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**program, "type": "application"}},
        "components": sorted(crates, key=lambda component: component["purl"]) + list(libraries()),
    }
    text = json.dumps(bom, indent=1) + "\n"
    if fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        sys.exit(f"sbom.py: {fault}")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
