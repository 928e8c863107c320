#!/usr/bin/env python3
"""Makes the files of a release, for all architectures, on x86_64: `make release` and `make release-check`.

    release.py          writes dist/, from what is committed
    release.py again    makes the release once more, in a folder of another name, and compares the bytes

The same commit, compilers and C libraries give the same bytes. Every time in the files is that of the commit.
"""

import datetime
import gzip
import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

from sbom import libraries, linked

ROOT = Path(__file__).resolve().parents[2]
DIST, WORK, TOOLS = ROOT / "dist", ROOT / "target/release-files", ROOT / "target/tools"
MACHINES = ("x86_64", "aarch64")
# In the order in which crates.io gets them: each after those that it depends on.
CRATES = (
    "wxmint-verify", "wxmint-ids", "wxmint-keys", "wxmint-upstream", "wxmint-redis-link", "wxmint-store", "wxmint-wechat",
    "wxmint-platforms",
    "wxmint-telemetry", "wxmint-http", "wxmint-simulator", "wxmint",
)
LICENCE = re.compile(r"(licen[sc]e|copying|notice|unlicense|copyright)", re.I)
LGPL = Path("/usr/share/common-licenses/LGPL-2.1")
# What lies beside the program in its archive, as it lies in the repository.
BESIDE = ("LICENSE-MIT", "LICENSE-APACHE", "README.md", "README.zh-CN.md", "CHANGELOG.md", ".env.example", ".env.example.zh-CN", "docs")
# What is used as it lies here, even where git ignores it: `wxmint init` may have left keys in one of these folders.
PACKED = ("docs", "src", "crates", "clients/java/src", "k8s/chart", ".cargo")
# Variables that change the program, which provenance does not tell. (CARGO_TARGET_DIR, make's own, and those of the dev profile do not.)
CHANGE = re.compile(
    r"CARGO_(ENCODED|BUILD_(?!JOBS)|PROFILE_(?!DEV_)|TARGET_.*_)|RUSTC|((TARGET|HOST)_)?(CC|CXX|AR|LD)(_|$)|(?!M|GNUMAKE).*FLAGS|AWS_LC_"
    r"|CMAKE_|CROSS_COMPILE|CRATE_CC_|(C|CPLUS|OBJC)_INCLUDE_PATH|CPATH|LIBRARY_PATH|COMPILER_PATH|GCC_EXEC_PREFIX"
    r"|GIT_(DIR|WORK_TREE|INDEX_FILE)"
)
# What Cargo's configuration outside of the checkout may say: where crates come from, whose sums Cargo.lock has, and how Cargo
# talks. All else can change the program, as `profile`, `env` and `target` do. (No sum is taken of the files in a `directory`.)
HARMLESS = {"alias", "cache", "cargo-new", "credential-alias", "http", "net", "registries", "registry", "term"}
HARMLESS |= {"build.jobs", "build.target-dir", "source.registry", "source.replace-with"}
MANIFEST = "META-INF/MANIFEST.MF"
COMPLETIONS = {"bash": "wxmint.bash", "zsh": "_wxmint", "fish": "wxmint.fish"}


def run(*words, **options):
    """Runs a command that must succeed; returns what it prints."""
    options = {"cwd": ROOT, "check": True, "text": True, "stdout": subprocess.PIPE, **options}
    return subprocess.run([str(word) for word in words], **options).stdout


def commit():
    """The commit, and its time in seconds."""
    return run("git", "log", "-1", "--format=%H %ct").split()


