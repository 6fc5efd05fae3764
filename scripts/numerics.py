#!/usr/bin/env python3
"""Puts the errors of ops and functions into docs/numerics.md, or compares the page with them.

    scripts/numerics.py --write     writes the page's tables
    scripts/numerics.py --check     exit status 1 if an error is another than the page says

Errors are those of tests/print_numerics: the worst of all instruction sets that this processor has.
Compilers differ a little, and so may a processor that has fewer instruction sets: --check allows an error
to be 1.3 times what the page says, or a third of it, and a little more for whole models. What is exact must
stay so, and in float no op may have an error above 2e-5.
"""
import argparse
import math
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "numerics.md"
HEADS = ("| op | results | gradients |", "| function | float | double |",
         "| model, bfloat16 | all gradients | loss |")
LIMIT = 2e-5


def tables_of(text):
    """{head: {name: [numbers]}} of a text's tables."""
    lines = text.splitlines()
    tables = {}
    for head in HEADS:
        rows = tables[head] = {}
        if head not in lines:
            continue
        for line in lines[lines.index(head) + 2:]:
            if not line.startswith("|"):
                break
            name, *cells = [cell.strip() for cell in line.strip("|").split("|")]
            rows[name] = [0.0 if cell == "exact" else float(cell) for cell in cells]
    return tables


def measured(program):
    """The worst of every instruction set."""
    worst = {head: {} for head in HEADS}
    for isa in "baseline", "avx2", "avx512":
        done = subprocess.run([program], env={**os.environ, "ANTHER_ISA": isa}, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode:
            if isa != "baseline" and "this processor has at most" in done.stderr:
                continue
            sys.exit(f"numerics.py: {program} failed with ANTHER_ISA={isa}: {done.stderr}")
        for head, rows in tables_of(done.stdout).items():
            for name, numbers in rows.items():
                worst[head][name] = [*map(max, zip(worst[head].get(name, numbers), numbers))]
    return worst


def cell(head, number):
    """Two digits, rounded up."""
    if number == 0:
        return "exact"
    if head == HEADS[1]:
        return f"{math.ceil(number * 100 - 1e-6) / 100:.2f}"
    return f"{number:.1e}"


def written(text, tables):
    lines = text.splitlines()
    for head, rows in tables.items():
        first = last = lines.index(head) + 2
        while last < len(lines) and lines[last].startswith("|"):
            last += 1
        lines[first:last] = [f"| {' | '.join([name, *(cell(head, number) for number in numbers)])} |"
                             for name, numbers in rows.items()]
    return "\n".join(lines) + "\n"


def problems(page, now):
    for head in HEADS:
        for name in sorted(page[head].keys() ^ now[head].keys()):
            yield f"{name}: only {'the page' if name in page[head] else 'the program'} has it"
        for name in page[head].keys() & now[head].keys():
            for column, (said, number) in enumerate(zip(page[head][name], now[head][name])):
                least, most = said / 3, said * 1.3
                if head == HEADS[2]:
                    # Instruction sets sum floats in other orders, so that here and there another operand is
                    # rounded up; and the difference of two losses may be small by chance.
                    least, most = (said / 3, said * 1.5) if column == 0 else (0, max(said * 3, 1e-3))
                if not least <= number <= most:
                    yield f"{name}: the page says {said:g}, and it is {number:g}"
    for name, numbers in now[HEADS[0]].items():
        if not name.endswith(", bfloat16") and not max(numbers) <= LIMIT:
            yield f"{name}: expected errors of at most {LIMIT:g} in float, got {max(numbers):g}"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--write", action="store_true")
    mode.add_argument("--check", action="store_true")
    parser.add_argument("--program", default=str(ROOT / "build" / "release" / "tests" / "print_numerics"))
    arguments = parser.parse_args()
    now, text = measured(arguments.program), PAGE.read_text()
    if arguments.write:
        PAGE.write_text(written(text, now))
    found = sorted(problems(tables_of(PAGE.read_text()), now))
    for problem in found:
        print(problem)
    if found:
        sys.exit("numerics.py: if that is as it should be: scripts/numerics.py --write")
    print(f"{sum(map(len, now.values()))} rows of docs/numerics.md are what the ops have")


if __name__ == "__main__":
    main()
