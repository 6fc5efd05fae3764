#!/usr/bin/env bash
# train_flowers as its user runs it, on a few images: what is refused leaves no folder; Ctrl-C and
# --resume auto give the files of the run that was not interrupted; args.json repeats a run; a
# checkpoint starts another.
#
# usage: train_flowers_test.sh PROGRAM
set -euo pipefail
program=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() {
  echo "$1" >&2
  tail -n 20 log >&2
  exit 1
}
# Runs the program quietly; the first argument is the status that it should end with.
run() {
  local expected=$1 status=0
  shift
  "$program" "$@" >log 2>&1 || status=$?
  ((status == expected)) || fail "expected status $expected, got $status: $*"
}
# A model of few weights, in all runs: most of the time would go into making and writing them.
small=(--options '{"dims": [12, 24, 36, 48], "depths": [1, 1, 1, 1], "heads": [1, 1, 1, 1]}')
same_weights() {
  local name
  for name in last best last_ema; do
    cmp "$1/weights/$name.safetensors" "$2/weights/$name.safetensors" || fail "$1 and $2 differ"
  done
  cmp "$1/steps.csv" "$2/steps.csv" || fail "steps.csv of $1 and $2 differ"
}

# Class folders of bitmaps, 16 x 16 pixels of whatever numbers look like.
bitmap() {
  printf 'BM\x36\x03\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x10\0\0\0\x10\0\0\0\x01\0\x18\0'
  printf '\0\0\0\0\0\x03\0\0\x13\x0b\0\0\x13\x0b\0\0\0\0\0\0\0\0\0\0'
  seq "$1" "$2" 999999 2>/dev/null | head -c 768 || true
}
for class in 1 2 3; do
  mkdir -p "data/train/$class" "data/val/$class"
  for ((i = 1; i <= 14; ++i)); do bitmap "$i" "$class" >"data/train/$class/$i.bmp"; done
  for i in 15 16 17; do bitmap "$i" "$class" >"data/val/$class/$i.bmp"; done
done

for wrong in "--threads -3" "--seed -1" "--lr nan" "--img-size 100" "--opt lamb" "--freeze stages.9" \
  "--initial-checkpoint none.safetensors" "--classes 3" "--resize wide" "--aa rand-x" "--scale 1 0.5" \
  "--color-jitter -1" "--mean 0.5" "--std 0 1 1" "--model xl" "--preset best" "--norm no" "--split half"; do
  # shellcheck disable=SC2086
  run 1 --data-dir data $wrong --output refused
  [[ ! -e refused ]] || fail "$wrong: a folder was made"
  [[ $wrong == *none* ]] || grep -q -e "^train_flowers: ${wrong%% *}: " log ||
    fail "$wrong: the flag is not named"
done

# A teacher that sees larger images, prepared otherwise. Two of four threads have nothing to do.
run 0 "${small[@]}" --data-dir data --img-size 64 --mean 0.1 0.2 0.3 --batch-size 8 --epochs 1 --output teacher \
  --threads 4 --micro-batch 2 --lanes 2
grep -q "^2 of 4 threads have something to compute: --lanes 4 would" log || fail "idle threads are not told"
run 1 "${small[@]}" --data-dir data --img-size 32 --classes 0-1 --teacher teacher --output refused
grep -q "^train_flowers: teacher: expected a teacher of the data's 2 classes, got one of 3" log ||
  fail "a teacher of other classes is not named"
[[ ! -e refused ]] || fail "a teacher of other classes was taken"

options=("${small[@]}" --data-dir data --img-size 32:64 --batch-size 4 --grad-accum-steps 2 --epochs 12
  --opt sgd --lr 0.02 --weight-decay 1e-3 --model-ema --model-ema-decay 0.95 --clip-grad 1
  --logit-adjust 1 --sched cosine --warmup-epochs 1 --drop-path 0.1 --layer-decay 0.9
  --freeze stages.0.0 --smoothing 0.1 --scale 0.3 1 --hflip 0.5 --vflip 0.1 --rotation 15
  --color-jitter 0.2 0.2 0.2 0.05 --aa rand-m9-mstd0.5 --reprob 0.25 --remode pixel --mixup 0.8
  --cutmix 1 --mixup-prob 0.8 --cache uint8 --mean 0.5 0.4 0.3 --std 0.2 0.3 0.4
  --teacher teacher --temperature 3)
run 0 "${options[@]}" --output whole

# Interrupted within the second epoch.
"$program" "${options[@]}" --output parts >log 2>&1 &
pid=$!
for ((i = 0; i < 600; ++i)); do
  [[ -e parts/steps.csv ]] && (($(wc -l <parts/steps.csv) > 8)) && break
  sleep 0.05
done
kill -INT "$pid" 2>/dev/null || true
status=0
wait "$pid" || status=$?
if ((status != 0)); then # a quick machine may have been done by then
  ((status == 130)) || fail "Ctrl-C: expected status 130, got $status"
  grep -q -- "train_flowers --resume parts" log || fail "it does not say how to go on"
  run 0 --resume auto --output parts --threads 1
fi
same_weights whole parts
run 1 --resume auto --output parts
run 1 --resume parts

# A damaged image ends the run, and what was done is kept: mended, or left out, it goes on.
options=("${small[@]}" --data-dir damaged --img-size 32 --batch-size 8 --epochs 2)
cp -r data damaged
for bad in train/3/14 val/2/16; do
  rm -rf stopped mended
  run 0 "${options[@]}" --output mended
  truncate -s 500 "damaged/$bad.bmp"
  run 1 "${options[@]}" --output stopped
  grep -q "^train_flowers: damaged/$bad.bmp: " log || fail "the damaged image is not named"
  grep -q -- "train_flowers --resume stopped" log || fail "it does not say how to go on"
  cp -r stopped skipped
  run 0 --resume skipped --skip-bad
  grep -q "Left out: 1 damaged sample (the first: damaged/$bad.bmp: " log ||
    fail "the damaged image is not counted"
  cp "data/$bad.bmp" "damaged/$bad.bmp"
  run 0 --resume stopped
  cmp mended/weights/last.safetensors stopped/weights/last.safetensors ||
    fail "a run that stopped at $bad.bmp did not go on as it was"
  rm -rf skipped
done

run 0 --config whole/args.json --output again
same_weights whole again

# The weights' images are those of the run that starts from them, where no flag says otherwise.
run 0 "${small[@]}" --data-dir data --classes 0-1 --batch-size 8 --epochs 1 --seed 7 --resize short-side \
  --initial-checkpoint whole/weights/best.safetensors --output tuned
grep -q "The head is a new one, for 2 classes" log || fail "it does not say that the head is replaced"
grep -q "Images as its own: img-size 64, crop-pct 0.875, mean 0.5 0.4 0.3, std 0.2 0.3 0.4" log ||
  fail "it does not say how the images are prepared"
for part in '"img_size": 64' '"resize": "short-side"' '"classes": "0-1"'; do
  grep -q -e "$part" tuned/args.json || fail "args.json has no $part"
done
run 1 "${small[@]}" --data-dir data --img-size 32 --norm ln --local-norm ln \
  --initial-checkpoint whole/weights/best.safetensors --output refused
[[ ! -e refused ]] || fail "weights of another norm were taken"
echo "all as expected"
