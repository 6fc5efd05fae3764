# shellcheck shell=bash
# What the tests of train_flowers' runs share; `source` it with PROGRAM in the first argument. They work in
# a folder of their own, which goes with them, and so do the processes that they have begun.
set -euo pipefail
program=$1
work=$(mktemp -d)
cleanup() {
  local jobs
  jobs=$(jobs -p)
  # shellcheck disable=SC2086
  [[ -z $jobs ]] || kill -KILL $jobs 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
cd "$work"

fail() {
  echo "$(basename "$0" .sh): $1" >&2
  tail -n 20 log >&2 || true
  exit 1
}
# Runs the program quietly; the first argument is the status that it should end with.
run() {
  local expected=$1 status=0
  shift
  timeout 300 "$program" "$@" >log 2>&1 || status=$?
  ((status == expected)) || fail "expected status $expected, got $status: $*"
}
says() { grep -q -e "$1" log || fail "expected it to say '$1'"; }
# wait_for COMMAND...: until it succeeds; a minute at most.
wait_for() {
  local i
  for ((i = 0; i < 1200; ++i)); do
    "$@" 2>/dev/null && return
    sleep 0.05
  done
  fail "waited in vain for: $*"
}
