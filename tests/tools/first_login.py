#!/usr/bin/env python3
"""From nothing to a login, in seconds, by what dist/ has: `make first-login`.

    first_login.py WAY...

Nothing is in the network but loopback. What stands in for what:

    binary    the archive is unpacked, and `wxmint demo` runs in a root that holds nothing else (bubblewrap)
    aarch64   the same with the other archive, and with qemu in the root
    image     umoci unpacks the image and bubblewrap runs `demo` in it, as the image's user; in place of an engine
    compose   the services of compose.yaml as processes of this machine, with the program of the archive; no image is pulled
    chart     helm renders the packed chart; the pod's command and settings in the image's root, and files where its Secrets
              are mounted; Redis and the simulator run beside it; in place of a cluster
    source    git clone, and `cargo build` from nothing but the crates' sources, which are there already; then the demo
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import compose_check
import yaml
from compose_check import until
from image_run import APPID, SECRET, Sandbox

ROOT = Path(__file__).resolve().parents[2]
DIST = ROOT / "dist"
DEMO = "http://127.0.0.1:8080"
SECRETS = "/var/run/wxmint"  # in the chart's pods
CHART = ["image.repository=wxmint", "issuer=https://login.example.com", f"appid={APPID}", "settings.WXMINT_WECHAT_URL=http://127.0.0.1:8090"]


def run(*words, **options):
    """A command that must succeed."""
    return subprocess.run([str(word) for word in words], check=True, text=True, stdout=subprocess.PIPE, **options).stdout


def only(pattern):
    """The one file of dist/ with this name."""
    found = list(DIST.glob(pattern))
    return found[0] if len(found) == 1 else sys.exit(f"first-login: dist/ has {len(found)} files {pattern}: make release")


def log_in(wechat):
    """As a phone does, once the service answers."""
    person = {"person": "lin", "appid": APPID}
    deadline = time.monotonic() + compose_check.PATIENCE
    # Each time with a new code: the demo listens before it has bound this person to an account.
    while True:
        code = until("the simulator gives a code", 200, f"{wechat}/_simulator/codes", person)["codes"][0]
        status, answer = compose_check.ask(f"{DEMO}/login", {"code": code, "appid": APPID})
        if status == 200:
            assert json.loads(answer)["access_token"].count(".") == 2, answer
            return
        assert time.monotonic() < deadline, answer
        time.sleep(0.05)



def started(folder, *words):
    """A process of this machine, which ends with this script; its output is not wanted."""
    words = ["setpriv", "--pdeathsig", "KILL", *words]
    return subprocess.Popen(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def stop(process):
    """By SIGTERM."""
    process.terminate()
    process.wait()


def unpacked_program(folder, machine="x86_64"):
    """The program of the archive."""
    with tarfile.open(only(f"wxmint-*-{machine}-linux.tar.gz")) as tar:
        tar.extractall(folder, filter="data")
    return next(folder.glob("wxmint-*-linux/wxmint"))


def unpacked_image(folder):
    """The bundle that an engine would run."""
    with tarfile.open(only("wxmint-image-*-x86_64.tar")) as tar:
        tar.extractall(folder / "oci", filter="data")
    tag = json.loads((folder / "oci/index.json").read_text())["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"]
    run("umoci", "unpack", "--rootless", "--image", f"{folder / 'oci'}:{tag}", folder / "bundle", stderr=subprocess.DEVNULL)
    return with_mounts(folder / "bundle")


def with_mounts(bundle):
    """With the folders that an engine makes before the root becomes read-only."""
    for mount in ("dev", "proc", "tmp"):
        (bundle / "rootfs" / mount).mkdir(exist_ok=True)
    return bundle


def demo(bundle, folder, *runner):
    """Logs in at `wxmint demo` in this root."""
    sandbox = Sandbox(bundle, [*runner, "/wxmint", "demo"], folder)
    log_in(DEMO)
    sandbox.stop()


def binary(folder, machine="x86_64", qemu=None):
    """In a root with the program and the name server, and nothing else."""
    root = folder / "bundle/rootfs"
    (root / "etc").mkdir(parents=True)
    unpacked_program(folder, machine).rename(root / "wxmint")
    if qemu:
        shutil.copy(qemu, root / "qemu")
    (root / "etc/resolv.conf").write_text(Path("/etc/resolv.conf").read_text())
    (folder / "bundle/config.json").write_text(json.dumps({"process": {"user": {"uid": 65532, "gid": 65532}}}))
    demo(with_mounts(folder / "bundle"), folder, *["/qemu"] * bool(qemu))


def aarch64(folder):
    """In a root that has qemu too."""
    binary(folder, "aarch64", "/usr/bin/qemu-aarch64-static")


def image(folder):
    """The image's root."""
    demo(unpacked_image(folder), folder)


