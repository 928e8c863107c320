#!/usr/bin/env python3
"""The files that a request runs through, from socket to socket: what must be read to know it.

    walk.py            # of a silent login, and of one person who scans to log in

Builds wxmint with the compiler's counters, and does each story 5 and 65 times, each with a new process, a Redis and the simulator
of its own. A line that has run 45 times more often belongs to the story; what runs at the start or now and then does not. Both
processes run equally long. For each file it prints how many of its lines have run, and how many it has, without unit tests.
Fails if a login runs through too many.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from sizes import is_test_file, without_tests

ROOT = Path(__file__).resolve().parents[2]
BUILT = ROOT / "target/walk"
PROGRAM = BUILT / "debug/wxmint"
FEW, MANY, OFTEN = 5, 65, 45
# Seconds. A replica looks at all of Redis every 10 s.
LASTS = 25
# Of a silent login: an afternoon's reading.
MOST_FILES, MOST_LINES = 45, 6_500
PUBLIC, ADMIN, SIMULATOR, REDIS = "http://127.0.0.1:8080", "http://127.0.0.1:9090", "http://127.0.0.1:8090", 6377


def build() -> Path:
    """Also the folder of the tools that read the counters."""
    subprocess.run(["rustup", "component", "add", "llvm-tools"], check=True, cwd=ROOT)
    wrapper = BUILT / "rustc"
    BUILT.mkdir(parents=True, exist_ok=True)
    wrapper.write_text('#!/bin/sh\nexec "$@" -C instrument-coverage\n')
    wrapper.chmod(0o755)
    command = ["cargo", "build", "--locked", "--workspace", "--features", "kubernetes", "--bin", "wxmint", "--target-dir", BUILT]
    subprocess.run(command, check=True, cwd=ROOT, env=os.environ | {"RUSTC_WORKSPACE_WRAPPER": str(wrapper)})
    libraries = subprocess.run(["rustc", "--print", "target-libdir"], check=True, cwd=ROOT, capture_output=True, text=True)
    return Path(libraries.stdout.strip()).parent / "bin"


def ask(url: str, body: dict | None = None, form: dict | None = None, bearer: str | None = None):
    """The answer, which must be one of success."""
    data = json.dumps(body).encode() if body is not None else urllib.parse.urlencode(form).encode() if form is not None else None
    headers = {"Content-Type": "application/json"} if body is not None else {}
    headers |= {"Authorization": f"Bearer {bearer}"} if bearer else {}
    with urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=10) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def log_in(appid: str) -> str:
    """A silent login, but for the first one of the process. Returns the token."""
    return ask(f"{PUBLIC}/login", {"code": code(), "appid": appid})["access_token"]


def code() -> str:
    """What wx.login would give."""
    return ask(f"{SIMULATOR}/_simulator/codes", {"person": "lin"})["codes"][0]


def scan(appid: str) -> None:
    """A page asks, the phone looks and approves, the page fetches its token."""
    phone = log_in(appid)
    asked = ask(f"{PUBLIC}/device_authorization", form={"client_id": "tv"})
    device = f"{PUBLIC}/device/{asked['user_code']}"
    ask(device, bearer=phone)
    ask(f"{device}/approve", {"code": code(), "appid": appid, "match": asked["match"]}, bearer=phone)
    grant = "urn:ietf:params:oauth:grant-type:device_code"
    ask(f"{PUBLIC}/token", form={"grant_type": grant, "device_code": asked["device_code"], "client_id": "tv"})


def run(times: int, story, folder: Path) -> Path:
    """Does the story, and returns what the counters say."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WXMINT_")}
    environment["LLVM_PROFILE_FILE"] = os.devnull
    counters = folder / "counters"
    subprocess.run([PROGRAM, "init", "--demo"], check=True, cwd=folder, env=environment, **quiet)
    appid = sorted(path.name for path in (folder / "apps").iterdir())[0]
    client = ["clients", "add", "tv", "--public", "--name", "TV", "--appid", appid, "--file", "clients.json"]
    subprocess.run([PROGRAM, *client], check=True, cwd=folder, env=environment, **quiet)
    settings = re.sub("(?m)^WXMINT_REDIS_URL=.*$", f"WXMINT_REDIS_URL=redis://127.0.0.1:{REDIS}", (folder / ".env").read_text())
    limits = "".join(f"WXMINT_LIMIT_{name}=100000/1m\n" for name in ("IP", "OPENID"))
    (folder / ".env").write_text(f"{settings}\nWXMINT_CLIENTS_FILE=clients.json\n{limits}")
    with ExitStack() as ended:
        processes = []
        for command in (["redis-server", "--port", str(REDIS), "--save", ""], [PROGRAM, "simulator"], [PROGRAM, "serve"]):
            profile = {"LLVM_PROFILE_FILE": str(counters)} if command[-1] == "serve" else {}
            process = subprocess.Popen(command, cwd=folder, env=environment | profile, **quiet)
            processes.append(process)
            ended.callback(lambda process=process: (process.send_signal(signal.SIGTERM), process.wait()))
        wait_until_ready(processes)
        ends = time.monotonic() + LASTS
        for _ in range(times):
            story(appid)
        time.sleep(max(0, ends - time.monotonic()))
    return counters


