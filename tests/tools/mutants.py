#!/usr/bin/env python3
"""Plants the faults of tests/mutants.toml, one at a time, and fails if the tests that should notice one do not.

    mutants.py [--check] [--minutes MINUTES] [--only TEXT] [LIST]

All faults are built into one copy of the tree, below target/mutants. Each function that has faults gets its body several times:
as it is, and once with each fault. Each process looks up which fault is planted in it by the session that it belongs to, which
tests and the programs that they start share; so two faults are tried at the same time. A fault outside of a function's body, or
in a `const fn`, has no choice at run time: it gets a build of its own, which takes a minute. First all tests are run without a
fault, and have to pass. --only tries the faults whose text or file has this TEXT. After MINUTES (15) no further fault is tried,
and the exit code is 1, as it is if a fault is not noticed or its text is no longer there. For a fault that names no tests, all are
run, and those that notice it are named. LIST is another list than tests/mutants.toml. --check plants nothing: it says which texts
and tests are no longer there.
"""

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "target/mutants"
TREE, BUILD, PLANTED = WORK / "tree", WORK / "build", WORK / "planted"
TARGETS = ["--lib", "--test", "it", "--test", "proofs", "--test", "vectors"]
# A test that takes longer than this hangs, and has noticed the fault.
LIMIT = 120
# At the end of each crate's lib.rs.
CHOICE = """
/// The number of the fault that is planted in this process, by its session.
pub(crate) fn planted() -> u32 {
    static NUMBER: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    *NUMBER.get_or_init(|| {
        let process = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let session = process.rsplit(')').next().and_then(|text| text.split_whitespace().nth(3)).unwrap_or_default();
        let number = std::fs::read_to_string(format!("%s/{session}"));
        number.ok().and_then(|number| number.trim().parse().ok()).unwrap_or(0)
    })
}

/// Of a script, the lines for the fault that is planted.
#[allow(dead_code)]
pub(crate) fn planted_script(text: &str) -> String {
    let planted = planted().to_string();
    let mut is_kept = true;
    text.split_inclusive('\\n').filter(|line| match line.trim_end().split_once("--@") {
        Some(("", choice)) => {
            let (kind, numbers) = choice.split_once(' ').unwrap_or((choice, ""));
            is_kept = kind == "all" || (kind == "only") == numbers.split(' ').any(|number| number == planted);
            false
        }
        _ => is_kept,
    }).collect()
}
""" % PLANTED
# Where a script's text is read, and what chooses its lines.
OF_SCRIPTS = "crates/redis-link/src/call.rs"
SCRIPT = ("pub fn new(text: &str) -> Self {", "\n        let text = &*crate::planted_script(text);")

# A raw string, a string, a character, a comment: nothing in them is a brace of the program.
NOT_CODE = re.compile(
    r"""r(\#+)".*?"\1 | "(?:\\.|[^"\\])*" | '(?:\\[^u]|\\u\{[^}]*\}|[^'\\])' | //[^\n]* | /\*.*?\*/""", re.X | re.S
)


def blanked(text: str) -> str:
    """The text with spaces in place of strings and comments, and the same lines."""
    return NOT_CODE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def block_end(code: str, start: int) -> int:
    """The place behind the block, or the semicolon, that ends the item at `start`."""
    depth = 0
    for place in range(start, len(code)):
        if code[place] == "{":
            depth += 1
        elif code[place] == "}":
            depth -= 1
            if depth == 0:
                return place + 1
        elif code[place] == ";" and depth == 0:
            return place + 1
    return len(code)


# By name, each with its program and the folder where that runs.
Tests = dict[str, tuple[Path, Path]]


class Wrong(Exception):
    """What is wrong with the list of faults, in words."""


@dataclass
class Fault:
    number: int
    file: str
    find: str
    replace: str
    caught_by: list[str] = field(default_factory=list)
    # It gets a build of its own.
    apart: bool = False

    def __str__(self) -> str:
        return f"{self.file}: {' '.join(self.find.split())[:70]}"

    def misplaced(self) -> str:
        """Why it cannot be planted, if it cannot."""
        path = ROOT / self.file
        times = path.read_text().count(self.find) if path.is_file() else 0
        return "" if times == 1 else f"its `find` is {times} times in the file, and has to be there once: {self}"

    def within(self, text: str) -> str:
        """`text`, which is the file or a part of it, with the fault."""
        return text.replace(self.find, self.replace)


