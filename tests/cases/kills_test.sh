#!/usr/bin/env bash
# Each recipe's training is killed (SIGKILL) at random moments, every third time while a file of its weights
# is written, and goes on from what it left, until it has the files of a run that nothing happened to.
#
# usage: kills_test.sh TRAIN_FLOWERS [KILLS] [SEED]     10 kills in all unless told
recipes=$(cd "$(dirname "$0")/../../examples/recipes" && pwd)
# shellcheck source=tests/cases/run_trials.sh
source "$(dirname "$0")/run_trials.sh" "$1"
kills=${2:-10}
RANDOM=${3:-$$}
echo "kills_test: seed ${3:-$$}"

now() { echo "${EPOCHREALTIME/./}"; } # microseconds
alive() { kill -0 "$1" 2>/dev/null; }
writes() { compgen -G "parts/weights/*.tmp" >/dev/null; }

killed=0
writing=0
runs=0
# endure RECIPE COUNT: kills it COUNT times or more, until the last run is through.
endure() {
  local most=$2 begun=0 status pid began moment
  recipe=$(basename "$1" .json)
  recipe_flags "$1"
  # A state after every epoch is what a run goes on from; a run between two kills should reach one.
  flags+=(--threads 1 --checkpoint-hist 2)
  rm -rf one parts
  began=$(now)
  run 0 "${flags[@]}" --output one
  local whole=$(($(now) - began)) of_this=0
  while :; do
    if [[ -e parts/weights/last.state.safetensors ]]; then
      "$program" --resume parts >log 2>&1 &
    else
      rm -rf parts
      "$program" "${flags[@]}" --output parts >log 2>&1 &
    fi
    pid=$!
    if ((of_this < most)); then
      moment=$(($(now) + (RANDOM * 32768 + RANDOM) % whole))
      while alive "$pid" && (($(now) < moment)); do sleep 0.002; done
      if ((RANDOM % 3 == 0)); then
        while alive "$pid" && ! writes; do :; done
      fi
      if alive "$pid" && writes; then begun=1; else begun=0; fi
      kill -KILL "$pid" 2>/dev/null || true
    fi
    status=0
    wait "$pid" 2>/dev/null || status=$?
    if ((status == 137)); then
      of_this=$((of_this + 1))
      writing=$((writing + begun))
      continue
    fi
    # Killed when all was written.
    if ((status == 1)) && grep -q "parts: the run is finished" log; then status=0; fi
    ((status == 0)) || fail "$recipe, killed $of_this times: expected status 0, got $status"
    same_run parts "killed $of_this times"
    runs=$((runs + 1))
    ((of_this < most)) || break
    rm -rf parts
  done
  killed=$((killed + of_this))
}

files=("$recipes"/*.json)
for ((i = 0; i < ${#files[@]}; ++i)); do
  endure "${files[i]}" $((kills / ${#files[@]} + (i < kills % ${#files[@]})))
done
((killed >= kills)) || fail "expected $kills kills, got $killed"
echo "kills_test: $killed kills, $writing of them while weights were written; $runs runs gave the same files"
