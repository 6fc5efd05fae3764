#!/usr/bin/env bash
# Prints which share of the lines and branches of include/anther/ the tests in C++ run, by folder. A line of a
# template counts if any of its instantiations runs. Debian: gcovr.
#
# usage: scripts/coverage.sh [BUILD]     build/coverage unless named
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/setup.sh
source scripts/setup.sh
need_packages gcovr
build=${1:-build/coverage}

cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=None "-DCMAKE_CXX_FLAGS=-O1 --coverage -fprofile-update=atomic" \
  -DANTHER_EXAMPLES=OFF -DANTHER_BENCH=OFF >/dev/null
cmake --build "$build" --parallel "$(nproc)" --target short_tests
find "$build" -name '*.gcda' -delete
ctest --test-dir "$build" --label-exclude '^(long|package)$' --output-on-failure --quiet || echo "Some tests failed."
gcovr --root . --filter include/anther/ --gcov-ignore-parse-errors --exclude-throw-branches \
  --json-summary "$build/coverage.json" "$build" >/dev/null

python3 - "$build/coverage.json" <<'PYTHON'
import collections
import json
import sys

folders = collections.defaultdict(lambda: [0, 0, 0, 0])
for file in json.load(open(sys.argv[1]))["files"]:
    folder = file["filename"].removeprefix("include/anther/").rpartition("/")[0]
    for name in (folder, "all"):
        for i, key in enumerate(("line_covered", "line_total", "branch_covered", "branch_total")):
            folders[name][i] += file[key]
print("| folder | lines | of them run | branches | of them taken |\n| --- | ---: | ---: | ---: | ---: |")
for folder, (run, lines, taken, branches) in sorted(folders.items(), key=lambda item: (item[0] == "all", item[0])):
    share = lambda part, whole: f"{100 * part / whole:.1f} %" if whole else ""
    print(f"| {folder} | {lines:,} | {share(run, lines)} | {branches:,} | {share(taken, branches)} |")
PYTHON