def compose(folder):
    """All services, and a request through the sidecar."""
    services = compose_check.services_of(ROOT / "compose.yaml")
    os.chdir(ROOT)
    compose_check.up(services, unpacked_program(folder), folder)


def chart(folder):
    """The Deployment's first container, as the chart's notes say to prepare it."""
    values = [word for value in CHART for word in ("--set", value)]
    helm = Path(sys.executable).parent / "helm"
    objects = list(yaml.safe_load_all(run(helm, "template", "wxmint", only("wxmint-[0-9]*[0-9].tgz"), *values)))
    named = {(item["kind"], item["metadata"]["name"]): item for item in objects if item}
    pod = named["Deployment", "wxmint"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    settings = {variable["name"]: variable["value"].replace(SECRETS, "/tmp") for variable in container["env"]}

    bundle = unpacked_image(folder)
    simulator = Sandbox(bundle, ["/wxmint", "simulator", "--listen", "127.0.0.1:8090", "--app", f"{APPID}:{SECRET}"], folder)
    redis = started(folder, "redis-server", "--appendonly", "yes")
    generate = Sandbox(bundle, ["/wxmint", "keys", "generate", "--keys", "/tmp/keys.json"], folder)
    assert generate.process.wait(60) == 0, "".join(generate.lines)
    made = {"vault.key": run("openssl", "rand", "-base64", "32"), "app-secret": SECRET, "redis-url": "redis://127.0.0.1:6379"}
    for name, content in made.items():
        (folder / name).write_text(content)
        (folder / name).chmod(0o400)
    serve = Sandbox(bundle, ["/wxmint", *container["args"]], folder, settings)
    probe = container["readinessProbe"]["httpGet"]
    port = next(port["containerPort"] for port in container["ports"] if port["name"] == probe["port"])
    try:
        until("the pod is ready", 200, f"http://127.0.0.1:{port}{probe['path']}")
        log_in("http://127.0.0.1:8090")
    except AssertionError as error:
        sys.exit(f"first-login: {error}\n{''.join(serve.lines)}")
    finally:
        stop(redis)
        for sandbox in (serve, simulator):
            if sandbox.process.poll() is None:
                sandbox.stop()


def source(folder):
    """Everything is compiled."""
    run("git", "clone", "--quiet", "--no-local", ROOT, folder / "src")
    environment = {name: value for name, value in os.environ.items() if name != "CARGO_TARGET_DIR"}
    run("cargo", "build", "--quiet", "--locked", "--offline", cwd=folder / "src", env=environment)
    process = started(folder, folder / "src/target/debug/wxmint", "demo")
    log_in(DEMO)
    stop(process)


WAYS = {way.__name__: way for way in (binary, aarch64, image, compose, chart, source)}


def main():
    """Each way in an empty folder; a line of the table for each."""
    ways = [word for word in sys.argv[1:] if word != "--alone"]
    if not ways or set(ways) - set(WAYS):
        sys.exit(__doc__)
    if "--alone" not in sys.argv:
        sys.exit(compose_check.alone(compose_check.services_of(ROOT / "compose.yaml")))
    for way in ways:
        with tempfile.TemporaryDirectory() as place:
            start = time.monotonic()
            WAYS[way](Path(place))
            print(f"first-login: {way:8} {time.monotonic() - start:7.1f} s", flush=True)


if __name__ == "__main__":
    main()
