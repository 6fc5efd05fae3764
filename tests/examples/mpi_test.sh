#!/usr/bin/env bash
# train_flowers over MPI: 1, 2 and 4 ranks write the bytes of one process; ranks are stopped and others
# go on; a rank that is killed, or finds a damaged image, ends all, and the run goes on.
#
# usage: mpi_test.sh TRAIN_FLOWERS MPIEXEC [TIMES TO KILL EACH RANK]
set -euo pipefail
program=$1
mpiexec=$2
kills=${3:-1}
# shellcheck source=tests/wait_for.sh
source "$(dirname "$0")/../wait_for.sh"
work=$(mktemp -d)
job=
cleanup() {
  [[ -z $job ]] || kill -KILL "$job" 2>/dev/null || true
  rm -rf "$work"
}
trap cleanup EXIT
cd "$work"
# Containers run as root, and have fewer processors than there are ranks here.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_hwloc_base_binding_policy=none

fail() {
  echo "mpi_test: $1" >&2
  tail -n 30 log >&2 || true
  exit 1
}
says() { grep -q -e "$1" log || fail "expected it to say '$1'"; }
# run STATUS RANKS OPTION...: the program, with a launcher unless RANKS is 0. STATUS: 0, or other.
run() {
  local expected=$1 ranks=$2 status=0
  shift 2
  [[ $* == *--resume* ]] || set -- --data-dir "${run_images:-data}" "$@"
  if ((ranks)); then
    timeout 120 "$mpiexec" -n "$ranks" "$program" "$@" >log 2>&1 || status=$?
  else
    "$program" "$@" >log 2>&1 || status=$?
  fi
  ((expected == 0)) && ((status == 0)) || { ((expected)) && ((status)); } ||
    fail "status $status of $ranks ranks: $*"
}
rows() { [[ -e $1/steps.csv ]] && (($(wc -l <"$1/steps.csv") > $2)); }
# The tensors of a file. What stands before them has the time.
tensors() {
  local header
  header=$(od -An -t u8 -N 8 "$1")
  tail -c "+$((header + 9))" "$1"
}
same() {
  local name
  for name in last best last_ema; do
    cmp "$1/weights/$name.safetensors" "$2/weights/$name.safetensors" || fail "$name of $1 and $2"
  done
  cmp <(tensors "$1/weights/last.state.safetensors") <(tensors "$2/weights/last.state.safetensors") ||
    fail "the optimisers' state of $1 and $2"
  cmp "$1/steps.csv" "$2/steps.csv" || fail "steps.csv of $1 and $2"
}

# Class folders of bitmaps, 16 x 16 pixels of whatever numbers look like: 42 to train on.
bitmap() {
  printf 'BM\x36\x03\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x10\0\0\0\x10\0\0\0\x01\0\x18\0'
  printf '\0\0\0\0\0\x03\0\0\x13\x0b\0\0\x13\x0b\0\0\0\0\0\0\0\0\0\0'
  seq "$1" "$2" 999999 2>/dev/null | head -c 768 || true
}
for class in 1 2 3; do
  mkdir -p "data/train/$class" "data/val/$class" "data/test/$class"
  for ((i = 1; i <= 14; ++i)); do bitmap "$i" "$class" >"data/train/$class/$i.bmp"; done
  for ((i = 15; i <= 29; ++i)); do bitmap "$i" "$class" >"data/val/$class/$i.bmp"; done
  for ((i = 30; i <= 42; ++i)); do bitmap "$i" "$class" >"data/test/$class/$i.bmp"; done
done
# Six steps an epoch, the last of two images, at two sizes.
small=(--threads 1
  --options '{"dims": [12, 24, 36, 48], "depths": [1, 1, 1, 1], "heads": [1, 1, 1, 1]}')
options=("${small[@]}" --img-size 32:64 --batch-size 8 --micro-batch 1 --epochs 5 --sched cosine
  --warmup-epochs 1 --lr 2e-3 --clip-grad 0.5 --model-ema --model-ema-decay 0.95 --smoothing 0.1
  --drop-path 0.1 --scale 0.3 1 --hflip 0.5 --rotation 15 --aa rand-m9-mstd0.5 --reprob 0.25
  --mixup 0.8 --cutmix 1)

run 0 0 "${options[@]}" --output one
[[ $(wc -l <one/steps.csv) == 31 ]] || fail "expected 30 steps"
for ranks in 1 2 4; do
  run 0 "$ranks" "${options[@]}" --output "ranks$ranks"
  same one "ranks$ranks"
