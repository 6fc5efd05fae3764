#!/usr/bin/env python3
"""The walls of the house: reads the headers' includes and words.

    tests/package/walls.py [--include DIR]     prints what breaks a rule; exit status 1 if anything does
    tests/package/walls.py --graph             prints the rooms and their arrows, for Mermaid

  layers       a room includes only rooms that stand before it in ROOMS
  words        a generic header names no model, no data set, no colour and no loss
  lines        a header has at most 400 lines
  parameters   a function has fewer than ten parameters
  compiled     every kernel's body that a header selects is named in compiled/kernel_names.inl, and
               every op and layer in compiled/engine.inl
"""
import argparse
import collections
import pathlib
import re
import sys

# From the ground up. What stands in one line shares a floor: neither includes the other.
ROOMS = [
    ["core"],
    ["distributed"],
    ["kernels"],
    ["autograd"],
    ["ops"],
    ["nn"],
    ["optim"],
    ["io"],
    ["export"],
    ["data"],
    ["data/vision"],
    ["train"],
    ["models"],  # what all models share: the registry, loading by name, the classifier
    ["models/*"],  # a model each, and the list of them all
    ["report"],
    ["painted"],
    ["interop"],
]
FLOOR = {room: floor for floor, rooms in enumerate(ROOMS) for room in rooms}
# The umbrella, and what it compiles once, stand above the engine.
UMBRELLA = "anther.hpp"

WORDS = re.compile(r"edgevit|flowers|\brgb|cross[_ -]?entropy", re.IGNORECASE)
# Where which of the words may stand.
MAY_SAY = [
    (re.compile(r"models/(edgevit/|models\.hpp)|painted/"), WORDS),
    (re.compile(r"data/vision/"), re.compile(r"\brgb|flowers", re.IGNORECASE)),
    (re.compile(r"(ops|kernels)/cross_entropy\.(hpp|inl)|ops/loss\.hpp|"
                r"train/(cross_entropy_)?objectives?\.hpp"),
     re.compile(r"cross[_ -]?entropy", re.IGNORECASE)),
    # What names every op, and every model: the umbrella and the lists of what is compiled once.
    (re.compile(r"anther\.hpp|compiled(\.hpp|/.*)"), WORDS),
]
MOST_LINES = 400
# Inner functions of the depth-wise kernels, mostly pointers: measured with structs in their place,
# 5x5 kernels lost up to 20 % of their speed (AVX-512, GCC 12), as the compiler reloads members.
LONG_LISTS = {"depthwise_same_tile", "depthwise_same_row", "depthwise_same_weight_group",
              "depthwise_spread_backward_row", "depthwise_spread_backward"}
MOST_PARAMETERS = 9


def room_of(path):
    """data/vision/image.hpp -> data/vision; models/edgevit/config.hpp -> models/*; anther.hpp -> ''"""
    parts = path.split("/")[:-1]
    if path == "models/models.hpp" or len(parts) > 1 and parts[0] == "models":
        return "models/*"
    if parts[:2] == ["data", "vision"]:
        return "data/vision"
    return parts[0] if parts else ""


def without_comments(text):
    """The same number of lines, without comments and the contents of strings."""
    pattern = r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"'

    def blank(match):
        found = match.group(0)
        return '""' if found.startswith('"') else re.sub(r"[^\n]", " ", found)

    return re.sub(pattern, blank, text, flags=re.DOTALL)


def includes_of(text):
    return re.findall(r'^\s*#include\s+["<]anther/([^">]+)[">]', text, re.MULTILINE)


def functions_of(code):
    """(line, name, parameters) of every declaration or definition of a function."""
    for match in re.finditer(r"\b([A-Za-z_]\w*)\s*\(", code):
        name, depth, angle, commas, i = match.group(1), 0, 0, 0, match.end() - 1
        start = i
        while i < len(code):
            c = code[i]
            if c in "([{":
                depth += 1
            elif c in ")]}":
                depth -= 1
                if depth == 0:
                    break
            elif c == "," and depth == 1 and angle == 0:
                commas += 1
            elif c == "<" and depth == 1:
                angle += 1
            elif c == ">" and depth == 1 and angle and code[i - 1] != "-":
                angle -= 1
            i += 1
        inside = code[start + 1:i]
        before = code[:match.start()].rstrip()
        after = code[i + 1:i + 200].lstrip()
        # A declaration has a type in front, and types inside; a call has neither.
        if not re.search(r"[\w>&*]$", before) or re.search(r"\b(return|else|throw|case)$", before):
            continue
        if not re.match(r"const\b|noexcept|;|\{|->|=\s*(0|default|delete)|:", after):
            continue
        if not re.search(r"\w[\w:<>, ]*[&*]*\s+[&*]*\w+", inside):
            continue
        yield code.count("\n", 0, match.start()) + 1, name, commas + 1


