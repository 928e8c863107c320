#!/usr/bin/env python3
"""Prints what is linked into wxmint, and what stands beside it in the image, as CycloneDX 1.6, checked against its schema.

    cargo metadata --locked --features kubernetes --filter-platform TRIPLE --format-version 1 | sbom.py [ARCH]

Crates come from Cargo's own resolution: what is needed only to build, to test or to expand macros is left out. The static
libraries of C and of the compiler are named by the Debian packages that have them, and so are the image's certificates.
"""

import gzip
import json
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

ROOT = Path(__file__).resolve().parents[2]
# Where setup.sh unpacks the C library of aarch64.
LIBC = Path("target/tools/libc/usr")


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


def said(*words):
    """What a command prints."""
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def package_of(file):
    """Debian's package that has the file, and its version."""
    if file.is_relative_to(LIBC):
        with gzip.open(ROOT / LIBC / "share/doc/libc6-dev/changelog.Debian.gz", "rt") as changelog:
            return "libc6-dev", re.search(r"\((.*?)\)", changelog.readline())[1]
    # /lib is /usr/lib, and dpkg knows a file by one of the two names.
    name = said("dpkg-query", "--search", file.resolve()).partition(":")[0]
    return name, said("dpkg-query", "--show", "--showformat", "${Version}\n", name).splitlines()[0]


def libraries(machine=platform.machine()):
    """What the compilers link, and the certificates, which are in the image alone."""
    yield {"type": "library", "bom-ref": "rust-std", "name": "rust-std", "version": said("rustc", "--version").split()[1]}
    if not shutil.which("dpkg-query"):
        print("sbom.py: no dpkg here, so the libraries of C are not listed", file=sys.stderr)
        return
    gcc = (f"{machine}-linux-gnu-gcc", f"-B{LIBC}/lib/{machine}-linux-gnu")
    linked_in = [Path(said(*gcc, f"-print-file-name={library}").strip()) for library in ("libc.a", "libgcc_eh.a")]
    for file in sorted([Path("/usr/share/ca-certificates/mozilla"), *linked_in], key=package_of):
        (name, version), scope = package_of(file), "required" if file in linked_in else "optional"
        purl = f"pkg:deb/debian/{name}@{version}"
        yield {"type": "library", "bom-ref": purl, "name": name, "version": version, "scope": scope, "purl": purl}


def main():
    """Prints the bill of materials."""
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    checksums = {(package["name"], package["version"]): package.get("checksum") for package in locked}
    program, *crates = [crate(package, checksums) for package in linked(json.load(sys.stdin))]
    bom = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": {**program, "type": "application"}},
        "components": sorted(crates, key=lambda component: component["purl"]) + list(libraries(*sys.argv[1:])),
    }
    text = json.dumps(bom, indent=1) + "\n"
    if fault := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text):
        sys.exit(f"sbom.py: {fault}")
    sys.stdout.write(text)


if __name__ == "__main__":
    main()
