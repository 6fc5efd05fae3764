# shellcheck shell=bash
# What the tests of train_flowers' runs share; `source` it with PROGRAM in the first argument. They work in
# a folder of their own, which goes with them, and so do the processes that they have begun.
set -euo pipefail
program=$1
# shellcheck source=tests/wait_for.sh
source "$(dirname "${BASH_SOURCE[0]}")/../wait_for.sh"
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
# recipe_flags FILE: `flags` become a training of 30 steps by that recipe, of a small model on small painted
# images. Growing sizes and warm-ups are made to fit two epochs of 15 steps.
recipe_flags() {
  local name size=32 images=60 model
  name=$(basename "$1" .json)
  [[ $name == flowers ]] && size=32@1:64@1
  model=(--model xxs --options '{"dims": [12, 24, 36, 48], "depths": [1, 1, 1, 1], "heads": [1, 1, 1, 1]}')
  [[ $name == fine_tune ]] && model=(--model mobilenet_v2 --options '{"width_mult": 0.25}')
  [[ $name == paper ]] && images=240 # four batches a step
  flags=(--config "$1" --data-dir painted --limit "$images" --batch-size 4 --epochs 2 --warmup-epochs 1
    --img-size "$size" "${model[@]}" --seed 3)
}
# same_run FOLDER WHAT: that run has the files of `one`. Times and places are not compared.
same_run() {
  local file
  for file in weights/last.safetensors weights/best.safetensors weights/last_ema.safetensors steps.csv \
    confusion_matrix.csv test.json; do
    [[ -e one/$file || -e $1/$file ]] || continue
    cmp "one/$file" "$1/$file" >&2 || fail "$recipe, $2: another $file"
  done
}
