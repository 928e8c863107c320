#!/usr/bin/env python3
"""Plants the faults of tests/mutants.toml and fails if the tests that should notice one do not.

    mutants.py [--check] [--minutes MINUTES] [--only TEXT] [LIST]

All faults are built into one copy of the tree, below target/mutants. Each function that has faults gets its body several
times: as it is, and once with each fault. A process asks which faults are planted in it when it first comes to such a
function: its own process id or that of an ancestor is the name of a file with their numbers. Each run of tests has a
supervisor, which wrote that file. Whatever the tests start becomes a descendant of the supervisor, also what begins a session
of its own, and the supervisor ends all of its descendants by their ids. A fault outside of a function's body, or in a
`const fn`, has no choice at run time: it gets a build of its own, which takes a minute.

A fault that names tests is planted alone, and only these tests are run; they have to pass without it first. Faults that name
no test are planted together: all tests are run, for each failing test the faults are halved until one is left, which that test
has noticed, and all tests are run again without the faults that were noticed, until none fails. What fails without any fault
is no notice. A test that hangs has noticed the fault.

--only tries the faults whose text or file has this TEXT. After MINUTES (25) everything that runs is ended, what was not tried
to its end is named, and the exit code is 1, as it is if a fault is not noticed, names no test, or its text is no longer there.
LIST is another list than tests/mutants.toml. --check plants nothing: it says which texts and tests are no longer there.
"""

