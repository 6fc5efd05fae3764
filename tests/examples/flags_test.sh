#!/usr/bin/env bash
# Every flag of train_flowers that says what to train, and how, reaches the training: with it the
# steps of a short run (losses, accuracies, rates) are others than without; the rates are those of
# the schedule. Flags that only say how fast leave all of them as they are, and are seen by what
# else they do.
#
# usage: flags_test.sh FOLDER_OF_THE_EXAMPLES PAINT
set -euo pipefail
examples=$1
paint=$2
# In memory where there is a place for it: every run flushes its weights to the disk.
memory=/dev/shm
[[ -d $memory && -w $memory ]] || memory=${TMPDIR:-/tmp}
folder=$(mktemp -d "$memory/flags_test.XXXXXX")
trap 'rm -rf "$folder"' EXIT
cd "$folder"

fail() {
  echo "flags_test: $1" >&2
  exit 1
}
# Ten images in the order of their classes: these are not all of one size. A model of few weights:
# most of the time would go into making and writing them.
echo '{"data_dir": "data", "limit": 10, "img_size": 32, "batch_size": 4, "epochs": 1, "opt": "adamw",
       "lr": 0.005, "weight_decay": 0.1,
       "options": {"dims": [12, 24, 36, 48], "depths": [1, 1, 1, 1], "heads": [1, 1, 1, 1]}}' >short.json
# steps FLAG...: the steps of such a run with these flags.
steps() {
  rm -rf run
  # shellcheck disable=SC2068
  "$examples/train_flowers" --config short.json --output run $@ >log 2>&1 ||
    fail "train_flowers $* failed: $(cat log)"
  cat run/steps.csv
}
# What comes before a colon is a flag that the one after it needs.
"$paint" data 68 17
"$paint" flowers 20 17 20 # as Flowers-102 is published
mkdir folders             # no val/
cp -r data/train folders
steps >teacher.csv
mv run teacher
while IFS=: read -r needed flag; do
  [[ $needed == "${base-none}" ]] || steps "$needed" >base.csv
  base=$needed
  steps "$needed" "$flag" >with.csv
  ! cmp -s base.csv with.csv || fail "$flag${needed:+ with $needed} does nothing"
done <<'FLAGS'
:--seed 7
:--limit 8
:--classes 0-1
--options {}:--model xs
:--options {}
:--preset original
:--norm ln
:--local-norm in
:--gn-groups 1
:--ffn linear
:--ffn-kernel 3
:--init official
:--drop-path 0.3
:--freeze 1
:--freeze body
--preset original:--freeze-statistics
:--img-size 64
--epochs 2:--img-size 32:64
:--resize short-side
:--mean 0.5 0.5 0.5
:--std 0.5 0.5 0.5
:--epochs 2
:--batch-size 8
:--micro-batch 1
--micro-batch 1 --img-size 64:--lanes 1
:--grad-accum-steps 2
:--opt adam
:--opt sgd
:--opt momentum
:--lr 0.01
:--weight-decay 0.5
:--opt-betas 0.8 0.9
:--opt-eps 0.01
:--clip-grad 0.1
:--layer-decay 0.5
:--sched cosine
:--sched linear
:--warmup-epochs 1
:--smoothing 0.1
:--teacher teacher
:--logit-adjust 1
:--scale 0.3 1
:--hflip 0.5
:--vflip 0.5
:--rotation 15
:--color-jitter 0.4
:--aa rand-m9-n2
:--reprob 0.9
:--mixup 0.8
:--cutmix 1
--options {} --model xs:--table
--teacher teacher:--teacher-weight 0.5
--teacher teacher:--temperature 2
--teacher teacher:--teacher-img-size 64
--resize short-side:--crop-pct 0.5
--opt sgd:--momentum 0.5
--sched cosine:--min-lr 0.001
--sched linear:--time-budget 0.02
--warmup-epochs 1:--warmup-lr 0.001
--sched step --epochs 2:--decay-epochs 1
--sched step --epochs 2 --decay-epochs 1:--decay-rate 0.5
--scale 0.3 1:--ratio 0.5 2
:--color-jitter 0 0 0 0.3
--reprob 0.9:--remode pixel
--reprob 0.9:--recount 3
--mixup 0.8 --cutmix 1:--mixup-prob 0.1
--mixup 0.8 --cutmix 1:--mixup-switch-prob 0.1
--lr 1e-30 --epochs 4:--patience 1
:--cache uint8 --cache-size 40
--cache uint8:--cache-size 36
:--data-dir flowers
--data-dir flowers:--split official
--data-dir flowers --limit 0:--split trainval
--data-dir folders:--val-fraction 0.5
FLAGS