done
head -n 1 log | grep -q "4 ranks on 1 host ($(hostname)), 1 thread each" || fail "the first line"
(($(grep -c "^Model: " log) == 1)) || fail "more than one rank prints"
cmp <(cut -d, -f1,3-8,11- one/results.csv) <(cut -d, -f1,3-8,11- ranks4/results.csv) ||
  fail "the evaluation of 4 ranks differs"
cmp one/test.json ranks4/test.json || fail "the test of 4 ranks differs"

# The processes of the ranks, in their order.
ranks_now() {
  local pid
  for pid in $(pgrep -x "$(basename "$program")"); do
    [[ $(readlink "/proc/$pid/cwd") != "$work" ]] || echo "$pid"
  done
}
# begin RANKS FOLDER: a run that goes on by itself until it has some steps, at least LEAST.
begin() {
  rm -rf "$2"
  "$mpiexec" -n "$1" "$program" "${options[@]}" --data-dir data --output "$2" >log 2>&1 &
  job=$!
  wait_for rows "$2" "$3"
  mapfile -t pids < <(ranks_now)
}
finished() { grep -q 'finished[\\]*":true' "$1/weights/last.state.safetensors"; }

# A signal to one rank, or to the launcher, stops all, and they save once; others go on.
for how in "TERM rank 2 4" "INT launcher 2 1" "USR1 launcher 4 2"; do
  read -r signal whom ranks next <<<"$how"
  begin "$ranks" parts 2
  if [[ $whom == rank ]]; then
    kill "-$signal" "${pids[1]}"
  else
    kill "-$signal" "$job"
  fi
  wait "$job" || true
  job=
  if ! finished parts; then # a quick machine may have been done by then
    says "^Stopped after step"
    [[ $(grep -c "^Stopped" log) == 1 ]] || fail "it was saved more than once"
    run 0 "$next" --resume parts
  fi
  same one parts
done

# A rank that is killed ends all within seconds, and what was saved goes on.
for rank in 0 1 2; do
  for ((i = 0; i < kills; ++i)); do
    begin 3 killed "$((RANDOM % 20 + 1))"
    kill -KILL "${pids[rank]}" 2>/dev/null || true
    began=$SECONDS
    wait "$job" || true
    job=
    ((SECONDS - began < 10)) || fail "the job outlived its rank $rank by $((SECONDS - began)) seconds"
    finished killed || run 0 2 --resume auto --output killed
    same one killed
  done
done

# An image that one rank cannot read ends all, with its name and the rank; mended, it goes on.
cp -r data damaged
truncate -s 500 damaged/train/3/14.bmp
run_images=damaged run 1 3 "${options[@]}" --output stopped
says "^train_flowers: rank [012] on host .*: damaged/train/3/14.bmp: "
says "train_flowers --resume stopped"
cp data/train/3/14.bmp damaged/train/3/14.bmp
run 0 2 --resume stopped
same one stopped
truncate -s 500 damaged/val/2/16.bmp
run_images=damaged run 1 2 "${small[@]}" --img-size 32 --epochs 1 --output evaluated
says "^train_flowers: rank [01] on host .*: damaged/val/2/16.bmp: "

# What differs, or cannot be shared.
run 1 6 "${options[@]}" --output refused
says "^train_flowers: --lanes: expected at least 1 for each of 6 ranks, got 4"
status=0
timeout 60 "$mpiexec" -n 1 "$program" "${options[@]}" --output refused : \
  -n 1 "$program" "${options[@]}" --seed 3 --output refused >log 2>&1 || status=$?
((status)) || fail "other arguments were taken"
says "^train_flowers: expected all ranks to have what rank 0 .* but rank 1 on host .*: arguments: "
run 1 2 "${options[@]}" --opt lamb --output refused
says "^train_flowers: .*--opt: "
run 1 2 "${small[@]}" --img-size 32 --local-norm bn --output refused
says "^train_flowers: --bn-group: "
[[ ! -e refused ]] || fail "what was refused left a folder"
run 0 0 "${small[@]}" --img-size 32 --local-norm bn --bn-group 2 --batch-size 8 --epochs 2 --output bn1
run 0 3 "${small[@]}" --img-size 32 --local-norm bn --bn-group 2 --batch-size 8 --epochs 2 --output bn3
cmp bn1/weights/last.safetensors bn3/weights/last.safetensors || fail "BatchNorm over 3 ranks"
status=0
PMI_SIZE=2 "$program" "${small[@]}" --output refused >log 2>&1 || status=$?
((status)) || fail "another MPI's launcher was taken"
says "the launcher is that of another MPI"
echo "all as expected"
