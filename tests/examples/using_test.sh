#!/usr/bin/env bash
# Trains on a few painted flowers, and uses what was trained: evaluate and classify give exactly the
# accuracy that the run reported, a damaged file is named while the rest goes on, and embed's header
# compiles.
#
# usage: using_test.sh FOLDER_OF_THE_EXAMPLES PAINT COMPILER
set -euo pipefail
examples=$1
paint=$2
compiler=$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

fail() {
  echo "using_test: $1" >&2
  exit 1
}

"$paint" data 102 51
"$examples/train_flowers" --data-dir data --img-size 32 --batch-size 16 --epochs 3 --lr 2e-3 \
  --cache uint8 --workers 0 --output run >train.log || fail "train_flowers failed: $(cat train.log)"
# Starts from those weights, on some of the classes; evaluated on the same ones, averaged weights too.
"$examples/train_flowers" --data-dir data --classes 3,5-9 --batch-size 16 --epochs 1 --workers 0 \
  --initial-checkpoint run/weights/last.safetensors --freeze 2 --resize short-side --model-ema \
  --output some >train.log || fail "train_flowers --classes failed: $(cat train.log)"
for weights in last last_ema; do
  "$examples/evaluate" some/weights/$weights.safetensors --part val --json some_$weights.json \
    >evaluate.log || fail "evaluate of some of the classes failed: $(cat evaluate.log)"
done

# column NAME RUN: of the last row of results.csv.
column() {
  awk -F, -v name="$1" 'NR == 1 { for (i = 1; i <= NF; ++i) if ($i == name) at = i }
    END { print $at }' "$2/results.csv"
}

"$examples/evaluate" run/weights/last.safetensors --part val --workers 0 --json evaluation.json \
  --confusion confusion.csv >evaluate.log || fail "evaluate failed: $(cat evaluate.log)"
"$examples/evaluate" run/weights/last.safetensors --part val --workers 0 --tta \
  --json mirrored.json --confusion confusion.svg --report report.html --threads 1 >/dev/null ||
  fail "evaluate --tta failed"
"$examples/evaluate" run/weights/last.safetensors --part val --workers 0 --amp --json mixed.json >/dev/null ||
  fail "evaluate --amp failed"
grep -q '"amp": true' mixed.json || fail "evaluate --amp does not say so"
"$examples/classify" --checkpoint run/weights/last.safetensors --amp data/val >/dev/null || fail "classify --amp failed"
grep -q '</svg>' confusion.svg || fail "confusion.svg is not whole"
grep -q '</html>' report.html || fail "report.html is not whole"
grep -q '<h2>Curves' report.html || fail "report.html has no curves of the run"
status=0
"$examples/classify" --checkpoint run/weights/last.safetensors -k 2 --json answers.json data/val \
  >classify.log || status=$?
[[ $status == 0 ]] || fail "classify ended with $status"
"$examples/classify" --checkpoint run/weights/last.safetensors --tta --json mirrored_answers.json \
  data/val >/dev/null || fail "classify --tta failed"
grep -q ' %  ' classify.log || fail "classify printed no table"

# A run's own figures, the evaluation's, the matrix' diagonal, and the files' answers.
if command -v python3 >/dev/null; then
  python3 - <<'PYTHON'
import csv, json, os, struct

def read(name):
    return json.load(open(name + ".json"))

def results(run):
    return {k: float(v) for k, v in list(csv.DictReader(open(run + "/results.csv")))[-1].items()}

def accuracy(answers):
    right = [os.path.basename(os.path.dirname(a["file"])) == a["top"][0]["class"] for a in answers]
    return sum(right) / len(right)

def check_same(evaluation, results, part):
    for figure in ("top1", "top5"):
        assert evaluation[figure] == results[part + "/" + figure], (figure, evaluation[figure], results)
    # Their sums are in another order; images that were prepared otherwise would be further off.
    assert abs(evaluation["loss"] / results[part + "/loss"] - 1) < 1e-6, (evaluation["loss"], results)

