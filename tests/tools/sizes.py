#!/usr/bin/env python3
"""How large the tree is: its lines by tree and language, and the files and functions of its Rust.

    sizes.py [FOLDER] [--check]

Counts every line of what people read and write by hand: Rust, Lua, JavaScript, CSS, HTML, Python, shell. The trees are the
service (`src`), each crate of `crates`, and the tests (`tests`, and the `tests` of each crate). What a browser gets (JavaScript,
CSS, HTML of the service and of the crates) is the tree `pages`. Rust of a program is counted without what only tests have:
modules and items behind #[cfg(test)], which are told beside it. A function's length is from the line of its `fn` to the line
of its last brace. With --check the exit code is 1 where a bound is broken.
"""

import re
import statistics
import sys
from collections import Counter
from pathlib import Path

LANGUAGES = {
    ".rs": "Rust", ".lua": "Lua", ".js": "JavaScript", ".mjs": "JavaScript", ".cjs": "JavaScript", ".css": "CSS", ".html": "HTML",
    ".py": "Python", ".sh": "shell",
}
OF_PAGES = {"JavaScript", "CSS", "HTML"}
# At most: lines of Rust for `src` without its doors, each door with its part of the store, the store, the simulator, and `service`, which is all of src and the crates but verify and simulator; lines of Rust of `tests` without those of
# examples and pages; `tools`, which are tests/tools without lock files; all lines for `pages`; files of Lua; English `docs`: pages
# and words; bytes of CONTRIBUTING.md; 90 % of the files and the longest; functions.
BOUNDS = {
    "src": 16_000, "door events": 2_600, "door platform": 2_600, "door scan": 2_600, "door oidc": 2_600, "crates/store": 4_500,
    "crates/simulator": 4_200, "crates/verify": 3_400, "service": 33_000, "tests": 29_000, "tools": 3_300, "pages": 4_400,
    "scripts": 26, "docs": 24, "docs words": 42_000, "CONTRIBUTING": 14_000, "file p90": 226, "file longest": 326,
    "function median": 6, "function p90": 18, "function longest": 50,
}
# Said where a bound is broken.
DOOR_OR_CRATE = "lines of its Rust, without unit tests"
COUNTED = {
    "src": "lines of Rust of src without doors and unit tests", "service": "lines of Rust of src and of crates but verify and simulator, without unit tests",
    "tests": "lines of Rust of tests and crates/*/tests, without those of examples and pages", "tools": "lines of tests/tools", "pages": "lines of JavaScript, CSS and HTML",
    "scripts": "files of Lua", "docs": "English pages", "docs words": "words of the English pages of docs", "CONTRIBUTING": "bytes",
    "file p90": "lines: nine of ten files of Rust may have as many, so bring one that is longer below it",
    "file longest": "lines of a file", "function median": "lines", "function p90": "lines", "function longest": "lines of a function",
}
# Tests of examples and pages.
OF_EXAMPLES = re.compile(r"tests/(peers|verifiers|browser)/|tests/it/(demo_page|console|mini_program|phone|pages|readme|old_pages|scan_examples|examples)")
# Any other crate.
OF_A_CRATE = 4_500
# Crates that are not the service.
APART = {"crates/verify", "crates/simulator"}

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


def without_tests(text: str) -> str:
    """Rust without the modules and items that only tests have."""
    while match := re.search(r"^[ \t]*#\[cfg\(test\)\]\n", blanked(text), re.M):
        text = text[: match.start()] + text[block_end(blanked(text), match.end()) :].lstrip("\n")
    return text


def is_test_file(path: Path, src: Path) -> bool:
    """Whether `#[cfg(test)] mod NAME;` brings the file in, or the file of a module that it lies below."""
    names = path.relative_to(src).with_suffix("").parts
    for depth, name in enumerate(names):
        folder = src.joinpath(*names[:depth])
        parents = [folder / "mod.rs", folder.parent / f"{folder.name}.rs"] if depth else [src / "lib.rs", src / "main.rs"]
        declared = rf"#\[cfg\(test\)\]\s*(?:pub(?:\([a-z]+\))? )?mod {name};|^#!\[cfg\(test\)\]"
        if any(parent.is_file() and re.search(declared, parent.read_text(), re.M) for parent in parents):
            return True
    return "#![cfg(test)]" in path.read_text()[:2000]


def function_lengths(text: str) -> list[int]:
    """Of each function that has a body."""
    code = blanked(text)
    lengths = []
    for match in re.finditer(r"^[ \t]*(?:pub(?:\([a-z]+\))? )?(?:const )?(?:async )?(?:unsafe )?fn \w+", code, re.M):
        end = block_end(code, match.end())
        if code[end - 1] == "}":
            lengths.append(code.count("\n", match.start(), end) + 1)
    return lengths