import argparse
import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
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
TARGETS = ["--lib", "--test", "it", "--test", "turns", "--test", "proofs", "--test", "vectors"]
# A program of which no test ends for so many seconds hangs.
LIMIT = 300
# How many tests of one program run at a time when all are run.
THREADS = 4
# Of prctl(2): orphans among the descendants become children of this process.
PR_SET_CHILD_SUBREAPER = 36
# At the end of each crate's lib.rs.
CHOICE = """
/// Of these faults, which are in one function, the one that is planted in this process; 0 if none is.
#[allow(dead_code)]
pub(crate) fn planted(among: &[u32]) -> u32 {
    static NUMBERS: std::sync::OnceLock<Vec<u32>> = std::sync::OnceLock::new();
    let numbers = NUMBERS.get_or_init(|| {
        let mut process = std::process::id().to_string();
        while process != "0" {
            if let Ok(numbers) = std::fs::read_to_string(format!("%s/{process}")) {
                return numbers.split_whitespace().filter_map(|number| number.parse().ok()).collect();
            }
            let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1));
            process = parent.unwrap_or("0").to_owned();
        }
        Vec::new()
    });
    among.iter().copied().find(|number| numbers.contains(number)).unwrap_or(0)
}

/// Of a script, the lines for the fault that is planted.
#[allow(dead_code)]
pub(crate) fn planted_script(text: &str) -> String {
    let (mut is_kept, mut chosen) = (true, 0);
    text.split_inclusive('\\n').filter(|line| match line.trim_end().split_once("--@") {
        Some(("", choice)) => {
            let (kind, numbers) = choice.split_once(' ').unwrap_or((choice, ""));
            let numbers: Vec<u32> = numbers.split(' ').filter_map(|number| number.parse().ok()).collect();
            if kind == "unless" {
                chosen = planted(&numbers);
            }
            is_kept = kind == "all" || (kind == "unless" && chosen == 0) || (kind == "only" && numbers.contains(&chosen));
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
    # What a user suffers from it. A round that a stranger has written says so.
    harm: str = ""
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
        numbers = ", ".join(str(fault.number) for fault in of_body)
        text = f"{text[:start]}{{ match crate::planted(&[{numbers}]) {{{arms} _ => {body} }} }}{text[end:]}"
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


def descendants(of: int) -> set[int]:
    """The ids of the processes that a process has started, and that those have, as long as they are there."""
    children = defaultdict(set)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                children[int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])].add(int(entry.name))
            except OSError:
                continue  # It has ended meanwhile.
    found, ahead = set(), [of]
    while ahead:
        more = children[ahead.pop()] - found
        found |= more
        ahead += more
    return found


def end_descendants() -> None:
    """Ends all that this process has started, by their ids, until nothing is left."""
    while left := descendants(os.getpid()):
        for process in left:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            continue
        time.sleep(0.01)


def ended_tests(said: str) -> dict[str, bool]:
    """Each test that has ended, and whether it passed."""
    lines = re.findall(r"^test (.*?)(?: - should panic)? \.\.\. (?:.*?)(ok|FAILED|ignored)(?:, .*)?$", said, re.M)
    return {name: state != "FAILED" for name, state in lines}


def supervise(numbers: str, output: str, until: float, command: list[str]) -> int:
    """Runs tests with faults planted, and ends whatever they have started. Returns 124 if they hang."""
    if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError("this process cannot adopt what the tests leave behind")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    planted = PLANTED / str(os.getpid())
    planted.write_text(numbers)
    try:
        with open(output, "wb") as said:
            test = subprocess.Popen(command, stdout=said, stderr=said, stdin=subprocess.DEVNULL)
        ended, since = 0, time.monotonic()
        while (code := test.poll()) is None:
            time.sleep(0.1)
            if (now := len(ended_tests(Path(output).read_text(errors="replace")))) > ended:
                ended, since = now, time.monotonic()
            if time.monotonic() - since > LIMIT or time.time() > until:
                return 124
        return code
    finally:
        end_descendants()
        planted.unlink()


@dataclass
class Ran:
    """What became of tests. `hung`: those that had not ended when the time was over."""

    failed: set[str]
    hung: set[str]
    said: str


class Tester:
    """Runs tests, with a bound of time for all of them."""

    def __init__(self, tests: Tests, until: float) -> None:
        self.tests, self.until = tests, until

    def is_over(self) -> bool:
        return time.time() > self.until

    def run_some(self, program: Path, folder: Path, names: list[str], numbers: list[int], threads: int) -> Ran:
        """Tests of one program."""
        with tempfile.NamedTemporaryFile("r", dir=WORK, errors="replace") as output:
            command = [str(program), "--exact", "--include-ignored", "--format=pretty", f"--test-threads={threads}", *names]
            planted = " ".join(map(str, numbers)) or "0"
            supervisor = [sys.executable, __file__, "--supervise", planted, output.name, str(self.until), *command]
            done = subprocess.run(supervisor, cwd=folder, env=os.environ | {"RUST_BACKTRACE": "0"}, start_new_session=True)
            said = Path(output.name).read_text(errors="replace")
        ended = ended_tests(said)
        failed = {name for name, passed in ended.items() if not passed}
        left = set(names) - ended.keys()
        if done.returncode == 0 and left:
            raise Wrong(f"{program.name} did not run {', '.join(sorted(left)[:5])}")
        # A process that was aborted says nothing of the test in which it was.
        return Ran(failed, left if done.returncode else set(), said)

    def run(self, names: Iterable[str], numbers: list[int], threads: int = 1) -> Ran:
        """Tests of all programs. After a hang, or an abort, those that were not begun are run once more."""
        of_program, whole = defaultdict(list), Ran(set(), set(), "")
        for name in sorted(names):
            of_program[self.tests[name]].append(name)
        for (program, folder), left in of_program.items():
            at_once = threads
            while left and not self.is_over():
                ran = self.run_some(program, folder, left, numbers, at_once)
                whole.failed |= ran.failed
                whole.said += ran.said
                unended = [name for name in left if name in ran.hung]
                if len(unended) == len(left) and (at_once == 1 or len(left) == 1):
                    # The first of them is the one that hangs, or that has ended the process.
                    whole.failed.add(unended[0])
                    whole.hung.add(unended[0])
                    unended = unended[1:]
                elif unended:
                    at_once = 1
                left = unended
        return whole


def noticed_by_named(fault: Fault, tester: Tester) -> str | None:
    """The first of its tests that fails."""
    return next((name for name in fault.caught_by if tester.run([name], [fault.number]).failed), None)


def one_of(faults: list[Fault], test: str, tester: Tester) -> Fault | None:
    """One fault that makes a test fail which fails with all of them; `None` if it fails with several only."""
    while len(faults) > 1 and not tester.is_over():
        middle = len(faults) // 2
        halves = [faults[:middle], faults[middle:]]
        failing = (half for half in halves if tester.run([test], [fault.number for fault in half]).failed)
        if (half := next(failing, None)) is None:
            return None
        faults = half
    return faults[0] if len(faults) == 1 else None


def notice_together(faults: list[Fault], tester: Tester, passing: set[str]) -> dict[int, str]:
    """Which test has noticed which fault, of faults that name none."""
    noticed: dict[int, str] = {}
    while not tester.is_over():
        planted = [fault for fault in faults if fault.number not in noticed]
        before = len(noticed)
        failing = sorted(tester.run(passing, [fault.number for fault in planted], THREADS).failed)
        print(f"{len(planted)} faults are planted: {len(failing)} tests fail", flush=True)
        while failing and planted and not tester.is_over():
            test = failing.pop(0)
            if fault := one_of(planted, test, tester):
                noticed[fault.number] = test
                print(f"{fault.number:4} {fault}\n{'':5}{test}", flush=True)
                planted.remove(fault)
                failing = sorted(tester.run(failing, [fault.number for fault in planted], THREADS).failed)
        if len(noticed) == before:
            return noticed
    return noticed


def try_apart(fault: Fault, faults: list[Fault], tester: Tester, passing: set[str]) -> str | None:
    """The same of a fault that needs a build of its own."""
    write(fault.file, fault.within((TREE / fault.file).read_text()).encode())
    build()
    try:
        if fault.caught_by:
            return noticed_by_named(fault, tester)
        return ", ".join(sorted(tester.run(passing, [], THREADS).failed))
    finally:
        plant(faults)


def try_all(faults: list[Fault], tester: Tester, passing: set[str]) -> list[str]:
    """Plants all, and prints a line for each. `passing`: the tests that pass without a fault. What is wrong."""
    wrong, unnamed = [], [fault for fault in faults if not fault.caught_by and not fault.apart]

    def judge(fault: Fault, by: str | None) -> None:
        if tester.is_over() and not by:
            wrong.append(f"not tried to its end: {fault}")
        elif not by or not fault.caught_by:
            wrong.append(f"{'names no test' if by else 'not noticed'}: {fault}")
        print(f"{fault.number:4}/{len(faults)}  {fault}\n{'':10}{by or 'NOT NOTICED'}", flush=True)

    def attempt(fault: Fault) -> None:
        judge(fault, noticed_by_named(fault, tester))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(attempt, [fault for fault in faults if fault.caught_by and not fault.apart]))
    together = notice_together(unnamed, tester, passing) if unnamed else {}
    for fault in unnamed:
        judge(fault, together.get(fault.number))
    for fault in faults:
        if fault.apart:
            judge(fault, try_apart(fault, faults, tester, passing))
    return wrong


def unwritten(faults: list[Fault]) -> set[str]:
    """The tests that no source has, or that are named without their module."""
    written = "".join((ROOT / name).read_text() for name in sources() if name.endswith(".rs"))
    module, test = re.compile(r"\w+::"), lambda name: f"fn {name.rsplit('::')[-1]}("
    return {name for fault in faults for name in fault.caught_by if not module.match(name) or test(name) not in written}


def try_faults(faults: list[Fault], minutes: float) -> list[str]:
    """Builds the faults, and tries them. What is wrong."""
    until = time.time() + 60 * minutes
    prepare()
    plant(faults)
    tests = build()
    named = {name for fault in faults for name in fault.caught_by}
    if unknown := named - tests.keys():
        return [f"there is no test {', '.join(sorted(unknown))}"]
    tester = Tester(tests, until)
    asked = named if all(fault.caught_by for fault in faults) else set(tests)
    print(f"{len(faults)} faults, {len(asked)} tests: without a fault first", flush=True)
    without = tester.run(asked, [], THREADS)
    if failing := without.failed & named:
        return [f"{without.said}\nthese tests fail without any fault: {', '.join(sorted(failing))}"]
    if without.failed:
        print(f"these fail without any fault, and notice none: {', '.join(sorted(without.failed))}", flush=True)
    return try_all(faults, tester, asked - without.failed)


def main() -> int:
    if sys.argv[1:2] == ["--supervise"]:
        numbers, output, until, *command = sys.argv[2:]
        return supervise(numbers, output, float(until), command)
    parser = argparse.ArgumentParser(description="plants the faults of tests/mutants.toml")
    parser.add_argument("list", nargs="?", type=Path, default=ROOT / "tests/mutants.toml")
    parser.add_argument("--minutes", type=float, default=25)
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
    try:
        wrong = try_faults([fault for fault in faults if not fault.misplaced()], options.minutes)
    except Wrong as error:
        wrong = [str(error)]
    wrong += misplaced
    print("\n".join([f"mutants: {text}" for text in wrong] or [f"mutants: all {len(faults)} faults are noticed"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
