#!/usr/bin/env bash
# Installs what is missing, builds classify, and says which flowers are on photographs: by the trained
# model in data/, or by the latest run of train_flowers in the folder it is called in.
#
# usage: examples/classify.sh PHOTOGRAPH... [CLASSIFY OPTION...]
set -euo pipefail
project=$(dirname "${BASH_SOURCE[0]}")/..
# shellcheck source=scripts/setup.sh
source "$project/scripts/setup.sh"

need_packages "${anther_packages[@]}"
need_cmake
build() {
  cd "$project"
  # Tests and benches are left out, unless they are set up here already.
  local left_out=()
  [[ -e build/release/CMakeCache.txt ]] || left_out=(-DANTHER_TESTS=OFF -DANTHER_BENCH=OFF)
  cmake --preset release "${left_out[@]}"
  cmake --build --preset release --parallel "$(nproc)" --target classify
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
[[ -x $project/build/release/examples/classify ]] || echo "Building classify: a few minutes." >&2
(build) >"$log" 2>&1 || {
  cat "$log" >&2
  exit 1
}
"$project/build/release/examples/classify" "$@"
