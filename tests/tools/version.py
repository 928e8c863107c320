#!/usr/bin/env python3
"""The version: it stands in many files, and is the same in all of them.

    version.py             fails, and names the places, where they differ from Cargo.toml
    version.py 0.2.0       writes it into all of them
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CARGO = r'^(version = "|wxmint-\w+ = \{ version = ")([^"]+)'
LOCK = r'(name = "wxmint(?:-simulator|-verify)?"\nversion = ")([^"]+)'
IMAGE = r"(image: wxmint:|IMAGE \?= wxmint:)(\S+)"
RENDERED = r'(image: registry\.example\.com/wxmint:|app\.kubernetes\.io/version: "?)([^"\s]+)'
PAGE = r"((?:wxmint(?:-(?:image|miniprogram|simulator|spring|verify|web))?|CHANGELOG)[:-])(\d+\.\d+\.\d+(?:-rc\.\d+)?)"
MAVEN = r"(<artifactId>wxmint-spring</artifactId>\n\t*<version>)([^<]+)"
# Where: what stands before it, and the version.
PLACES = {
    "Cargo.toml": CARGO,
    "crates/*/Cargo.toml": CARGO,
    "Cargo.lock": LOCK,
    "fuzz/Cargo.lock": LOCK,
    "clients/*/package.json": r'^(  "version": ")([^"]+)',
    "clients/miniprogram/package-lock.json": r'("name": "wxmint-miniprogram",\n +"version": ")([^"]+)',
    "clients/java/pom.xml": MAVEN,
    "examples/peers/java-spring/pom.xml": MAVEN,
    "k8s/chart/Chart.yaml": r"^((?:version|appVersion): )(\S+)",
    "k8s/rendered/*.yaml": RENDERED,
    "CITATION.cff": r"^(version: )(\S+)",
    "compose.yaml": IMAGE,
    "Makefile": IMAGE,
    "*.md": PAGE,
    "docs/*.md": PAGE,
}


def main():
    """Compares or writes."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else re.search(CARGO, (ROOT / "Cargo.toml").read_text(), re.M)[2]
    different = []
    for pattern, form in PLACES.items():
        found = 0
        for file in sorted(ROOT.glob(pattern)):
            text = file.read_text()
            versions = [match[2] for match in re.finditer(form, text, re.M)]
            found += len(versions)
            if set(versions) - {wanted}:
                different.append(f"{file.relative_to(ROOT)}: {', '.join(versions)} instead of {wanted}")
            if len(sys.argv) > 1:
                file.write_text(re.sub(form, rf"\g<1>{wanted}", text, flags=re.M))
        if not found:
            sys.exit(f"version: no version in {pattern}")
    if different and len(sys.argv) == 1:
        sys.exit("\n".join(different))
    print(f"version: {wanted}" + (f", written to {len(different)} files" if different else ""))


main()
