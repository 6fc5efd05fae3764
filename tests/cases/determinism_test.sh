#!/usr/bin/env bash
# Each recipe gives the same files for any number of threads and of workers, and however often it was
# stopped on the way. 30 steps of each, with small models on small painted images.
#
# usage: determinism_test.sh TRAIN_FLOWERS [--long | --all] [OTHER_TRAIN_FLOWERS]
# --long: 1, 2, 3, 5 and 8 threads, 0 to 3 workers, and ten stops; --all: every pair of these. Another
# program, such as another compiler's, must give the same files too.
recipes=$(cd "$(dirname "$0")/../../examples/recipes" && pwd)
# shellcheck source=tests/cases/run_trials.sh
source "$(dirname "$0")/run_trials.sh" "$1"
shift
combinations=("3 2") # threads and workers
stops_of_each=2
case ${1:-} in
  --long)
    combinations=("1 3" "2 0" "2 2" "3 1" "5 0" "5 3" "8 1" "8 2")
    stops_of_each=10
    shift
    ;;
  --all)
    combinations=({1,2,3,5,8}\ {0,1,2,3})
    stops_of_each=10
    shift
    ;;
esac
other=${1:-}

rows() { wc -l 2>/dev/null <"$1/steps.csv" || echo 0; }
has_rows() { (($(rows "$1") > $2)); }

# stopped COUNT: runs the recipe, and stops it as often, each time somewhere in the steps after those
# that are done, to go on with other threads and workers. Says how often it was in time.
stopped() {
  local count=$1 threads=(8 3 1 5 2) workers=(2 0 3 1) stops=0 turn=0 status done_before
  rm -rf parts
  while :; do
    done_before=0
    [[ -e parts/steps.csv ]] && done_before=$(($(rows parts) - 1))
    local start=(--resume parts)
    [[ -e parts/weights/last.state.safetensors ]] || start=("${flags[@]}" --output parts)
    "$program" "${start[@]}" --threads "${threads[turn % 5]}" --workers "${workers[turn % 4]}" \
      >log 2>&1 &
    local pid=$!
    if ((stops < count)); then
      while ! has_rows parts $((done_before + 30 / (count + 1))) && kill -0 "$pid" 2>/dev/null; do
        sleep 0.002
      done
      kill -TERM "$pid" 2>/dev/null || true
    fi
    status=0
    wait "$pid" || status=$?
    ((status == 130)) || break
    stops=$((stops + 1))
    turn=$((turn + 1))
  done
  ((status == 0)) || fail "$recipe, stopped $stops times: expected status 0, got $status"
  ((stops > 0)) || fail "$recipe: it was never stopped"
  same_run parts "stopped $stops times"
  all_stops=$((all_stops + stops))
}

runs=0
all_stops=0
for file in "$recipes"/*.json; do
  recipe=$(basename "$file" .json)
  recipe_flags "$file"
  rm -rf one
  run 0 "${flags[@]}" --threads 1 --workers 0 --output one
  (($(rows one) >= 31)) || fail "$recipe: expected 30 steps, got $(($(rows one) - 1))"
  for combination in "${combinations[@]}"; do
    read -r threads workers <<<"$combination"
    rm -rf many
    run 0 "${flags[@]}" --threads "$threads" --workers "$workers" --output many
    same_run many "$threads threads, $workers workers"
    runs=$((runs + 1))
  done
  stopped "$stops_of_each"
  if [[ -n $other ]]; then
    rm -rf many
    program=$other run 0 "${flags[@]}" --threads 2 --output many
    same_run many "$other"
  fi
done
echo "determinism_test: $runs runs and $all_stops stops gave the same files"
