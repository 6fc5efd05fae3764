#!/usr/bin/env bash
# The installed package by pkg-config: the headers, and the same templates compiled once.
# usage: pkg_config_test.sh PREFIX FOLDER COMPILER
set -euo pipefail
prefix=$1 folder=$2 compiler=$3
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
if ! command -v pkg-config >/dev/null; then
  echo "skipped: there is no pkg-config"
  exit 77
fi
mkdir -p "$folder"
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name anther.pc)")
export PKG_CONFIG_PATH
for name in anther anther-compiled; do
  read -r -a flags <<<"$(pkg-config --cflags --libs "$name" | tr '\n' ' ')"
  echo "$name: ${flags[*]}"
  "$compiler" -O0 "$here/consumer/main.cpp" "${flags[@]}" -o "$folder/$name"
  "$folder/$name"
done
pkg-config --exact-version="$(pkg-config --modversion anther)" anther-compiled
