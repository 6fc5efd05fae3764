#!/usr/bin/env bash
# Builds tests for aarch64 and runs them under QEMU's user emulation: Debian's g++-aarch64-linux-gnu and
# qemu-user. The emulator is slow (products alone take minutes): name files for a few.
#
# usage: tests/aarch64.sh [FILE...]     tests/kernels/*_test.cpp and tests/ops/*_test.cpp unless named
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/setup.sh
source scripts/setup.sh
need_packages g++-aarch64-linux-gnu qemu-user doctest-dev nlohmann-json3-dev

files=("$@")
((${#files[@]})) || files=(tests/kernels/*_test.cpp tests/ops/*_test.cpp)
build=build/aarch64
mkdir -p "$build/include"
# Headers that are the same for every processor; /usr/include itself is this one's.
for library in doctest nlohmann; do
  ln -sfn "/usr/include/$library" "$build/include/$library"
done
compile=(aarch64-linux-gnu-g++ -std=c++20 -O1 -fopenmp -Wall -Wextra -Iinclude -I. -isystem "$build/include")
! command -v ccache >/dev/null || compile=(ccache "${compile[@]}")

objects=()
for file in tests/main.cpp "${files[@]}"; do
  object=$build/${file//\//_}.o
  objects+=("$object")
  echo "$file"
  "${compile[@]}" -c "$file" -o "$object"
done
aarch64-linux-gnu-g++ -fopenmp "${objects[@]}" -o "$build/tests"
QEMU_LD_PREFIX=/usr/aarch64-linux-gnu qemu-aarch64 "$build/tests"
