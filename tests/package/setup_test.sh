#!/usr/bin/env bash
# scripts/setup.sh on machines that are made up: stubs for apt-get and the like, and nothing else.
# shellcheck disable=SC2015,SC2016  # fail() exits; some text is for another shell
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

stub() {
  printf '#!/bin/bash\n%s\n' "$2" >"$work/bin/$1"
  chmod +x "$work/bin/$1"
}
# A machine that has make, but neither libeigen3-dev nor curl; apt-get installs what is asked for.
new_machine() {
  rm -rf "${work:?}"/*
  mkdir "$work/bin" "$work/installed"
  local tool
  for tool in bash sed sort env cat; do ln -s "$(command -v $tool)" "$work/bin/$tool"; done
  stub make ''
  stub id 'echo 0'
  stub dpkg-query "[[ -e $work/installed/\${!#} ]] && echo installed"
  stub apt-get "[[ \$* == *install* ]] || exit 0
    [[ \$DEBIAN_FRONTEND == noninteractive ]] || exit 1
    for name in \"\$@\"; do [[ \$name == -* ]] || : >$work/installed/\$name; done"
}
# need PACKAGE...: the exit status of need_packages there; what it prints is in the log.
need() {
  PATH=$work/bin CI='' "$work/bin/bash" -c 'source "$0"; need_packages "$@"' \
    "$root/scripts/setup.sh" "$@" </dev/null >"$work/log" 2>&1 && echo 0 || echo $?
}
fail() {
  echo "failed: $*"
  cat "$work/log"
  exit 1
}
says() { grep -q -- "$1" "$work/log"; }

new_machine
[[ $(need make) == 0 && ! -s $work/log ]] || fail "nothing is missing, so nothing is said"
[[ $(need make libeigen3-dev) == 0 && -e $work/installed/libeigen3-dev ]] || fail "root installs"
says 'Missing packages: libeigen3-dev$' || fail "it says what is missing"

new_machine
stub id 'echo 1000'
[[ $(need libeigen3-dev) == 0 ]] && says 'CMake will fetch' || fail "a library can be fetched"
[[ $(need curl) != 0 ]] && says 'apt-get install curl' || fail "a tool cannot be"
# shellcheck disable=SC2016  # the stub's own $*
stub sudo '[[ $1 == -n ]] || exit 1; shift; exec "$@"'
[[ $(need libeigen3-dev) == 0 && -e $work/installed/libeigen3-dev ]] || fail "sudo, without a prompt"

new_machine
rm "$work/bin/apt-get" "$work/bin/dpkg-query"
[[ $(need make libeigen3-dev) == 0 ]] || fail "another system that has the tools goes on"
[[ $(need curl) != 0 ]] && says 'not Debian' || fail "another system without the tools"
