#!/usr/bin/env python3
"""Makes the API reference by Doxygen, in build/api/html: exit status 1 if Doxygen warns, 77 without Doxygen.

The headers' comments are plain: what stands before a declaration, or behind a member, says what it is. In a
copy of the headers they become Doxygen's, with their characters kept as they are and indented lines as code.
All that a folder declares is in the group of that folder, a page each. What is in a namespace `detail` is not
shown. docs/Doxyfile has the options.
"""
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "build" / "api"
GROUPS = {  # by folder, in the order of docs/design.md
    "core": "Core: shapes, tensors, threads, random numbers",
    "distributed": "Several processes",
    "kernels": "Kernels: plain functions over pointers",
    "autograd": "Autograd: the tape, variables, parameters",
    "ops": "Ops",
    "nn": "Layers and modules",
    "optim": "Optimisers and schedules",
    "io": "Files",
    "export": "Exports: ONNX and C++ headers",
    "data": "Data sets and loaders",
    "vision": "Images",
    "train": "Training, checkpoints, prediction",
    "models": "Models by name, the classifier",
    "report": "Reports and plots",
    "painted": "Painted flowers",
    "interop": "Eigen",
}
# Characters that Doxygen would take for commands, tags or links.
SPECIAL = re.compile(r"([\\@#<>&%\"*|`\[\]~$])")


def escaped(text):
    return SPECIAL.sub(r"\\\1", text).replace("::", r"\::")


def documentation(lines, indent, head=""):
    """Doxygen's comment of the texts of a comment's lines. Those that are indented are code."""
    text, code = [head], []
    for line in [*lines, None]:
        is_code = line is not None and (line.startswith("   ") or (code and not line.strip()))
        if is_code:
            code.append(line[3:])
            continue
        if code:
            text += ["@code{.cpp}", *(part.replace("*/", "* /") for part in code), "@endcode"]
            code = []
        if line is not None:
            text.append(escaped(line.strip()))
    return [f"{indent}/** " + f"\n{indent}".join(text) + " */"]


def group_of(path):
    parts = path.parts
    return "vision" if parts[:2] == ("data", "vision") else parts[0] if parts[0] in GROUPS else None


class Scopes:
    """Where a header is, line by line: in a function's body, or among members and declarations."""

    def __init__(self):
        self.is_body, self.declaration = [], ""

    def in_function(self):
        return any(self.is_body)

    def read(self, line):
        code = re.sub(r'"(\\.|[^"\\])*"|\'(\\.|[^\'\\])*\'', '""', line).split("//")[0]
        for part in re.split(r"([{};])", code):
            if part == "{":
                head = re.sub(r"alignas *\([^)]*\)", "", self.declaration)
                is_type = re.search(r"\b(struct|class|enum|union|namespace)\b", head)
                self.is_body.append(")" in head or "=" in head or not is_type)
            elif part == "}" and self.is_body:
                self.is_body.pop()
            self.declaration = "" if part in ("{", "}", ";") else self.declaration + part


def converted(text, group):
    lines = text.splitlines()
    out = []
    if group:
        out += [f"/** @addtogroup {group}", "@{ */"]
    i, is_first, scopes = 0, True, Scopes()
    while i < len(lines):
        line = lines[i]
        comment = re.match(r"^( *)//", line)
        if comment:
            block = []
            while i < len(lines) and re.match(r"^ *//", lines[i]):
                block.append(re.sub(r"^ *//", "", lines[i]))
                i += 1
            following = lines[i].strip() if i < len(lines) else ""
            if is_first:
                out += documentation(block, "", "@file\n")
                is_first = False
            elif following and not following.startswith(("}", "#", "namespace", "public:", "private:")):
                out += documentation(block, comment[1])
            continue
        i += 1
        # Macros stay, as they make layers and ops; what Doxygen cannot follow does not.
        if line.startswith("#"):
            lines_of_it = [line]
            while lines_of_it[-1].endswith("\\"):
                lines_of_it.append(lines[i])
                i += 1
            if re.match("#(define|undef) ", line):
                out += lines_of_it
            continue
        # Doxygen 1.9 does not read C++20's nested inline namespaces.
        line = re.sub(r"namespace anther::inline v\d+_\d+", "namespace anther", line)
        behind = None if scopes.in_function() else re.match(r"^(.*[;,]) {2,}// (.*)$", line)
        scopes.read(line)
        out.append(f"{behind[1]}  ///< {escaped(behind[2])}" if behind else line)
    if group:
        out.append("/** @} */")
    return "\n".join(out) + "\n"


def main():
    if not shutil.which("doxygen"):
        print("skipped: there is no doxygen")
        sys.exit(77)
    shutil.rmtree(OUT, ignore_errors=True)
    headers = sorted((ROOT / "include" / "anther").rglob("*.hpp"))
    for header in headers:
        inside = header.relative_to(ROOT / "include" / "anther")
        target = OUT / "include" / "anther" / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(converted(header.read_text(), group_of(inside)))
    version = re.search(r'version = "(.*)"', (ROOT / "include/anther/core/version.hpp").read_text())[1]
    groups = "".join(f"/** @defgroup {name} {title} */\n" for name, title in GROUPS.items())
    (OUT / "include" / "groups.hpp").write_text(
        f"/** @mainpage Anther {version}\n@brief A header-only C++20 tensor and neural-network engine.\n\n"
        "The groups are the folders of the headers. */\n" + groups)
    options = (ROOT / "docs" / "Doxyfile").read_text() + f"PROJECT_NUMBER = {version}\n"
    done = subprocess.run(["doxygen", "-"], input=options, text=True, cwd=OUT)
    warnings = (OUT / "warnings").read_text().splitlines()
    for warning in warnings[:50]:
        print(warning)
    pages = len(list((OUT / "html").glob("*.html")))
    print(f"{len(headers)} headers, {pages} pages, {len(warnings)} lines of warnings: {OUT}/html/index.html")
    sys.exit(done.returncode or bool(warnings))


if __name__ == "__main__":
    main()
