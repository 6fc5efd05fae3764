#!/usr/bin/env bash
# Runs what has threads under ThreadSanitizer: the pool, the loader of data, and a step of training. A race is
# reported, and ends this with a status other than 0. Built by Clang. Of OpenMP, through which the sanitizer
# does not see, only questions are asked: loops run on Anther's own threads. One instruction set is quicker.
#
# usage: tests/tsan.sh [FILE [DOCTEST OPTION...]]     the three unless a file is named
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/setup.sh
source scripts/setup.sh
need_packages clang libomp-dev doctest-dev nlohmann-json3-dev libstb-dev

build=build/tsan
mkdir -p "$build"
compile=("${CXX:-clang++}" -std=c++20 -O1 -g -fopenmp -fsanitize=thread -Iinclude -I.
  -DANTHER_TEST_BASELINE_VECTOR_BYTES=16)
link=("${compile[@]}")
! command -v ccache >/dev/null || compile=(ccache "${compile[@]}")

# run FILE OPTION...: builds one file of tests, and runs it with options of doctest's.
run() {
  local file=$1 program
  program=$build/$(basename "$file" .cpp)
  shift
  echo "$file $*"
  "${compile[@]}" -c "$file" -o "$program.o"
  "${link[@]}" "$build/main.o" "$program.o" -o "$program" -lpthread
  TSAN_OPTIONS=halt_on_error=1:ignore_noninstrumented_modules=1 "$program" "$@"
}
"${compile[@]}" -c tests/main.cpp -o "$build/main.o"
if (($#)); then
  run "$@"
else
  run tests/core/parallel_for_test.cpp
  run tests/data/loader_test.cpp
  run tests/train/trainer_test.cpp --test-case='trainer: the same bits for any number of threads*'
fi