def pack(files, out, time, compressed=True):
    """Writes a tar of (name, content, executable): names in order, owner 0, one time."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content, executable in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(content), int(time), 0o755 if executable else 0o644
            tar.addfile(entry, io.BytesIO(content))
    data = plain.getvalue()
    out.write_bytes(gzip.compress(data, mtime=0) if compressed else data)


def repacked(archive, out, time):
    """What npm or helm has packed, by `pack`."""
    with tarfile.open(archive) as tar:
        files = [(entry.name, tar.extractfile(entry).read(), False) for entry in tar if entry.isfile()]
    pack(files, out, time)


def below(folder):
    """The files of a folder, with their names in it."""
    return [(str(path.relative_to(folder)), path.read_bytes(), False) for path in folder.rglob("*") if path.is_file()]


def notices(packages):
    """The licences of all that is linked into the program, each text once."""
    texts, bare = {}, []

    def note(path, part):
        text = path.read_text(errors="replace").strip()
        texts.setdefault(" ".join(text.split()), (text, set()))[1].add(part)

    for package in packages:
        folder, part = Path(package["manifest_path"]).parent, f"{package['name']} {package['version']}"
        # aws-lc-sys says in a folder of its own whose C code it has.
        found = [path for path in folder.iterdir() if path.is_file() and LICENCE.match(path.name)]
        for path in sorted(found) + sorted(folder.glob("aws-lc/LICENSE")):
            note(path, part)
        bare += [] if found else [f"  {part}: {package['license']}\n"]
    # Rust's standard library is licensed as we are, and its copyright is the Rust Project's.
    note(ROOT / "LICENSE-APACHE", "the Rust Project's standard library")
    note(LGPL, "the GNU C Library")
    head = (
        "wxmint is licensed under MIT or Apache-2.0, at your choice. The program is linked with the parts below.\n"
        "The GNU C Library is under LGPL 2.1: its source is Debian's package glibc in the version that the bill of materials\n"
        "(*.cdx.json) names, and `make release` in wxmint's source links the program again, with a changed library too.\n"
        "The compiler's runtime is under GPL 3 with GCC's runtime library exception, which lets any program have it.\n"
        "These come without a text of their own:\n" + "".join(sorted(bare))
    )
    parts = sorted(f"{', '.join(sorted(users))}\n\n{text}\n" for text, users in texts.values())
    return ("\n" + "=" * 80 + "\n").join([head, *parts])


def changes(version):
    """The changelog's section."""
    text = (ROOT / "CHANGELOG.md").read_text()
    found = re.search(rf"^## {re.escape(version)}\b.*?(?=^## |\Z)", text, re.M | re.S)
    return found[0].strip() + "\n" if found else sys.exit(f"release: CHANGELOG.md has no section {version}")


def commands(program, *words):
    """The command and all below it, by its help."""
    listed = run(program, *words, "--help").partition("Commands:\n")[2].partition("\n\n")[0]
    below = [name for name in re.findall(r"^  ([\w-]+)", listed, re.M) if name != "help"]
    return [words, *(command for name in below for command in commands(program, *words, name))]


def printed(program):
    """Completions and manual pages, as the program prints them."""
    said = {f"completions/{file}": ("completions", shell) for shell, file in COMPLETIONS.items()}
    said |= {f"man/{'-'.join(('wxmint', *words))}.1": ("man", *words) for words in commands(program)}
    return [(path, run(program, *words).encode(), False) for path, words in said.items()]


def write_program(machine, program, beside, version, time):
    """The program's archive, its bill of materials, the image."""
    asked = ("--features", "kubernetes", "--filter-platform", f"{machine}-unknown-linux-gnu", "--format-version", "1")
    metadata = run("cargo", "metadata", "--quiet", "--locked", *asked)
    name = f"wxmint-{version}-{machine}-linux"
    bill = run(sys.executable, "tests/tools/sbom.py", machine, input=metadata)
    (DIST / f"{name}.cdx.json").write_text(bill)

    third_party = notices(linked(json.loads(metadata))).encode()
    files = [("wxmint", program.read_bytes(), True), ("THIRD-PARTY.txt", third_party, False), *beside]
    for file in BESIDE:
        path = ROOT / file
        files += [(f"{file}/{part[0]}", *part[1:]) for part in below(path)] if path.is_dir() else [(file, path.read_bytes(), False)]
    pack([(f"{name}/{path}", *rest) for path, *rest in files], DIST / f"{name}.tar.gz", time)

    root, layout = WORK / machine / "root", WORK / machine / "oci"
    run("tests/tools/image_root.sh", program, root)
    licences = root / "usr/share/doc/wxmint"
    licences.mkdir(parents=True)
    (licences / "THIRD-PARTY.txt").write_bytes(third_party)
    for licence in ("LICENSE-MIT", "LICENSE-APACHE"):
        shutil.copy(ROOT / licence, licences)
    run(sys.executable, "tests/tools/oci_image.py", "Dockerfile", root, layout, version, machine)
    pack(below(layout), DIST / f"wxmint-image-{version}-{machine}.tar", time, compressed=False)


