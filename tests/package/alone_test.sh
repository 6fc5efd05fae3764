#!/bin/sh
# A consumer on a machine that has a compiler and nothing else: the headers build and run, CMake says
# that the build is not optimised, and of the components there is none.
# usage: alone_test.sh CMAKE SOURCE_DIR BUILD_DIR OPTION...
set -eu
cmake=$1 source_dir=$2 build_dir=$3
shift 3

rm -rf "$build_dir"
mkdir -p "$build_dir"
"$cmake" -S "$source_dir/tests/package/consumer" -B "$build_dir" -DANTHER_FROM=add_subdirectory \
  -DANTHER_DIR="$source_dir" "$@" >"$build_dir/log" 2>&1 || { cat "$build_dir/log"; exit 1; }
cat "$build_dir/log"
for text in 'this build is not optimised' 'OpenMP was not found'; do
  grep -q "$text" "$build_dir/log" || { echo "CMake does not say: $text"; exit 1; }
done
if grep -q fetching "$build_dir/log"; then
  echo "something was to be downloaded"
  exit 1
fi
"$cmake" --build "$build_dir"
"$build_dir/by_anther" | tee "$build_dir/output"
grep -q 'serial' "$build_dir/output" || { echo "it should run on one thread"; exit 1; }
for component in io data eigen; do
  if [ -e "$build_dir/with_$component" ]; then
    echo "there is a component $component without what it needs"
    exit 1
  fi
done
