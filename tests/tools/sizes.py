#!/usr/bin/env python3
"""How large the tree is: lines, files and functions of src without its tests, and lines of tests.

    sizes.py [FOLDER] [--check]

Counts every line of what people read and write by hand: Rust, Lua, JavaScript, CSS, HTML, Python, shell. Of src it leaves out
modules behind #[cfg(test)]. A function's length is from the line of its `fn` to the line of its last brace. With --check the
exit code is 1 where a bound is broken.
"""

import re
import statistics
import sys
from pathlib import Path

SUFFIXES = {".rs"}
# tree, lines at most; files: 90 % at most, longest; functions: median, longest
BOUNDS = {"src": 20_000, "tests": 20_000, "file p90": 230, "file longest": 400, "function median": 8, "function longest": 50}

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
    return path.read_text().lstrip().startswith("#![cfg(test)]") or "#![cfg(test)]" in path.read_text()[:2000]


def function_lengths(text: str) -> list[int]:
    code = blanked(text)
    lengths = []
    for match in re.finditer(r"^[ \t]*(?:pub(?:\([a-z]+\))? )?(?:const )?(?:async )?(?:unsafe )?fn \w+", code, re.M):
        end = block_end(code, match.end())
        if code[end - 1] == "}":
            lengths.append(code.count("\n", match.start(), end) + 1)
    return lengths


def files_below(folder: Path):
    return sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file())


def high(values: list[int]) -> int:
    return sorted(values)[int(len(values) * 0.9)]


def measure(root: Path) -> dict[str, int]:
    texts = {}
    for path in files_below(root / "src"):
        if path.suffix != ".rs":
            texts[path] = path.read_text()
        elif not is_test_file(path, root / "src"):
            texts[path] = without_tests(path.read_text())
    lines = {path: len(text.splitlines()) for path, text in texts.items()}
    functions = [length for path, text in texts.items() if path.suffix == ".rs" for length in function_lengths(text)]
    rooms: dict[str, int] = {}
    for path, count in lines.items():
        rooms[path.relative_to(root / "src").parts[0].removesuffix(".rs")] = (
            rooms.get(path.relative_to(root / "src").parts[0].removesuffix(".rs"), 0) + count
        )
    for room, count in sorted(rooms.items(), key=lambda item: -item[1]):
        print(f"  {room:14} {count:6}")
    for path, count in sorted(lines.items(), key=lambda item: -item[1])[:5]:
        print(f"  longest: {count:4} {path.relative_to(root)}")
    tests = sum(len(path.read_text().splitlines()) for path in files_below(root / "tests"))
    counts = list(lines.values())
    return {
        "src": sum(counts),
        "tests": tests,
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
    arguments = [argument for argument in sys.argv[1:] if argument != "--check"]
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parents[2]
    measured = measure(root)
    broken = {name for name, bound in BOUNDS.items() if measured[name] > bound}
    for name, value in measured.items():
        bound = f"  (at most {BOUNDS[name]})" if name in BOUNDS else ""
        print(f"{name:17} {value:6}{bound}{'  TOO LARGE' if name in broken else ''}")
    return 1 if broken and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