# rates FLAG...: the rate of each step; an epoch has three.
rates() {
  steps "$@" | awk -F, 'NR == 1 { for (i = 1; i <= NF; ++i) if ($i == "lr") at = i }
    NR > 1 { printf "%s%.6f", (NR > 2 ? " " : ""), $at }'
}
while IFS=: read -r flags expected; do
  got=$(rates "$flags")
  [[ $got == "$expected" ]] || fail "$flags: expected the rates $expected, got $got"
done <<'RATES'
--epochs 2:0.005000 0.005000 0.005000 0.005000 0.005000 0.005000
--epochs 2 --sched cosine --min-lr 0.001:0.005000 0.004732 0.004000 0.003000 0.002000 0.001268
--epochs 2 --sched linear --warmup-epochs 1:0.001667 0.003333 0.005000 0.005000 0.003333 0.001667
--epochs 2 --warmup-epochs 1 --warmup-lr 0.002:0.003000 0.004000 0.005000 0.005000 0.005000 0.005000
--epochs 3 --sched step --decay-epochs 1 --decay-rate 0.5 --grad-accum-steps 3:0.005000 0.002500 0.001250
RATES

steps >base.csv
for flag in "--threads 1" "--workers 0" "--cache images" "--cache images --cache-gb 0" --profile \
  --skip-bad; do
  steps "$flag" >with.csv
  cmp -s base.csv with.csv || fail "$flag changes the steps"
  case $flag in
    "--threads 1") grep -q " 1 thread " log || fail "$flag does nothing" ;;
    --profile) grep -q self_attention log || fail "$flag does nothing" ;;
  esac
done

# What is evaluated is no part of the steps.
steps "--data-dir flowers" >base.csv
cp run/results.csv valid.csv
steps "--data-dir flowers --eval-split test" >with.csv
cmp -s base.csv with.csv || fail "--eval-split changes the steps"
[[ $(tail -n 1 valid.csv | cut -d , -f 5-7) != "$(tail -n 1 run/results.csv | cut -d , -f 5-7)" ]] ||
  fail "--eval-split does nothing"
steps "--epochs 3" >base.csv
steps "--epochs 3 --val-interval 2" >with.csv
cmp -s base.csv with.csv || fail "--val-interval changes the steps"
evaluated=$(awk -F, 'NR > 1 && $5 != "nan" { print $1 }' run/results.csv | xargs)
[[ $evaluated == "2 3" ]] || fail "--val-interval 2: expected evaluations after 2 and 3, got $evaluated"

# A damaged image ends the run, or is left out.
cp -r data damaged
for image in damaged/train/*/*.png; do
  head -c 200 "$image" >cut.png && mv cut.png "$image"
  break
done
rm -rf run
! "$examples/train_flowers" --config short.json --output run --data-dir damaged >log 2>&1 ||
  fail "a damaged image is no error"
steps "--data-dir damaged --skip-bad" >with.csv

# The average is no part of the steps.
steps --model-ema >/dev/null
grep -q ,val_ema/top1 run/results.csv || fail "--model-ema does nothing"
cp run/results.csv plain.csv
steps --model-ema --model-ema-decay 0.1 >/dev/null
[[ $(cut -d , -f 12- run/results.csv) != "$(cut -d , -f 12- plain.csv)" ]] ||
  fail "--model-ema-decay does nothing"
echo "every flag does something"
