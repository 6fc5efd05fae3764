#!/usr/bin/env bash
# Outputs: files that cannot be written are told at the start, names that are not UTF-8 lose nothing,
# a reader that goes away loses no file, and `classify` takes the newest run that has weights.
#
# usage: outputs_test.sh FOLDER_OF_THE_EXAMPLES PAINT
set -euo pipefail
examples=$1
paint=$2
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
cd "$work"

fail() {
  echo "outputs_test: $1" >&2
  tail -n 20 log >&2 || true
  exit 1
}
# run STATUS PROGRAM ARGUMENT...
run() {
  local expected=$1 program=$2 status=0
  shift 2
  "$examples/$program" "$@" >log 2>&1 || status=$?
  ((status == expected)) || fail "expected status $expected, got $status: $program $*"
}
says() { grep -q -e "$1" log || fail "expected it to say '$1'"; }
is_json() { python3 -c 'import json, sys; json.load(open(sys.argv[1], encoding="utf-8"))' "$1"; }

command -v python3 >/dev/null || exit 77
"$paint" data 17 17
classes=(data/train/*)
first=${classes[0]##*/}
pictures=(data/train/"$first"/*.png)
name=$'fl\xe4che.png'
cp "${pictures[0]}" "data/train/$first/$name" || exit 77
small=(--options '{"dims": [12, 24, 36, 48], "depths": [1, 1, 1, 1], "heads": [1, 1, 1, 1]}'
  --img-size 32 --batch-size 8 --threads 1 --epochs 1)
run 0 train_flowers --data-dir data "${small[@]}" --output run

# Told before any picture is read: the status line "Evaluating" does not come.
mkdir folder
for wrong in "--json none/x.json:cannot write: No such file" "--json folder:folder of this name" \
  "--confusion c.png:ends in .csv or .svg" "--confusion none/c.csv:cannot write" \
  "--report r.pdf:ends in .html or .htm" "--report folder/none/r.html:cannot write"; do
  # shellcheck disable=SC2086
  run 1 evaluate run --part train ${wrong%%:*}
  says "^evaluate: ${wrong%% *}: "
  says "${wrong#*:}"
  ! grep -q "Evaluating\|Data:" log || fail "$wrong: told after the work"
done
run 1 classify --checkpoint run "data/train/$first" --json none/x.json
says "^classify: --json: none/x.json: cannot write"
! grep -q " % " log || fail "classify told it after the work"
run 1 train_flowers --data-dir data --check-data none/x.json
says "^train_flowers: --check-data: none/x.json: cannot write"
! grep -q "Checking" log || fail "--check-data told it after the work"
[[ -z $(ls folder) ]] || fail "an attempt left a file behind"
# Where there must be a file, its name may not be empty.
for command in "fine_tune_folders data --checkpoint run --out=" "segment_flowers --out=" "convert_weights run" \
  "export_onnx run" "embed run"; do
  # shellcheck disable=SC2086
  run 1 ${command%=} ""
  says "^${command%% *}: \(--out: \)\?expected the name of a file to write, got an empty one"
  [[ $(wc -l <log) == 1 ]] || fail "$command: told after the work"
done

# Names that are not UTF-8 are escaped.
run 0 evaluate run --part train --json e.json --confusion c.csv --report r.html
is_json e.json || fail "evaluate's JSON is none"
grep -q 'fl\\\\xE4che.png' e.json || fail "the name is not in evaluate's JSON"
[[ -s c.csv && -s r.html ]] || fail "the other files are not there"
head -c 60 "data/train/$first/$name" >"$name"
run 1 classify --checkpoint run "data/train/$first/$name" "$name" --json a.json
is_json a.json || fail "classify's JSON is none"
grep -q 'fl\\\\xE4che.png' a.json || fail "the name is not in classify's JSON"
odd=$'dat\xe4n'
cp -r data "$odd"
run 0 train_flowers --data-dir "$odd" "${small[@]}" --output odd
is_json odd/args.json || fail "args.json is no JSON"
run 0 train_flowers --resume odd --data-dir "$odd" --epochs 2
run 0 evaluate odd --data-dir "$odd" --part train --json odd.json
is_json odd.json || fail "the JSON of a folder that is not UTF-8 is none"

# Nobody reads: the files are written all the same.
"$examples/evaluate" run --part train --json p.json | head -n 1 >/dev/null || true
is_json p.json || fail "a closed pipe lost evaluate's JSON"
"$examples/classify" --checkpoint run "data/train/$first" --json q.json | head -n 1 >/dev/null || true
is_json q.json || fail "a closed pipe lost classify's JSON"
"$examples/train_flowers" --data-dir data --check-data k.json | head -n 1 >/dev/null || true
is_json k.json || fail "a closed pipe lost the JSON of --check-data"
# Those that write a file say 0 though nobody reads what they print.
unread() { { sleep 0.1; "$examples/$1" "${@:2}" 2>log && echo 0 >status || echo $? >status; } | true; }
for command in "convert_weights run c.safetensors" "export_onnx run c.onnx" "embed run c.hpp"; do
  unread $command
  [[ $(<status) == 0 && -s ${command##* } ]] || fail "a closed pipe ended: $command ($(<status))"
done

# A folder that is no run; and weights that tell an option that the flags have otherwise.
run 1 embed data x.hpp
says "^embed: data: expected a file of weights (.safetensors) or the folder of a run"
made=("${small[@]}")
made[1]=${made[1]%\}}', "local_norm": "bn"}'
run 0 train_flowers --data-dir data "${made[@]}" --output normed
run 0 convert_weights normed/weights/best.safetensors c.safetensors --model xxs "${small[@]:0:2}"
says 'The weights have norm.running_mean: local_norm is "bn", not "gn"'
run 0 train_flowers --data-dir data "${made[@]}" --initial-checkpoint normed --output started

# BatchNorm of one image alone: told before the head has learned.
run 1 fine_tune_folders data --checkpoint normed -b 1 --out tuned.safetensors
says "^fine_tune_folders: --batch-size: expected at least 2, which BatchNorm needs, got 1"
! grep -q Validation log || fail "fine_tune_folders told it after the work"
run 0 fine_tune_folders data --checkpoint run -b 1 --head-epochs 0 --epochs 1 --out tuned.safetensors

# Too few names of classes in the file itself: the file is named.
python3 - run/weights/best.safetensors few.safetensors <<'PYTHON'
import json, struct, sys

data = open(sys.argv[1], "rb").read()
size = struct.unpack("<Q", data[:8])[0]
header = json.loads(data[8:8 + size])
del header["__metadata__"]["crc32"]
header["__metadata__"]["class_names"] = '["a", "b"]'
text = json.dumps(header).encode()
open(sys.argv[2], "wb").write(struct.pack("<Q", len(text)) + text + data[8 + size:])
PYTHON
run 1 convert_weights few.safetensors c.safetensors
says "^convert_weights: few.safetensors: expected 17 class names, got 2"

# A report is called by its run, and a model by its name.
(cd run && run 0 evaluate . --data-dir ../data --part train --report ../named.html)
grep -q "<title>run" named.html || fail "evaluate . does not have the run's name"
grep -q "<title>EdgeViT, improved, 32 px" run/report.html || fail "the title of EdgeViT's report"
run 0 train_flowers --data-dir data --model mobilenet_v2 --options '{"width_mult": 0.25}' "${small[@]:2}" \
  --output mobile
grep -q "<title>MobileNetV2, 32 px" mobile/report.html || fail "the title of MobileNet's report"

# R^2 of rows that are all the same.
printf '%s\n' x,y {1..40},7 >constant.csv
run 0 regression constant.csv --target y
says "R^2 not defined, as their target is constant"

# IDX files of another size than MNIST's.
python3 - <<'PYTHON'
import os, struct

os.mkdir("idx")
for part, count in (("train", 40), ("t10k", 20)):
    open(f"idx/{part}-images-idx3-ubyte", "wb").write(
        struct.pack(">4I", 0x803, count, 32, 32) + bytes(i % 251 for i in range(count * 1024)))
    open(f"idx/{part}-labels-idx1-ubyte", "wb").write(
        struct.pack(">2I", 0x801, count) + bytes(i % 10 for i in range(count)))
PYTHON
run 0 lenet idx --epochs 1
says "^Test accuracy: "

# quickstart.sh: names are those of the folder that it is called in. Nothing is built here.
mkdir -p project/build/release/examples project/scripts tools
cp -r "$root"/examples project
ln -s "$examples/train_flowers" project/build/release/examples
echo 'anther_packages=(); need_packages() { :; }; need_cmake() { :; }; is_interactive() { false; }' \
  >project/scripts/setup.sh
echo '#!/bin/sh' >tools/cmake
chmod +x tools/cmake
quickstart() {
  local status=0
  PATH=$PWD/tools:$PATH project/examples/quickstart.sh --offline "$@" >log 2>&1 || status=$?
  ((status == 0)) || fail "quickstart.sh $*: status $status"
}
quickstart --data-dir data "${small[@]}" --output quick
says "^The curve: quick/curves.svg"
[[ -s quick/curves.svg ]] || fail "quickstart.sh has put its run elsewhere"
"$paint" clean 68 17
quickstart --data-dir clean --check-data
! grep -q "The curve" log || fail "--check-data has a run"

# What an unpacked archive of macOS has beside each picture, and the newest run that has weights.
mkdir mac
cp "${pictures[0]}" mac/photo.png
printf '\0\5\x16\7\0\2\0\0Mac OS X        ' >mac/._photo.png
mkdir -p runs/train_flowers/{1,2,10}/weights
run 0 classify mac --json mac.json
says "No run in runs/train_flowers has weights yet; the model that comes with Anther is taken"
says "^Model: .*flowers102-xxs.safetensors, 102 classes"
[[ $(grep -c '"file"' mac.json) == 1 ]] || fail "expected one answer for mac/"
# Named by itself, as find and xargs do.
run 0 classify mac/._photo.png mac/photo.png
says "passed over"
cp run/weights/best.safetensors runs/train_flowers/2/weights/
run 0 classify mac
says "The latest run, runs/train_flowers/10, has no weights yet"
says "^Model: runs/train_flowers/2/weights/best.safetensors"
cp run/weights/last.safetensors runs/train_flowers/10/weights/ # no evaluation yet
run 0 classify mac
says "^Model: runs/train_flowers/10/weights/last.safetensors"
echo "outputs are what they should be"
