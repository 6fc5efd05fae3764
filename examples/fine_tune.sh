#!/usr/bin/env bash
# What trained weights are worth where there are few images: trains EdgeViT-XXS on 82 classes of
# Flowers-102 (4,793 images), then on the 20 others, of which it has 10 images each: from nothing,
# from the trained weights, and from these with the first two stages frozen. The accuracy is that
# on the test images of the 20 classes, which none of the runs has seen.
#
# usage: examples/fine_tune.sh FLOWERS_FOLDER [OUTPUT]      after cmake --build --preset release
#   IMG_SIZE, EPOCHS, TUNE_EPOCHS, SEED: 96, 15, 60, 42 unless they are set
set -euo pipefail
data=$1
output=${2:-runs/fine_tune}
img_size=${IMG_SIZE:-96}
programs=${PROGRAMS:-build/release/examples}

train() {
  "$programs/train_flowers" --data-dir "$data" --eval-split valid --resize short-side \
    --opt adamw --weight-decay 0.05 --sched cosine --scale 0.33 1 --hflip 0.5 --smoothing 0.1 \
    --cache uint8 --seed "${SEED:-42}" "$@"
}
results=()
# tune NAME WHAT FLAG...: a run in OUTPUT/NAME, and what it came to.
tune() {
  local name=$1 what=$2
  shift 2
  train --classes 82-101 --split official --batch-size 16 --epochs "${TUNE_EPOCHS:-60}" \
    --warmup-epochs 5 --output "$output/$name" "$@"
  results+=("$what: $("$programs/evaluate" "$output/$name/weights/last.safetensors" \
    --data-dir "$data" --part test --json "$output/$name/test.json" | tail -n 1)")
}

train --classes 0-81 --split paddle --img-size "$img_size" --batch-size 32 \
  --epochs "${EPOCHS:-15}" --warmup-epochs 1 --output "$output/start"
start=$output/start/weights/last.safetensors
tune nothing "from nothing" --img-size "$img_size"
tune tuned "from trained weights" --initial-checkpoint "$start"
tune frozen "the same, two stages frozen" --initial-checkpoint "$start" --freeze 2
printf '\nThe 20 classes, after training on 10 images each:\n'
printf '  %s\n' "${results[@]}"
