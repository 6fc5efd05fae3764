# shellcheck shell=bash
# wait_for COMMAND...: until it succeeds; a minute at most. `fail` is its user's.
wait_for() {
  local i
  for ((i = 0; i < 3000; ++i)); do
    "$@" 2>/dev/null && return
    sleep 0.02
  done
  fail "waited in vain for: $*"
}
