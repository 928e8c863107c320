#!/usr/bin/env python3
"""Makes the container image without an engine: an OCI layout with one layer, configured as the Dockerfile's last stage says.

    oci_image.py DOCKERFILE ROOT LAYOUT [VERSION ARCH]

ROOT is what image_root.sh has laid out. The same ROOT gives the same bytes: files are in order, belong to root, and have
no time. The image is as old as SOURCE_DATE_EPOCH says, if it is set. `manifest.json` is for a `docker load` older than OCI layouts.
"""

import gzip
import hashlib
import io
import json
import os
import platform
import sys
import tarfile
from datetime import UTC, datetime
from pathlib import Path

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def last_stage(dockerfile):
    """The instructions below the last FROM, as (name, arguments)."""
    text = dockerfile.read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    start = max(number for number, line in enumerate(lines) if line.startswith("FROM "))
    return [tuple(line.split(maxsplit=1)) for line in lines[start + 1 :]]


def process(dockerfile):
    """The image's `config`. An instruction that is not known here stops the build, so that none is left out."""
    config = {}
    for name, value in last_stage(dockerfile):
        if name == "USER":
            config["User"] = value
        elif name == "EXPOSE":
            config["ExposedPorts"] = {f"{port}/tcp": {} for port in value.split()}
        elif name in ("ENTRYPOINT", "CMD"):
            config[name.title()] = json.loads(value)
        elif (name, value) != ("COPY", "--from=build /image/ /"):
            sys.exit(f"oci_image.py does not know this instruction of {dockerfile}: {name} {value}")
    return config


def layer(root):
    """The files of ROOT as a tar."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(root.rglob("*")):
            entry = tar.gettarinfo(path, path.relative_to(root))
            entry.uid = entry.gid = entry.mtime = 0
            entry.uname = entry.gname = ""
            entry.mode = 0o755 if path.is_dir() or entry.mode & 0o100 else 0o644
            if path.is_file():
                with path.open("rb") as content:
                    tar.addfile(entry, content)
            else:
                tar.addfile(entry)
    return out.getvalue()


class Layout:
    """A folder of the OCI image layout."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "blobs/sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def add(self, media_type, content):
        """Stores a blob and returns its descriptor."""
        data = content if isinstance(content, bytes) else json.dumps(content, sort_keys=True).encode()
        digest = hashlib.sha256(data).hexdigest()
        (self.folder / "blobs/sha256" / digest).write_bytes(data)
        return {"mediaType": f"application/vnd.oci.image.{media_type}", "digest": f"sha256:{digest}", "size": len(data)}


def main():
    """Writes the layout and prints the size of what is downloaded."""
    dockerfile, root, folder = map(Path, sys.argv[1:4])
    version, machine = sys.argv[4:] or ("latest", platform.machine())
    layout, files = Layout(folder), layer(root)
    packed = layout.add("layer.v1.tar+gzip", gzip.compress(files, mtime=0))
    config = {
        "architecture": ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "config": process(dockerfile),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(files).hexdigest()}"]},
    }
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        config["created"] = datetime.fromtimestamp(int(epoch), UTC).isoformat()
    configured = layout.add("config.v1+json", config)
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": configured}
    named = layout.add("manifest.v1+json", {**manifest, "layers": [packed]})
    # The second is the name that containerd gives it, and with it Docker.
    names = {"org.opencontainers.image.ref.name": version, "io.containerd.image.name": f"docker.io/library/wxmint:{version}"}
    named["annotations"] = names
    blob = {part["digest"]: f"blobs/{part['digest'].replace(':', '/')}" for part in (configured, packed)}
    old = {"Config": blob[configured["digest"]], "RepoTags": [f"wxmint:{version}"], "Layers": [blob[packed["digest"]]]}
    (folder / "manifest.json").write_text(json.dumps([old]))
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
    print(packed["size"])


if __name__ == "__main__":
    main()
