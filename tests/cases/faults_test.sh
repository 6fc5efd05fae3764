#!/usr/bin/env bash
# What goes wrong around a training: no room on the disk, no memory, a folder that vanishes, a damaged
# file. Each is told, the last state stays whole, and a picture that cannot be written ends nothing.
#
# usage: faults_test.sh TRAIN_FLOWERS
# shellcheck source=tests/cases/run_trials.sh
source "$(dirname "$0")/run_trials.sh" "$1"

no_parts() {
  local left
  left=$(find "$1" -name '*.tmp')
  [[ -z $left ]] || fail "half a file was left behind: $left"
}

short=(--data-dir painted --limit 24 --batch-size 8 --img-size 32 --threads 1 --eval-split valid
  --options '{"dims": [12, 24, 36, 48], "depths": [1, 1, 1, 1], "heads": [1, 1, 1, 1]}')

# The states that are kept.
run 0 "${short[@]}" --epochs 3 --checkpoint-hist 3 --output kept
for state in last.state last.state.1 last.state.2; do
  [[ -e kept/weights/$state.safetensors ]] || fail "$state was not kept"
done
[[ ! -e kept/weights/last.state.3.safetensors ]] || fail "one state too many was kept"

# Killed after the last state, before the test and the report: both are made up for.
cp -r kept unreported
rm unreported/test.json unreported/report.html
run 0 --resume unreported
says "ended before its test and its report"
cmp kept/test.json unreported/test.json || fail "the test that was made up for is another"
cmp kept/weights/last.safetensors unreported/weights/last.safetensors || fail "it has other weights"
[[ -e unreported/report.html ]] || fail "the report was not made up for"
run 1 --resume unreported
says "the run is finished"

# A flipped bit: found, named, and the state before it goes on.
cp -r kept damaged
size=$(stat -c %s damaged/weights/last.state.safetensors)
byte=$(tail -c +$((size - 50)) damaged/weights/last.state.safetensors | head -c 1 | od -An -tu1)
# shellcheck disable=SC2059
printf "\\x$(printf %x $((byte ^ 4)))" |
  dd of=damaged/weights/last.state.safetensors bs=1 seek=$((size - 51)) conv=notrunc status=none
run 1 --resume damaged --epochs 4
says "damaged/weights/last.state.safetensors: tensor '.*': its numbers are not those that were written"
says "cp damaged/weights/last.state.1.safetensors damaged/weights/last.state.safetensors"
cp damaged/weights/last.state.1.safetensors damaged/weights/last.state.safetensors
run 0 --resume damaged
run 0 --resume kept --epochs 4
cmp <(cut -d, -f1,3- damaged/steps.csv) <(head -n 10 kept/steps.csv | cut -d, -f1,3-) ||
  fail "from the state before, the run became another"

# A picture that cannot be written.
run 0 "${short[@]}" --epochs 1 --output picture
rm picture/curves.svg
mkdir picture/curves.svg
run 0 --resume picture --epochs 2
says "Warning: picture/curves.svg: cannot write: there is a folder of this name; the training goes on"
grep -q '^2,' picture/results.csv || fail "the epoch is not in results.csv"

# A limit on the size of files, as a full disk has: half of what a state takes.
run 0 "${short[@]}" --epochs 1 --output full
before=$(sha256sum <full/weights/last.state.safetensors)
limit=$(($(stat -c %s full/weights/last.state.safetensors) / 2048))
(
  trap '' XFSZ
  ulimit -f "$limit"
  run 1 --resume full --epochs 3
) || exit 1
says "weights/last.*safetensors: cannot write: File too large"
says "What was done before is kept"
says "train_flowers --resume full"
[[ $(sha256sum <full/weights/last.state.safetensors) == "$before" ]] || fail "the state is another"
no_parts full
run 0 --resume full --epochs 3

# A folder that vanishes.
"$program" "${short[@]}" --epochs 100000 --output gone >log 2>&1 &
pid=$!
wait_for test -e gone/weights/last.safetensors
mv gone elsewhere
status=0
wait "$pid" || status=$?
((status == 1)) || fail "a vanished folder: expected status 1, got $status"
says "gone/.*: cannot \(write\|rename the finished file\): No such file or directory"
[[ -e elsewhere/weights/last.state.safetensors ]] || fail "the state has vanished, too"
done_before=$(tail -n 1 elsewhere/results.csv | cut -d, -f1)
run 0 --resume elsewhere --epochs $((done_before + 1))

# No memory: the sanitizers reserve too much of it to be run so.
if ! grep -qa __asan_init "$program"; then
  status=0
  (
    ulimit -v 400000
    "$program" --data-dir painted --limit 512 --batch-size 512 --img-size 224 --threads 1 \
      --micro-batch 512 --workers 0 --output memory >log 2>&1
  ) || status=$?
  ((status == 1)) || fail "no memory: expected status 1, got $status"
  says "train_flowers: memory: the system does not give [0-9]* bytes more"
fi
echo "faults_test: passed"
