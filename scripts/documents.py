#!/usr/bin/env python3
"""Puts code of this tree into its documents, so that what they show is what compiles.

    scripts/documents.py --write     writes the code into README.md and docs/
    scripts/documents.py --check     says which pages differ from their files; exit status 1 if any does

In a page, the block of code after one of these lines belongs to the script:

    <!-- code: examples/guide/own_model.cpp -->
    <!-- code: include/anther/ops/activation.hpp | from: FIRST | to: LAST -->

The first means the whole file. The second means the lines from the first one that begins with FIRST
(spaces in front do not count), with the template's head and the comment just above it, to the next that
begins with LAST (there spaces count). Without `to` it is one line. After this line stands what a program
of the tree prints:

    <!-- output: tests/package/walls.py --graph -->
"""
import argparse
import difflib
import pathlib
import re
import subprocess
import sys
import textwrap

ROOT = pathlib.Path(__file__).resolve().parent.parent
MARKER = re.compile(r"^<!-- (?P<kind>code|output): (?P<what>.+?) -->\n+```(?P<language>\w*)\n.*?^```$",
                    re.MULTILINE | re.DOTALL)
LANGUAGES = {".cpp": "cpp", ".hpp": "cpp", ".inl": "cpp", ".py": "python", ".sh": "sh", ".txt": "cmake"}


def code_of(what):
    """The code that a marker asks for."""
    path, *parts = [part.strip() for part in what.split(" | ")]
    asked = dict(part.split(": ", 1) for part in parts)
    unknown = set(asked) - {"from", "to"}
    if unknown:
        sys.exit(f"documents.py: {what}: expected from and to, got {', '.join(sorted(unknown))}")
    file = ROOT / path
    if not file.is_file():
        sys.exit(f"documents.py: {what}: there is no such file")
    lines = file.read_text().splitlines()
    first, last = 0, len(lines) - 1
    if "from" in asked:
        first = next((i for i, line in enumerate(lines) if line.lstrip().startswith(asked["from"])), None)
        if first is None:
            sys.exit(f"documents.py: {what}: no line begins with that")
        last = first
    if "to" in asked:
        last = next((i for i in range(first, len(lines)) if lines[i].startswith(asked["to"])), None)
        if last is None:
            sys.exit(f"documents.py: {what}: no later line begins with that")
    while "from" in asked and first > 0 and lines[first - 1].lstrip().startswith(("template <", "//")):
        first -= 1
    code = textwrap.dedent("\n".join(lines[first:last + 1]))
    return pathlib.Path(path).suffix, code.rstrip("\n") + "\n"


def output_of(command):
    return subprocess.run([sys.executable, *command.split()], cwd=ROOT, check=True, text=True,
                          stdout=subprocess.PIPE).stdout


def with_code(text):
    """The page with the code that its markers ask for, and how many they are."""
    def block(match):
        if match["kind"] == "output":
            language, code = match["language"], output_of(match["what"])
        else:
            suffix, code = code_of(match["what"])
            language = LANGUAGES.get(suffix, "")
        return f"<!-- {match['kind']}: {match['what']} -->\n```{language}\n{code}```"

    if len(MARKER.findall(text)) != len(re.findall(r"^<!-- (?:code|output):", text, re.MULTILINE)):
        sys.exit("documents.py: a line <!-- code: ... --> has no block of code after it")
    return MARKER.subn(block, text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--write", action="store_true")
    mode.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    blocks, differ = 0, []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        text = page.read_text()
        expected, count = with_code(text)
        blocks += count
        if text == expected:
            continue
        name = page.relative_to(ROOT).as_posix()
        differ.append(name)
        if arguments.write:
            page.write_text(expected)
            print(f"written: {name}")
        else:
            sys.stdout.writelines(difflib.unified_diff(text.splitlines(True), expected.splitlines(True), name,
                                                       name + " with the tree's code"))
    if blocks == 0:
        sys.exit("documents.py: no page has code of this tree")
    if differ and arguments.check:
        sys.exit(f"documents.py: run scripts/documents.py --write for {', '.join(differ)}")
    print(f"{blocks} blocks of code in the pages are those of the tree")


if __name__ == "__main__":
    main()
