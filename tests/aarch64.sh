#!/usr/bin/env bash
# Builds tests for aarch64 and runs them under QEMU's user emulation: Debian's g++-aarch64-linux-gnu and
# qemu-user. The emulator is slow: all takes most of an hour of a processor.
#
# usage: tests/aarch64.sh [--short | FILE...]     all tests of core, kernels, ops, optim, autograd, nn and
#                                                 models unless files are named
# --short runs products, some kernels and a model, without what takes longest: tests/run.sh --long does.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/setup.sh
source scripts/setup.sh

arguments=()
files=("$@")
if [[ ${1:-} == --short ]]; then
  files=(tests/kernels/{bf16_map,elementwise,gemm,gemm_bf16,nan,optimizer,pointwise,softmax}_test.cpp
    tests/ops/attention_test.cpp tests/models/golden_test.cpp)
  arguments=('--test-case-exclude=EdgeViT*,gemm*EdgeViT*,*any number of threads*,*every tail*<double>')
elif ((${#files[@]} == 0)); then
  files=(tests/{core,kernels,ops,optim,autograd,nn,models}/*_test.cpp)
fi
if [[ $(uname -m) == aarch64 ]]; then
  echo "skipped: this is aarch64, whose tests are the usual ones"
  exit 77
fi
need_packages g++-aarch64-linux-gnu qemu-user doctest-dev nlohmann-json3-dev libstb-dev
if ! command -v aarch64-linux-gnu-g++ >/dev/null || ! command -v qemu-aarch64 >/dev/null; then
  echo "skipped: neither g++-aarch64-linux-gnu nor qemu-user can be installed"
  exit 77
fi

build=build/aarch64
mkdir -p "$build/include"
# Headers that are the same for every processor; /usr/include itself is this one's.
for library in doctest nlohmann stb; do
  [[ ! -d /usr/include/$library ]] || ln -sfn "/usr/include/$library" "$build/include/$library"
done
compile() {
  echo "$1"
  ${CCACHE:-} aarch64-linux-gnu-g++ -std=c++20 -O1 -fopenmp -Wall -Wextra -Wno-psabi -Iinclude -I. \
    -isystem "$build/include" -isystem "$build/include/stb" -c "$1" -o "$build/${1//\//_}.o"
}
export build CCACHE
export -f compile
CCACHE=$(command -v ccache || true)
# shellcheck disable=SC2016  # the inner shell expands it
printf '%s\n' tests/main.cpp "${files[@]}" | xargs -P "$(nproc)" -I '{}' bash -c 'compile "$1"' _ '{}'
objects=("$build/tests_main.cpp.o")
for file in "${files[@]}"; do objects+=("$build/${file//\//_}.o"); done
aarch64-linux-gnu-g++ -fopenmp "${objects[@]}" -o "$build/tests"
QEMU_LD_PREFIX=/usr/aarch64-linux-gnu qemu-aarch64 "$build/tests" "${arguments[@]}"