def body_of(code: str, start: int, end: int) -> tuple[int, int] | None:
    """The body of the innermost function around a place. `code` is blanked."""
    found = None
    for function in re.finditer(r"(\bconst (?:unsafe )?)?\bfn \w+", code):
        if function.start() > start:
            break
        depth = 0
        for place in range(function.end(), len(code)):
            depth += (code[place] in "([") - (code[place] in ")]")
            if depth == 0 and code[place] in "{;":
                break
        if code[place] == "{" and place < start and end < (last := block_end(code, place)):
            found = None if function[1] else (place, last)
    return found


def planted_in_rust(text: str, faults: list[Fault]) -> str:
    """`text` with the choice among its faults in each body that has any."""
    code, bodies = blanked(text), defaultdict(list)
    for fault in faults:
        start = text.index(fault.find)
        if body := body_of(code, start, start + len(fault.find)):
            bodies[body].append(fault)
        else:
            fault.apart = True
    for inner in sorted(bodies):
        if outer := next((body for body in bodies if body[0] < inner[0] and inner[1] < body[1]), None):
            bodies[outer] += bodies.pop(inner)
    # From the last to the first, so that places before stay where they are.
    for (start, end), of_body in sorted(bodies.items(), reverse=True):
        body = text[start:end]
        arms = "".join(f" {fault.number} => {fault.within(body)}" for fault in of_body)
        text = f"{text[:start]}{{ match crate::planted() {{{arms} _ => {body} }} }}{text[end:]}"
    return text


def planted_in_lua(text: str, faults: list[Fault]) -> str:
    numbers = " ".join(str(fault.number) for fault in faults)
    ended = [source.rstrip("\n") + "\n" for source in [text, *(fault.within(text) for fault in faults)]]
    faulty = "".join(f"--@only {fault.number}\n{source}" for fault, source in zip(faults, ended[1:]))
    return f"--@unless {numbers}\n{ended[0]}{faulty}--@all\n"


def sources() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True)
    return [name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def write(name: str, content: bytes) -> None:
    """What has not changed is not written, because it would be built again."""
    path = TREE / name
    if not path.exists() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod((ROOT / name).stat().st_mode)


def plant(faults: list[Fault]) -> None:
    """Writes the tree with all faults to choose from."""
    of_file = defaultdict(list)
    for fault in faults:
        of_file[fault.file].append(fault)
    names = sources()
    for name in names:
        content = (ROOT / name).read_bytes()
        if name in of_file or re.fullmatch(r"(crates/[^/]+/)?src/lib\.rs", name) or name == OF_SCRIPTS:
            text = content.decode()
            if name in of_file:
                text = (planted_in_lua if name.endswith(".lua") else planted_in_rust)(text, of_file[name])
            if name == OF_SCRIPTS and text.count(SCRIPT[0]) != 1:
                raise Wrong(f"{name} does not make a script by `{SCRIPT[0]}` any more")
            text = text.replace(SCRIPT[0], "".join(SCRIPT)) + (CHOICE if name.endswith("src/lib.rs") else "")
            content = text.encode()
        write(name, content)
    for path in TREE.rglob("*"):
        if path.is_file() and not path.is_symlink() and str(path.relative_to(TREE)) not in names:
            path.unlink()


def prepare() -> None:
    """An empty tree, and what is built already of the dependencies."""
    shutil.rmtree(PLANTED, ignore_errors=True)
    PLANTED.mkdir(parents=True)
    (TREE / "target").mkdir(parents=True, exist_ok=True)
    if not (TREE / "target/tools").is_symlink():
        (TREE / "target/tools").symlink_to(ROOT / "target/tools")
    for folder in ["build", "deps", ".fingerprint"]:
        if (ROOT / "target/debug" / folder).exists() and not (BUILD / "debug" / folder).exists():
            (BUILD / "debug").mkdir(parents=True, exist_ok=True)
            subprocess.run(["cp", "-a", "--reflink=auto", ROOT / "target/debug" / folder, BUILD / "debug"], check=True)


def build() -> Tests:
    """All tests."""
    command = [os.environ.get("CARGO", "cargo"), "test", "--no-run", "--locked", "--workspace", "--features", "kubernetes"]
    command += [*TARGETS, "--target-dir", str(BUILD), "--message-format", "json"]
    built = subprocess.run(command, cwd=TREE, stdout=subprocess.PIPE, text=True)
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    if built.returncode:
        told = [message.get("message", {}) for message in messages if message["reason"] == "compiler-message"]
        errors = "".join(message["rendered"] for message in told if message["level"] == "error")
        raise Wrong(f"{errors}\nthe tree with the faults does not build: both forms of a function's body have to compile")
    tests = {}
    for message in messages:
        if message.get("executable") and message["profile"]["test"]:
            folder = Path(message["manifest_path"]).parent
            listed = subprocess.run([message["executable"], "--list"], cwd=folder, check=True, capture_output=True, text=True)
            names = re.findall(r"^(.*): test$", listed.stdout, re.M)
            tests |= {name: (Path(message["executable"]), folder) for name in names}
    return tests


def run(program: Path, folder: Path, names: list[str], number: int, threads: int = 1) -> str:
    """Runs tests of one program with a fault planted. What they said, if they failed or hang."""
    command = ["sh", "-c", f'echo {number} > "{PLANTED}/$$" && exec "$@"', "sh", program, "--exact", "--include-ignored"]
    command += ["--format=pretty", f"--test-threads={threads}", *names]
    environment = os.environ | {"RUST_BACKTRACE": "0"}
    outputs = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "errors": "replace"}
    with subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, **outputs) as test:
        try:
            said, _ = test.communicate(timeout=LIMIT * len(names))
        except subprocess.TimeoutExpired:
            said = f"hangs: {names}"
        finally:
            if test.poll() is None:
                os.killpg(test.pid, signal.SIGKILL)
    (PLANTED / str(test.pid)).unlink(missing_ok=True)
    return "" if test.returncode == 0 else said


