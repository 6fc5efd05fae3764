#!/usr/bin/env bash
# What happens to runs of train_flowers, and what must not lose their work: closed pipes and
# terminals, signals of batch systems, two processes on one run, more epochs for a finished run, a
# lower rate after a NaN, a last batch of one image.
#
# usage: runs_test.sh TRAIN_FLOWERS
# shellcheck source=tests/cases/run_trials.sh
source "$(dirname "$0")/run_trials.sh" "$1"

rows() { [[ -e $1/steps.csv ]] && (($(wc -l <"$1/steps.csv") > $2)); }

# Class folders of bitmaps, 16 x 16 pixels of whatever numbers look like: 33 to train on.
bitmap() {
  printf 'BM\x36\x03\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x10\0\0\0\x10\0\0\0\x01\0\x18\0'
  printf '\0\0\0\0\0\x03\0\0\x13\x0b\0\0\x13\x0b\0\0\0\0\0\0\0\0\0\0'
  seq "$1" "$2" 999999 2>/dev/null | head -c 768 || true
}
for class in 1 2 3; do
  mkdir -p "data/train/$class" "data/val/$class"
  for ((i = 1; i <= 11; ++i)); do bitmap "$i" "$class" >"data/train/$class/$i.bmp"; done
  for i in 15 16 17; do bitmap "$i" "$class" >"data/val/$class/$i.bmp"; done
done
data=(--data-dir data --img-size 32 --threads 1)
tiny=("${data[@]}" --options '{"dims": [12, 24, 36, 48], "depths": [1, 1, 1, 1], "heads": [1, 1, 1, 1]}')
short=("${tiny[@]}" --batch-size 8)
endless=("${short[@]}" --epochs 100000)

# More epochs for a finished run: what a run of so many epochs would have given, where the rate
# does not follow from their number.
run 0 "${short[@]}" --epochs 3 --opt momentum --output whole
run 0 "${short[@]}" --epochs 1 --opt momentum --output more
run 1 --resume more
says "the run is finished, after 1 epoch; to go on with it, give more: --epochs 2"
run 0 --resume more --epochs 3
says "Changed: epochs 1 -> 3"
! grep -q "bit for bit" log || fail "more epochs at a constant rate change no bits"
cmp whole/weights/last.safetensors more/weights/last.safetensors || fail "more epochs are others"
cmp whole/steps.csv more/steps.csv || fail "steps.csv of more epochs is another"
grep -q '"after_epoch": 1' more/args.json || fail "args.json does not have the change"
grep -q '"epochs": 3' more/args.json || fail "args.json does not have the new options"
run 1 --resume more --epochs 2
run 0 --resume auto --output more --epochs 4
run 0 --config more/args.json --epochs 1 --output again # a record is no option

