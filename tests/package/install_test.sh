#!/bin/sh
# Installs Anther and moves it, so that a path of this machine in it would be found out.
# usage: install_test.sh CMAKE BUILD_DIR SOURCE_DIR PREFIX
set -eu
cmake=$1 build_dir=$2 source_dir=$3 prefix=$4

rm -rf "$prefix" "$prefix.staged"
"$cmake" --install "$build_dir" --prefix "$prefix.staged"
if grep -rnF -e "$source_dir" -e "$prefix" -e /usr/include "$prefix.staged"; then
  echo "the installed package names paths of this machine"
  exit 1
fi
# Every header, and nothing else, is installed.
(cd "$source_dir/include/anther" && find . -name '*.hpp' -o -name '*.inl' | sort) >"$prefix.expected"
(cd "$prefix.staged/include/anther" && find . -type f | sort) | diff "$prefix.expected" -
mv "$prefix.staged" "$prefix"