def zipped(files, out, time):
    """Writes a jar of (name, content, executable), names in order, of one time."""
    moment = datetime.datetime.fromtimestamp(int(time), datetime.timezone.utc).timetuple()[:6]
    with zipfile.ZipFile(out, "w") as jar:
        for name, content, _ in sorted(files, key=lambda file: (file[0] != MANIFEST, file)):  # where Java looks for it
            jar.writestr(zipfile.ZipInfo(name, moment), content, zipfile.ZIP_DEFLATED)


def write_java(version, time):
    """For Maven: classes with resources, sources and POM. Packed here, because each Maven packs other bytes."""
    library, built = ROOT / "clients/java", WORK / "java"
    shutil.copytree(library, built, ignore=shutil.ignore_patterns("target"))
    run("mvn", "-B", "-q", "-f", built / "pom.xml", "compile")
    sources, classes = library / "src/main/java", built / "target/classes"
    notes = [(MANIFEST, b"Manifest-Version: 1.0\nAutomatic-Module-Name: dev.wxmint.spring\n", False)]
    notes += [(f"META-INF/{name}", (ROOT / name).read_bytes(), False) for name in ("LICENSE-MIT", "LICENSE-APACHE")]
    zipped([*notes, *below(classes)], DIST / f"wxmint-spring-{version}.jar", time)
    zipped([*notes, *below(sources)], DIST / f"wxmint-spring-{version}-sources.jar", time)
    shutil.copy(library / "pom.xml", DIST / f"wxmint-spring-{version}.pom")


def write_packages(version, time):
    """For Helm, Maven, npm and crates.io."""
    write_java(version, time)
    run(TOOLS / "python/bin/helm", "package", "k8s/chart", "--destination", WORK)
    repacked(WORK / f"wxmint-{version}.tgz", DIST / f"wxmint-{version}.tgz", time)

    # What the package is built with is installed in target/tools/client. Node looks for it above the package's folder.
    client = TOOLS / "client/release"
    for name in ("miniprogram", "web"):
        shutil.rmtree(client, ignore_errors=True)
        for file in run("git", "ls-files", f"clients/{name}").split():
            copy = client / Path(file).relative_to(f"clients/{name}")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / file, copy)
        run("npm", "pack", "--loglevel=error", "--no-update-notifier", "--pack-destination", WORK, cwd=client)
        repacked(WORK / f"wxmint-{name}-{version}.tgz", DIST / f"wxmint-{name}-{version}.tgz", time)

    packages = [word for crate in CRATES for word in ("-p", crate)]
    run("cargo", "package", "--quiet", "--locked", "--no-verify", "--target-dir", WORK, *packages)
    for crate in CRATES:
        shutil.copy(WORK / f"package/{crate}-{version}.crate", DIST)
    (DIST / f"CHANGELOG-{version}.md").write_text(changes(version))