def run_all(names: Iterable[str], tests: Tests, number: int) -> str:
    """The same with tests of all programs."""
    of_program = defaultdict(list)
    for name in sorted(names):
        of_program[tests[name]].append(name)
    return "".join(run(program, folder, of_it, number, 2) for (program, folder), of_it in of_program.items())


def noticed(fault: Fault, tests: Tests) -> str | None:
    """The first of its tests that fails; of a fault that names none, all tests that fail."""
    if fault.caught_by:
        return next((name for name in fault.caught_by if run(*tests[name], [name], fault.number)), None)
    return ", ".join(re.findall(r"^test (.*) \.\.\. FAILED$", run_all(tests, tests, fault.number), re.M))


def try_all(faults: list[Fault], tests: Tests, ends_at: float) -> list[str]:
    """Plants one after the other, and prints a line for each. What is wrong."""
    wrong = []

    def attempt(fault: Fault) -> None:
        began = time.monotonic()
        if began > ends_at:
            wrong.append(f"not tried: {fault}")
            return
        if fault.apart:
            write(fault.file, fault.within((TREE / fault.file).read_text()).encode())
            build()
        by = noticed(fault, tests)
        took = time.monotonic() - began
        if not by or not fault.caught_by:
            wrong.append(f"{'names no test' if by else 'not noticed'}: {fault}")
        print(f"{fault.number:4}/{len(faults)} {took:4.0f} s  {fault}\n{'':14}{by or 'NOT NOTICED'}", flush=True)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(attempt, [fault for fault in faults if not fault.apart]))
    for fault in faults:
        if fault.apart:
            attempt(fault)
            plant(faults)
    return wrong


def unwritten(faults: list[Fault]) -> set[str]:
    """The tests that no source has, or that are named without their module."""
    written = "".join((ROOT / name).read_text() for name in sources() if name.endswith(".rs"))
    module, test = re.compile(r"\w+::"), lambda name: f"fn {name.rsplit('::')[-1]}("
    return {name for fault in faults for name in fault.caught_by if not module.match(name) or test(name) not in written}


def main() -> int:
    parser = argparse.ArgumentParser(description="plants the faults of tests/mutants.toml")
    parser.add_argument("list", nargs="?", type=Path, default=ROOT / "tests/mutants.toml")
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--only", default="")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    listed = tomllib.loads(options.list.read_text())["fault"]
    chosen = [fault for fault in listed if options.only in fault["file"] + fault["find"]]
    faults = [Fault(number, **fault) for number, fault in enumerate(chosen, 1)]
    misplaced = [reason for fault in faults if (reason := fault.misplaced())]
    if options.check:
        wrong = misplaced + [f"there is no test {name}" for name in sorted(unwritten(faults))]
        print("\n".join([f"mutants: {text}" for text in wrong] or [f"mutants: {len(faults)} faults are in their places"]))
        return 1 if wrong else 0
    faults = [fault for fault in faults if not fault.misplaced()]
    try:
        prepare()
        plant(faults)
        tests = build()
        names = {name for fault in faults for name in fault.caught_by}
        if unknown := names - tests.keys():
            raise Wrong(f"there is no test {', '.join(sorted(unknown))}")
        print(f"{len(faults)} faults, {len(names)} tests: without a fault first", flush=True)
        if said := run_all(names, tests, 0):
            raise Wrong(f"{said}\nthese tests fail without any fault")
        wrong = try_all(faults, tests, time.monotonic() + 60 * options.minutes)
    except Wrong as error:
        wrong = [str(error)]
    wrong += misplaced
    print("\n".join([f"mutants: {text}" for text in wrong] or [f"mutants: all {len(faults)} faults are noticed"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
