#!/usr/bin/env bash
# Which share of the library's lines the tests run, by folder: builds tests/run.sh's short form with GCC's
# counters, runs it, and lets gcovr read them. A template counts where it is compiled: a line that no
# test instantiates is not one of those that could be reached. Takes some twenty minutes on two cores.
#
# usage: scripts/coverage.sh [CTEST OPTION...]    for example: scripts/coverage.sh -R '^(ops|nn)$'
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/setup.sh
source scripts/setup.sh
need_packages "${anther_packages[@]}" libeigen3-dev doctest-dev ninja-build gcovr
need_cmake
prefer_ninja

build=build/coverage
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_COMPILER=g++ \
  -DCMAKE_CXX_FLAGS='-O1 -fopenmp --coverage -fprofile-update=atomic' -DANTHER_EXAMPLES=OFF \
  -DANTHER_BENCH=OFF -DANTHER_UNITY_TESTS=OFF >/dev/null
cmake --build "$build" --target short_tests --parallel "$(nproc)"
find "$build" -name '*.gcda' -delete
ctest --test-dir "$build" -LE '^(long|package)$' --parallel "$(nproc)" "$@" || true

gcovr --root . --filter include/ --object-directory "$build" -j "$(nproc)" --json-summary "$build/coverage.json" \
  --gcov-ignore-parse-errors >/dev/null
python3 - "$build/coverage.json" <<'PYTHON'
import collections
import json
import sys

lines = collections.defaultdict(lambda: [0, 0])
for file in json.load(open(sys.argv[1]))["files"]:
    folder = file["filename"].removeprefix("include/anther/").rpartition("/")[0] or "."
    for place in (folder, "all"):
        lines[place][0] += file["line_covered"]
        lines[place][1] += file["line_total"]
print(f"{'folder':<20} {'lines':>7} {'reached':>8}")
for folder, (covered, total) in sorted(lines.items(), key=lambda item: item[0]):
    print(f"{folder:<20} {total:7} {100 * covered / max(total, 1):7.1f}%")
PYTHON
