#!/usr/bin/env bash
# The installed package by pkg-config: the headers, and the same templates compiled once.
# usage: pkg_config_test.sh PREFIX FOLDER COMPILER CMAKE
set -euo pipefail
prefix=$1 folder=$2 compiler=$3 cmake=$4
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

# Folders that are none of the prefix, one of them or both.
for dirs in "/other/lib include" "lib /other/include" "/other/lib /other/include"; do
  read -r libdir includedir <<<"$dirs"
  rm -rf "$folder/elsewhere"
  CXX=$compiler "$cmake" -S "$here/../.." -B "$folder/elsewhere" -DANTHER_TESTS=OFF -DANTHER_EXAMPLES=OFF \
    -DANTHER_BENCH=OFF -DCMAKE_INSTALL_PREFIX=/own "-DCMAKE_INSTALL_LIBDIR=$libdir" \
    "-DCMAKE_INSTALL_INCLUDEDIR=$includedir" >"$folder/elsewhere.log"
  # As if it was installed.
  mkdir -p "$folder/elsewhere/own/lib/pkgconfig"
  cp "$folder/elsewhere/"*.pc "$folder/elsewhere/own/lib/pkgconfig"
  export PKG_CONFIG_PATH=$folder/elsewhere/own/lib/pkgconfig
  found=$(pkg-config --variable=includedir anther) other=$(pkg-config --variable=libdir anther-compiled)
  echo "$dirs: $found $other"
  case $includedir in /*) [[ $found == "$includedir" ]] ;; *) [[ $found == /own/include ]] ;; esac
  case $libdir in /*) [[ $other == "$libdir" ]] ;; *) [[ $other == */own/lib/pkgconfig/../../lib ]] ;; esac
done
