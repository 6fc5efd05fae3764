#!/usr/bin/env bash
# The trained model that comes with Anther is small, in half precision, has its card, is what classify
# takes where there is no run, and can be started from as the README has it.
#
# usage: trained_model_test.sh FOLDER_OF_THE_EXAMPLES PAINT
set -euo pipefail
examples=$1
paint=$2
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
model=$project/data/flowers102-xxs.safetensors
card=$project/data/flowers102-xxs.md
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

fail() {
  echo "trained_model_test: $1" >&2
  exit 1
}

[[ -f $model ]] || fail "$model is missing"
bytes=$(stat -c %s "$model")
((bytes < 8000000)) || fail "the model has $bytes bytes"
! head -c 60000 "$model" | grep -q '"dtype":"F32"' || fail "the model is not in half precision"
! grep -n '@[A-Z0-9_]*@' "$card" || fail "the card has figures missing"

"$paint" data 17 17
picture=$(find data -name '*.png' | sort | head -n 1)
"$examples/classify" "$picture" >out.log 2>&1 || fail "classify failed: $(cat out.log)"
grep -qF "Model: $model, 102 classes" out.log || fail "classify took another model: $(cat out.log)"
names=$(sed -n 's/^ *[0-9.]* %  //p' out.log)
[[ $(wc -l <<<"$names") == 5 ]] || fail "expected five names: $(cat out.log)"
while read -r name; do
  grep -qF "\"$name\"" "$project/include/anther/data/vision/flower_names.hpp" || fail "no flower: $name"
done <<<"$names"
"$examples/train_flowers" --data-dir data --img-size 32 --initial-checkpoint "$model" --epochs 1 >out.log 2>&1 ||
  fail "it cannot be started from: $(cat out.log)"
"$examples/evaluate" runs/train_flowers/1 >out.log 2>&1 || fail "what started from it: $(cat out.log)"
echo "the trained model names flowers: $(head -n 1 <<<"$names")"