evaluation, answers = read("evaluation"), read("answers")
check_same(evaluation, results("run"), "val")
rows = [list(map(int, row[1:])) for row in list(csv.reader(open("confusion.csv")))[1:]]
diagonal = sum(row[i] for i, row in enumerate(rows))
assert len(answers) == evaluation["images"] == 51, len(answers)
assert evaluation["top1"] == diagonal / 51 == accuracy(answers), (diagonal, accuracy(answers))
assert all(len(a["top"]) == 2 for a in answers)
mirrored = read("mirrored")
assert mirrored["loss"] != evaluation["loss"]
assert mirrored["top1"] == accuracy(read("mirrored_answers")), mirrored["top1"]
for weights, part in (("last", "val"), ("last_ema", "val_ema")):
    some = read("some_" + weights)
    assert len(some["classes"]) == 6
    check_same(some, results("some"), part)
assert read("some_last")["loss"] != read("some_last_ema")["loss"]

def tensors(path):
    data = open(path, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__")
    return {k: data[8 + size:][slice(*v["data_offsets"])] for k, v in header.items()}

# Frozen weights keep their bits, the others do not.
before, after = tensors("run/weights/last.safetensors"), tensors("some/weights/last.safetensors")
for name, bits in after.items():
    frozen = name.startswith(("stages.0.", "stages.1."))
    assert (bits == before[name]) == frozen, name
PYTHON
else
  echo "python3 is not installed: the figures were not compared"
fi

# Without a name of weights it is the latest run.
mkdir -p runs/train_flowers/9 runs/train_flowers/10
cp -r run/weights runs/train_flowers/10/
"$examples/classify" data/val >latest.log || fail "classify by the latest run failed"
grep -q '^Model: runs/train_flowers/10/weights/best.safetensors, ' latest.log ||
  fail "classify did not take the latest run: $(head -n 1 latest.log)"

# A run's folder is what the other programs take as well; what is no model is named.
"$examples/summary" run --batch-size 2 >summary.log || fail "summary of a run failed"
grep -q 'PatchEmbed-1' summary.log || fail "summary printed no layers"
"$examples/export_onnx" run run.onnx >/dev/null || fail "export_onnx of a run failed"
! "$examples/summary" --model alexnet 2>err.log || fail "summary of an unknown model succeeded"
grep -q 'expected one of .*edgevit (s, xs, xxs), .*, got alexnet' err.log ||
  fail "the unknown model is not named: $(cat err.log)"
! "$examples/summary" --model edgevit --options '{"depht": [1, 1, 1, 1]}' 2>err.log ||
  fail "summary with an unknown option succeeded"
grep -q 'unknown key depht' err.log || fail "the unknown option is not named: $(cat err.log)"

# Damaged and missing files, in between.
good=$(find data/val -name '*.png' | sort | head -n 1)
head -c 300 "$good" >cut.png
status=0
"$examples/classify" --checkpoint run -k 1 cut.png "$good" missing.jpg >out.log 2>err.log || status=$?
[[ $status == 1 ]] || fail "classify of a damaged file ended with $status, expected 1"
grep -q '^cut.png: ' err.log || fail "the damaged file is not named: $(cat err.log)"
grep -q '^missing.jpg: ' err.log || fail "the missing file is not named: $(cat err.log)"
grep -q '2 of 3 files' err.log || fail "the failures are not counted: $(cat err.log)"
grep -qF "$good" out.log || fail "the whole file has no answer"

# The program that the header's first comment shows.
"$examples/embed" run my-flowers.hpp --dtype f16 >embed.log ||
  fail "embed failed"
sed -n '1,/#pragma once/s|^//   ||p' my-flowers.hpp >main.cpp
grep -q 'my_flowers::Model' main.cpp || fail "the header shows no program"
"$compiler" -std=c++20 -fsyntax-only -Wall -Wextra -Werror main.cpp || fail "the header does not compile"
kinds=$(sed -n '/class_names/,/};/p' my-flowers.hpp | grep -c '^    "')
[[ $kinds == "$(find data/train -mindepth 1 -maxdepth 1 | wc -l)" ]] ||
  fail "the header names $kinds classes"

echo "evaluate and classify agree with the run: top-1 $(column val/top1 run)"