def wait_until_ready(processes: list[subprocess.Popen]) -> None:
    """At most half a minute."""
    for _ in range(300):
        if any(process.poll() is not None for process in processes):
            sys.exit("wxmint, its simulator or its Redis has ended: are their ports (8080, 9090, 8090, 6377) in use?")
        try:
            for url in (f"{ADMIN}/readyz", f"{SIMULATOR}/_simulator/stats"):
                urllib.request.urlopen(url, timeout=10).close()
            return
        except OSError:
            time.sleep(0.1)
    sys.exit("wxmint was not ready within 30 s")


def lines_run(tools: Path, story, times: int) -> Counter:
    """How often each line has run, by file and line."""
    with tempfile.TemporaryDirectory() as folder:
        counters = run(times, story, Path(folder))
        merged = counters.with_suffix(".merged")
        subprocess.run([tools / "llvm-profdata", "merge", "-o", merged, counters], check=True)
        export = [tools / "llvm-cov", "export", "-format=lcov", "-instr-profile", merged, PROGRAM]
        told = subprocess.run(export, check=True, capture_output=True, text=True)
    counted, file = Counter(), ""
    for line in told.stdout.splitlines():
        if line.startswith("SF:"):
            file = line[3:]
        elif line.startswith("DA:"):
            number, count = line[3:].split(",")[:2]
            counted[file, int(number)] += int(count)
    return counted


def own_lines(path: Path) -> int:
    """Without unit tests."""
    return len(without_tests(path.read_text()).splitlines())


def main() -> None:
    """Tells both stories."""
    if not shutil.which("redis-server"):
        sys.exit("redis-server is missing: tests/tools/setup.sh redis")
    tools = build()
    for name, story in (("a silent login", log_in), ("a scan to log in, from the phone's login to the page's token", scan)):
        few, many = (lines_run(tools, story, times) for times in (FEW, MANY))
        ran = [Path(file) for (file, line), count in many.items() if count - few[file, line] >= OFTEN]
        files = Counter(file for file in ran if file.is_relative_to(ROOT))
        whole = {file: own_lines(file) for file in files}
        for file in sorted(files):
            print(f"{files[file]:5} of {whole[file]:4}  {file.relative_to(ROOT)}")
        print(f"{name}: {len(files)} files, {sum(whole.values()):,} lines, of which {sum(files.values()):,} run\n")
        if story is log_in and (len(files) > MOST_FILES or sum(whole.values()) > MOST_LINES):
            sys.exit(f"it must be at most {MOST_FILES} files and {MOST_LINES:,} lines")


if __name__ == "__main__":
    main()