# Other batches, rates, schedules and optimisers of the same kind; the schedule goes on at the same
# share of the run: epoch 3 of 4 is the third quarter of the cosine, whatever the batch.
run 0 "${short[@]}" --epochs 2 --sched cosine --opt adam --output other
run 0 --resume other --epochs 4 --batch-size 11 --opt adamw --weight-decay 0.01 --smoothing 0.1
says "Changed: batch_size 8 -> 11, epochs 2 -> 4"
says "bit for bit"
rates=$(awk -F, 'NR == 1 { for (i = 1; i <= NF; ++i) if ($i == "lr") at = i }
  NR > 11 { printf "%s%.6f", (NR > 12 ? " " : ""), $at }' other/steps.csv)
[[ $rates == "0.000500 0.000371 0.000250 0.000146 0.000067 0.000017" ]] ||
  fail "the schedule of other batches went on at $rates"

# What may not change says why, and changes nothing.
cp -r other kept
while IFS=: read -r flag why; do
  # shellcheck disable=SC2086
  run 1 --resume other --epochs 8 $flag
  says "^train_flowers: ${flag%% *}: "
  says "$why"
done <<'FLAGS'
--model xs:the weights of the run are of that model
--preset original:the weights of the run are of that model
--classes 0-1:the labels would mean other classes
--seed 7:images that were trained on would be evaluated
--opt lion:the optimiser's state in the run is of another kind
--model-ema:an average of the weights begins with the run
--mean 0.5 0.5 0.5:prepared so
--output elsewhere:stays in its folder
FLAGS
diff -r other kept || fail "a refused change has changed the run"
bitmap 40 1 >data/train/1/more.bmp
run 1 --resume other
rm data/train/1/more.bmp
diff -r -x .lock other kept || fail "a refused run remembers other pictures"

# In the middle of an epoch: the images that were seen are not seen again, and all others are.
"$program" "${tiny[@]}" --batch-size 1 --epochs 2 --output middle >log 2>&1 &
pid=$!
wait_for rows middle 4
kill -TERM "$pid"
status=0
wait "$pid" || status=$?
if ((status != 0)); then
  ((status == 130)) || fail "SIGTERM: expected status 130, got $status"
  done_before=$(tail -n 1 middle/steps.csv | cut -d , -f 1)
  run 0 --resume middle --batch-size 3
  if ((done_before < 33)); then
    steps=$(awk -F, 'NR > 1 && $2 <= 1.0000001' middle/steps.csv | wc -l)
    expected=$((done_before + (33 - done_before / 3 * 3 + 2) / 3))
    ((steps == expected)) || fail "of the first epoch, expected $expected steps, got $steps"
  fi
fi

# After a NaN: a lower rate, from before it.
run 1 "${short[@]}" --opt momentum --lr 1e12 --epochs 2 --output nan
says "To go on from there with a lower rate"
says "train_flowers --resume nan --lr 0.001"
run 0 --resume nan --lr 1e-3
says "Changed: lr 1000000000000.0 -> 0.001"

# Signals save the state after the step under way.
for signal in HUP USR1 USR2 XCPU TERM; do
  rm -rf signal
  "$program" "${endless[@]}" --output signal >log 2>&1 &
  pid=$!
  wait_for rows signal 1
  kill -"$signal" "$pid"
  [[ $signal != HUP ]] || kill -"$signal" "$pid" 2>/dev/null || true # a terminal sends it twice
  status=0
  wait "$pid" || status=$?
  ((status == 130)) || fail "SIG$signal: expected status 130, got $status"
  says "train_flowers --resume signal"
  last=$(tail -n 1 signal/steps.csv | cut -d , -f 1)
  says "Stopped after step $last;"
done
# Under nohup a hang-up is ignored, and stays so.
rm -rf signal
nohup "$program" "${endless[@]}" --output signal >log 2>&1 &
pid=$!
wait_for rows signal 1
kill -HUP "$pid"
before=$(wc -l <signal/steps.csv)
wait_for rows signal $((before + 10))
kill -USR1 "$pid"
wait "$pid" || true

# A reader that goes away, of output and of errors; none from the beginning.
rm -rf log
"$program" "${short[@]}" --epochs 3 --output piped 2>&1 | head -n 1 >/dev/null || true
[[ $(wc -l <piped/steps.csv) == 16 ]] || fail "a closed pipe ended the run"
[[ -e piped/weights/best.safetensors && -e piped/report.html ]] || fail "a closed pipe ended the run"
"$program" "${short[@]}" --epochs 1 --output closed <&- >&- 2>&- || fail "closed output ended the run"
[[ $(wc -l <closed/steps.csv) == 6 ]] || fail "closed output was mixed with the files"
[[ $(head -c 6 closed/steps.csv) == step,e ]] || fail "output was written to steps.csv"

# In a file, ten lines an epoch.
run 0 "${tiny[@]}" --batch-size 1 --epochs 1 --output lines
(($(grep -c "^Epoch 1/1" log) == 10)) || fail "expected ten lines of progress"

# A run that began with another decoder of JPEG says so when it goes on; with its own it says nothing.
cp -r lines decoder
sed -i 's/"decoder": "[^"]*"/"decoder": "stb"/' decoder/args.json
grep -q '"decoder": "stb"' decoder/args.json || fail "args.json does not have the decoder"
run 0 --resume decoder --epochs 2
says "JPEG was decoded by stb before, and is by "
run 0 --resume lines --epochs 2
! grep -q "JPEG was decoded by" log || fail "the run's own decoder is called another"

# What is no run says so, and which is meant.
mkdir runs_of_mine
cp -r lines runs_of_mine/1
run 1 --resume data
says "^train_flowers: --resume: data: expected the folder of a run, which has args.json$"
run 1 --resume nowhere
says "^train_flowers: --resume: nowhere: no such folder$"
run 1 --resume lines/weights/last.state.safetensors
says "There is lines$"
run 1 --resume runs_of_mine
says "There is runs_of_mine/1$"

# Two processes on one run: the second one names the first.
"$program" "${endless[@]}" --output busy >busy.log 2>&1 &
pid=$!
wait_for rows busy 1
for arguments in "--resume busy" "--resume auto --output busy" "--output busy"; do
  # shellcheck disable=SC2086
  run 1 "${short[@]}" $arguments
  says "busy: another process trains this run: process $pid on $(uname -n), since "
done
kill -KILL "$pid"
wait "$pid" 2>/dev/null || true
run 0 --resume busy --epochs "$(wc -l <busy/results.csv)" # the lock goes with the process

# A last batch of one image, which BatchNorm cannot take: 33 images, batches of 32.
run 0 "${data[@]}" --preset original --batch-size 32 --epochs 2 --output alone
says "1 image, too few for BatchNorm: it is left out"
[[ $(wc -l <alone/steps.csv) == 3 ]] || fail "the single image was not left out"
run 1 "${data[@]}" --preset original --batch-size 1 --output single
says "^train_flowers: --batch-size: expected at least 2, as BatchNorm"
[[ ! -e single ]] || fail "--batch-size 1: a folder was made"
run 1 "${data[@]}" --preset original --bn-group 4 --limit 1 --output single
says "^train_flowers: data: expected at least 2 images, as BatchNorm"
run 0 "${short[@]}" --norm bn --bn-group 4 --freeze body --epochs 1 --output frozen
says "BatchNorm's statistics are frozen"
run 0 --resume frozen --freeze "" --epochs 2
says "BatchNorm's statistics are those of groups of 4 images"
run 1 "${short[@]}" --norm gn --bn-group 4 --output single
says "^train_flowers: --bn-group: expected 0, as the model has no BatchNorm"
run 0 "${short[@]}" --epochs 1 --micro-batch 2 --drop-last --output dropped
[[ $(wc -l <dropped/steps.csv) == 5 ]] || fail "--drop-last did not leave out the last batch"
[[ $(tail -n 1 dropped/steps.csv | cut -d , -f 2) == 1 ]] || fail "the epoch of --drop-last is cut"
run 1 "${tiny[@]}" --batch-size 64 --drop-last --output refused
says "^train_flowers: --drop-last: leaves none of 33 images"
[[ ! -e refused ]] || fail "--drop-last: a folder was made"
echo "all as expected"