def digest(path):
    """SHA-256."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_provenance(version, revision):
    """What was made of what and by what: an in-toto statement with SLSA's predicate. It names nothing of this machine."""
    source = {"name": "wxmint", "digest": {"gitCommit": revision}}
    locks = ("Cargo.lock", "clients/miniprogram/package-lock.json", "tests/tools/requirements.txt", "clients/java/pom.xml")
    pinned = [{"name": lock, "digest": {"sha256": digest(ROOT / lock)}} for lock in locks]
    tools = {
        "rustc": run("rustc", "--version").strip(),
        "ld": run("ld", "--version").splitlines()[0],
        "javac": run("javac", "--version").strip(),
        "node": run("node", "--version").strip(),
        "python": platform.python_version(),
        **{f"{part['name']} for {machine}": part["version"] for machine in MACHINES for part in libraries(machine)},
    }
    files = [{"name": path.name, "digest": {"sha256": digest(path)}} for path in sorted(DIST.iterdir())]
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": files,
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": "urn:wxmint:make-release:1",
                "externalParameters": {"source": source, "command": "make release", "architectures": MACHINES},
                "resolvedDependencies": [source, *pinned],
            },
            "runDetails": {"builder": {"id": "urn:wxmint:RELEASING.md", "version": tools}},
        },
    }
    (DIST / f"wxmint-{version}.intoto.json").write_text(json.dumps(statement, indent=1) + "\n")


def changing_keys():
    """Of Cargo's configuration in the folders above, and in its own: what can change the program."""
    places = [folder / ".cargo" for folder in ROOT.parents] + [Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"))]
    own = (ROOT / ".cargo/config.toml").read_text()
    for path in (place / name for place in places for name in ("config", "config.toml")):
        text = path.read_text() if path.is_file() else ""
        # A second release lies in the folder of the first.
        for table, value in ({} if text == own else tomllib.loads(text)).items():
            keys = {"build": value, "source": [key for source in value.values() for key in source] if table == "source" else []}
            names = [f"{table}.{key}" for key in keys[table]] if table in keys else [table]
            yield from (f"{name} in {path}" for name in names if name not in HARMLESS)


def make():
    """Writes dist/."""
    if configured := list(changing_keys()):
        sys.exit(f"release: Cargo's configuration changes the program; remove: {', '.join(configured)}")
    if changing := sorted(filter(CHANGE.match, os.environ)):
        sys.exit(f"release: these variables change the program; unset them: {', '.join(changing)}")
    status = ("git", "status", "--porcelain", "--untracked-files=all")
    if changed := run(*status) or run(*status, "--ignored", "--", *PACKED):
        sys.exit(f"release: it is made of what is committed, and these differ:\n{changed}")
    version, (revision, time) = re.search(r'^version = "(.*)"', (ROOT / "Cargo.toml").read_text(), re.M)[1], commit()
    os.environ["SOURCE_DATE_EPOCH"] = time
    for folder in (DIST, WORK):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    programs = {machine: Path(run("tests/tools/program.sh", "--release", machine).strip()) for machine in MACHINES}
    beside = printed(programs["x86_64"])
    for machine, program in programs.items():
        write_program(machine, program, beside, version, time)
    write_packages(version, time)
    write_provenance(version, revision)
    sums = [f"{digest(path)}  {path.name}\n" for path in sorted(DIST.iterdir())]
    (DIST / "SHA256SUMS").write_text("".join(sums))
    print(f"release: {version} of {revision[:12]}")
    for path in sorted(DIST.iterdir()):
        print(f"  {path.stat().st_size / 1000:9.1f} kB  {path.name}")


def again():
    """A second release: checkout and Cargo's folder have other paths, of another length; the tools are those of this checkout."""
    place = ROOT / "target/another-folder"
    clone, home = place / "a-release-made-again", place / "home-of-cargo"
    shutil.rmtree(place, ignore_errors=True)
    home.mkdir(parents=True)
    for entry in Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo")).iterdir():
        (home / entry.name).symlink_to(entry)
    run("git", "clone", "--quiet", "--no-local", ROOT, clone)
    (clone / "target").mkdir()
    (clone / "target/tools").symlink_to(TOOLS)
    environment = {name: value for name, value in os.environ.items() if name != "CARGO_TARGET_DIR"}
    run("make", "release", cwd=clone, env={**environment, "CARGO_HOME": str(home)}, stdout=None)
    print(run("diff", "-r", DIST, clone / "dist"), "release: made twice, in folders of different names, the same bytes", sep="")


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            make()
        case ["again"]:
            again()
        case _:
            sys.exit(__doc__)