def files_below(folder: Path) -> list[Path]:
    """What is written by hand there; not what a tool has installed or built."""
    found = [path for path in folder.rglob("*") if path.suffix in LANGUAGES and path.is_file()]
    return sorted(path for path in found if not {"node_modules", "target"} & set(path.relative_to(folder).parts))


def lines_of(path: Path) -> int:
    """All of them."""
    return len(path.read_text().splitlines())


def high(values: list[int]) -> int:
    """90 % are at most this."""
    return sorted(values)[int(len(values) * 0.9)]


def measure_program(src: Path, lines: Counter, files: dict[Path, int], functions: list[int]) -> tuple[Counter, int]:
    """Adds a program's files; its lines by language without tests, and how many lines of Rust only tests have."""
    languages, of_tests = Counter(), 0
    for path in files_below(src):
        language, text = LANGUAGES[path.suffix], path.read_text()
        whole = len(text.splitlines())
        if language == "Rust":
            text = "" if is_test_file(path, src) else without_tests(text)
            of_tests += whole - len(text.splitlines())
            if not text:
                continue
            files[path] = whole = len(text.splitlines())
            functions += function_lengths(text)
        lines["pages"] += whole if language in OF_PAGES else 0
        languages[language] += whole
    return languages, of_tests


def tell(tree: str, languages: Counter, more: str = "") -> None:
    """A line for a tree."""
    print(f"  {tree:17}", ", ".join(f"{language} {count}" for language, count in languages.most_common()) + more)


def measure(root: Path) -> dict[str, int]:
    """Prints the trees; what the bounds are about."""
    lines, files, functions = Counter(), {}, []
    crates = sorted(path.parent for path in root.glob("crates/*/Cargo.toml"))
    for program in [root, *crates]:
        tree = "src" if program == root else str(program.relative_to(root))
        languages, of_tests = measure_program(program / "src", lines, files, functions)
        lines[tree] = languages["Rust"]
        tell(tree, languages, f"; Rust of unit tests {of_tests}")
    languages = Counter()
    for path in [path for program in [root, *crates] for path in files_below(program / "tests")]:
        languages[LANGUAGES[path.suffix]] += lines_of(path)
        if path.suffix == ".rs" and not OF_EXAMPLES.search(str(path.relative_to(root))):
            lines["tests"] += lines_of(path)
        if path.is_relative_to(root / "tests/tools"):
            lines["tools"] += lines_of(path)
    tell("tests", languages)
    for other in ("benches", "examples", "fuzz"):
        tell(other, sum((Counter({LANGUAGES[path.suffix]: lines_of(path)}) for path in files_below(root / other)), Counter()))
    rooms = Counter()
    for path, count in files.items():
        if path.is_relative_to(root / "src"):
            rooms[path.relative_to(root / "src").parts[0].removesuffix(".rs")] += count
    print("  rooms of src:     ", ", ".join(f"{room} {count}" for room, count in rooms.most_common()))
    longest = sorted(files.items(), key=lambda item: -item[1])[:5]
    print("  longest files:    ", ", ".join(f"{path.relative_to(root)} {count}" for path, count in longest))
    counts = list(files.values())
    lines["service"] = sum(lines[tree] for tree in lines if tree not in APART and (tree == "src" or tree.startswith("crates/")))
    for path, count in files.items():
        if path.is_relative_to(root / "src/doors") and path.parent != root / "src/doors":
            lines[f"door {path.relative_to(root / 'src/doors').parts[0]}"] += count
            lines["src"] -= count
    english = [path for path in (root / "docs").glob("*.md") if ".zh-CN." not in path.name]
    lines["docs words"] = sum(len(path.read_text().split()) for path in english)
    return dict(lines) | {
        "scripts": sum(path.suffix == ".lua" for program in [root, *crates] for path in files_below(program / "src")),
        "docs": len(english),
        "CONTRIBUTING": (root / "CONTRIBUTING.md").stat().st_size,
        "files": len(counts),
        "file median": int(statistics.median(counts)),
        "file p90": high(counts),
        "file longest": max(counts),
        "functions": len(functions),
        "function median": int(statistics.median(functions)),
        "function p90": high(functions),
        "function longest": max(functions),
    }


def main() -> int:
    """Prints all, and which bounds are broken."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--check"]
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parents[2]
    measured = measure(root)
    bounds = {name: OF_A_CRATE for name in measured if name.startswith("crates/")} | BOUNDS
    for name, value in measured.items():
        print(f"{name:17} {value:6}" + (f"  (at most {bounds[name]})" if name in bounds else ""))
    broken = sorted(name for name, bound in bounds.items() if measured.get(name, 0) > bound)
    for name in broken:
        over = measured[name] - bounds[name]
        print(f"{name} is {measured[name]}, and may be {bounds[name]}: take out {over} ({COUNTED.get(name, DOOR_OR_CRATE)})", file=sys.stderr)
    return 1 if "--check" in sys.argv and broken else 0


if __name__ == "__main__":
    sys.exit(main())