def check(include):
    found = []
    headers = sorted(p for p in include.rglob("*") if p.suffix in (".hpp", ".inl"))
    if not headers:
        sys.exit(f"walls.py: no headers in {include}")
    texts = {p.relative_to(include).as_posix(): p.read_text() for p in headers}

    for path, text in texts.items():
        room = room_of(path)
        if room and room != "compiled" and room not in FLOOR:
            found.append(("layers", path, f"a room without a place in the order: {room}"))
        for target in includes_of(text):
            other = room_of(target)
            if target not in texts:
                found.append(("layers", path, f"includes {target}, which does not exist"))
            elif room in FLOOR and (other not in FLOOR or FLOOR[other] > FLOOR[room]
                                    or (FLOOR[other] == FLOOR[room] and other != room)):
                found.append(("layers", path, f"includes {target}"))

        for number, line in enumerate(text.splitlines(), 1):
            for match in WORDS.finditer(line):
                word = match.group(0)
                if not any(where.match(path) and what.fullmatch(word) for where, what in MAY_SAY):
                    found.append(("words", f"{path}:{number}", f"says {word}"))

        lines = text.count("\n")
        if lines > MOST_LINES:
            found.append(("lines", path, f"{lines} lines"))

        for number, name, parameters in functions_of(without_comments(text)):
            if parameters > MOST_PARAMETERS and name not in LONG_LISTS:
                found.append(("parameters", f"{path}:{number}", f"{name} has {parameters}"))

    selected = set()
    for path, text in texts.items():
        if path.startswith("kernels/"):
            for name, rest in re.findall(r"ANTHER_SELECT\((\w+)<T([^>]*)>", without_comments(text)):
                # What a table or a parameter decides is named by all its values.
                selected.add(name if re.search(r"\b(op|input|join|loss)\b", rest) else name + rest)
    named = {name.split(",")[0] if re.search(r"(?<!std)::", name) else name for name in re.findall(
        r"^ *ANTHER_FUNCTION\(([^)]*)\)", texts.get("compiled/kernel_names.inl", ""), re.MULTILINE)}
    for name in sorted(selected - named):
        found.append(("compiled", "compiled/kernel_names.inl", f"lacks {name}"))
    for name in sorted(named - selected):
        found.append(("compiled", "compiled/kernel_names.inl", f"names {name}: no header selects it"))
    engine = texts.get("compiled/engine.inl", "")
    for path, text in texts.items():
        names = []
        if path.startswith("ops/"):
            names = re.findall(r"^(?:std::span<const )?Variable<T>>? (\w+)\(", text, re.MULTILINE)
        elif path.startswith(("nn/", "optim/")):
            names = re.findall(r"^template <class T>\nclass (\w+)", text, re.MULTILINE)
        for name in sorted(set(names)):
            if not re.search(rf"\b{name}\b", engine):
                found.append(("compiled", "compiled/engine.inl", f"lacks {name} ({path})"))
    return found


def graph(include):
    """Mermaid's text: an arrow from a room to each that it includes, but for those that it reaches
    by others as well."""
    arrows = collections.defaultdict(set)
    for p in include.rglob("*"):
        if p.suffix in (".hpp", ".inl"):
            path = p.relative_to(include).as_posix()
            room = room_of(path)
            for target in includes_of(p.read_text()):
                if room in FLOOR and room_of(target) in FLOOR and room_of(target) != room:
                    arrows[room].add(room_of(target))

    def reaches(start, goal, direct=True):
        return any((other == goal and not direct) or
                   (other != goal and FLOOR[other] < FLOOR[start] and reaches(other, goal, False))
                   for other in arrows[start])

    names = {room: re.sub(r"\W", "_", room) for room in FLOOR}
    lines = ["flowchart BT"]
    for room in FLOOR:
        if any(include.glob(room)):
            lines.append(f'  {names[room]}["{room}/"]')
    for room in FLOOR:
        for other in sorted(arrows[room], key=FLOOR.get):
            if not reaches(room, other):
                lines.append(f"  {names[room]} --> {names[other]}")
    return "\n".join(lines)


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--include", type=pathlib.Path, default=root / "include" / "anther")
    p.add_argument("--only", default="layers,words,lines,parameters,compiled",
                   help="rules, separated by commas (default: all)")
    p.add_argument("--graph", action="store_true")
    options = p.parse_args()
    if options.graph:
        print(graph(options.include))
        return 0
    found = [f for f in check(options.include) if f[0] in options.only.split(",")]
    for rule, place, what in found:
        print(f"{rule}: {place}: {what}")
    print(f"{len(found)} found")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
