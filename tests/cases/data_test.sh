#!/usr/bin/env bash
# What people's folders do to train_flowers and evaluate: layouts, pictures that come and go, classes
# that are renamed, folders of some classes, odd names; and what --check-data says.
#
# usage: data_test.sh FOLDER_OF_THE_EXAMPLES PAINT
set -euo pipefail
examples=$1
paint=$2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

fail() {
  echo "data_test: $1" >&2
  tail -n 20 log >&2
  exit 1
}
small=(--options '{"dims": [12, 24, 36, 48], "depths": [1, 1, 1, 1], "heads": [1, 1, 1, 1]}'
  --img-size 32 --batch-size 8 --threads 1)
# run STATUS PROGRAM ARGUMENT...
run() {
  local expected=$1 program=$2 status=0
  shift 2
  "$examples/$program" "$@" >log 2>&1 || status=$?
  ((status == expected)) || fail "$program $*: expected status $expected, got $status"
}
train() { run 0 train_flowers "${small[@]}" --epochs 1 "$@"; }
says() { grep -q -e "$1" log || fail "expected the words: $1"; }
images_in() { find "$1" -name '*.png' | wc -l; }

"$paint" painted_once 68 17 # train and val, of 17 classes
mkdir data
for class in $(ls painted_once/train | head -n 3); do
  mkdir -p "data/train/$class" "data/val/$class"
  for copy in 1 2 3 4 5; do # other bytes are enough to be another picture here
    for image in painted_once/train/"$class"/*.png; do
      cp "$image" "data/train/$class/$copy$(basename "$image")"
    done
  done
  cp painted_once/val/"$class"/*.png "data/val/$class"
done
train_images=$(images_in data/train)
val_images=$(images_in data/val)
first=$(ls data/train | head -n 1)
second=$(ls data/train | sed -n 2p)

# Case 4: valid/ and capitals are seen, and test is evaluated once, at the end.
mkdir three
cp -r data/train three/Train
cp -r data/val three/valid
cp -r data/val three/test
train --data-dir three --output three_run
says "$train_images images to train on, $val_images to validate, $val_images to test"
says "the best epoch is chosen by valid; test is evaluated once, at the end"
says "^Best weights on test: top-1 .* on $val_images images"
grep -q '"part": "test"' three_run/test.json || fail "no test.json"
grep -q "test top-1" three_run/report.html || fail "the report does not have the test"
train --data-dir three --eval-split test --output three_by_test
says "the best epoch is chosen by test, as --eval-split says; valid is not used"
[[ ! -e three_by_test/test.json ]] || fail "the test was evaluated twice"

# Case 5: of train/ and test/ a share of train is held out, and is chosen by; or nothing is.
mkdir two
cp -r data/train data/val two
mv two/val two/test
train --data-dir two --output two_run
says "no val folder, [1-9][0-9]* images of train are held out for it"
says "the best epoch is chosen by val; test is evaluated once"
train --data-dir two --eval-split test --output two_by_test
says "$train_images images to train on, $val_images to test, none to validate"

# Case 6: test/ without labels.
cp -r data flat
mkdir flat/test
cp data/val/"$first"/*.png flat/test
train --data-dir flat --output flat_run
says "test has no labels"
[[ ! -e flat_run/test.json ]] || fail "unlabelled pictures were evaluated"

# Case 9: pictures that are added, and a folder that is moved, do not change what is judged by.
names() { grep -o '"file": "[^"]*train/[^"]*"' "$1" | sed 's|.*train/||' | sort; }
mkdir held
cp -r data/train held
train --data-dir held --output held_run
run 0 evaluate held_run --part val --json before.json
for class in held/train/*; do
  for name in 0 00 000 a zz; do cp "$class/$(ls "$class" | head -n 1)" "$class/$name.png"; done
done
run 0 evaluate held_run --part val --json after.json
mv held moved
run 0 evaluate held_run --part val --data-dir moved --json moved.json
[[ $(names before.json | wc -l) -ge 3 ]] || fail "nothing was held out"
[[ $(names before.json) == "$(names after.json)" ]] || fail "other pictures are judged by"
[[ $(names before.json) == "$(names moved.json)" ]] || fail "moving the folder changes what is judged by"

# Case 10: classes that are renamed, added or removed before --resume; pictures that are added.
cp -r data changing
"$examples/train_flowers" "${small[@]}" --epochs 400 --data-dir changing --output changing_run >log 2>&1 &
pid=$!
for ((i = 0; i < 600; ++i)); do
  [[ -e changing_run/results.csv ]] && (($(wc -l <changing_run/results.csv) > 2)) && break
  sleep 0.05
done
kill -INT "$pid"
wait "$pid" || true
for part in train val; do mv "changing/$part/$first" "changing/$part/zz"; done
run 1 train_flowers --resume changing_run
says "No longer there: $first. New: zz."
run 1 evaluate changing_run
says "zz: the model has no such class"
for part in train val; do mv "changing/$part/zz" "changing/$part/$first"; done
cp -r "changing/train/$first" changing/train/more
run 1 train_flowers --resume changing_run
says "New: more."
rm -r changing/train/more
cp "changing/train/$first/$(ls "changing/train/$first" | head -n 1)" "changing/train/$first/new.png"
"$examples/train_flowers" --resume changing_run >log 2>&1 &
pid=$!
for ((i = 0; i < 600; ++i)); do
  grep -q "^Resuming" log && break
  sleep 0.05
done
sleep 0.5
kill -INT "$pid"
wait "$pid" || true
says "other images than when the run began: train: $train_images images then, $((train_images + 1)) now"
grep -q '"changes"' changing_run/data.json || fail "the change is not in the run's record"

# Case 11: a limit is spread over the classes.
train --data-dir data --limit 6 --logit-adjust 1 --output limit_run
says "Only 6 images are trained on (--limit), spread evenly over 3 classes"

# Case 12: folders of some of the classes.
mkdir -p some
cp -r "data/val/$second" "data/val/$first" some
run 0 evaluate three_run --data-dir some --json some.json
says "No images of 1 of the model's 3 classes"
grep -q "\"images\": $(images_in some)," some.json || fail "not all of some/ was evaluated"
cp -r "some/$first" some/tulipan
cp -r "some/$first" some/rosa
run 1 evaluate three_run --data-dir some
says "rosa: the model has no such class; nor tulipan"

# A run of some of the classes, evaluated on other folders: these are known by their names.
train --data-dir data --classes 0,2 --output pair_run
mkdir pair
cp -r "data/val/$first" "data/val/$(ls data/val | sed -n 3p)" pair
run 0 evaluate pair_run --data-dir pair
run 0 evaluate pair_run
says "of the classes 0,2"

# What the run has held out is not chosen again; of other folders a share may be.
run 1 evaluate held_run --data-dir moved --val-fraction 0.5
says "^evaluate: --val-fraction and --seed: .*held_run/data.json says which images"
cp -r data/train flat_data
run 0 evaluate three_run --data-dir flat_data --val-fraction 0.5
says "held out"

# Weights that lie elsewhere have no run, whatever is beside their folder.
mkdir -p project/models
cp three_run/weights/best.safetensors project/models/own.safetensors
echo '[1, 2]' >project/data.json
echo '{"seed": "abc"}' >project/args.json
run 0 evaluate project/models/own.safetensors --data-dir pair

# A run in a folder of classes would be a class of the next one.
run 1 train_flowers --data-dir flat_data --output flat_data/run
says "^train_flowers: --output: expected a folder outside of flat_data"
(cd flat_data && run 1 train_flowers --data-dir . && says "whose folders are the classes, got runs") ||
  fail "a run within the classes"
[[ ! -e flat_data/run && ! -e flat_data/runs ]] || fail "a refused run left a folder"

# Without flags the model is that of the weights to start from; flags that say another one are told.
train --data-dir data --norm bn --output norm_run
run 0 train_flowers --data-dir data --batch-size 8 --epochs 1 --output start_run \
  --initial-checkpoint norm_run/weights/last.safetensors
says '^  The model as its own: {.*"norm":"bn"'
run 0 train_flowers --resume start_run --epochs 2
run 1 train_flowers --data-dir data --norm gn --initial-checkpoint norm_run/weights/last.safetensors
says "the weights are of another model: its norm is \"bn\", here it is \"gn\""
run 1 train_flowers --data-dir data --model s --initial-checkpoint norm_run/weights/last.safetensors
says "the weights are of another model: its depths"
run 1 train_flowers --data-dir data --options '{"num_classes": 7}'
says "^train_flowers: --options: expected no num_classes, as the data have 3"
run 1 summary norm_run --preset original
says "expected none of these beside norm_run"

# Case 20: folders whose names are numbers, and words of JSON.
for name in 2024 -1.5e3 true null; do
  cp -r data "./$name"
  train "--data-dir=$name" --output "run_$name"
  run 0 evaluate "run_$name"
  run 0 train_flowers --config "run_$name/args.json" --output "again_$name"
done
# Folders whose names are no UTF-8, in names of their own too.
latin=$(printf 'd\344ta')
cp -r data "$latin"
for part in train val; do cp -r "data/$part/$first" "$latin/$part/$(printf 'bl\374te')"; done
train --data-dir "$latin" --output "$latin.run"
run 0 evaluate "$latin.run" --part val
says 'bl\\xFCte'
run 0 train_flowers --config "$latin.run/args.json" --output again_latin
cp -r data painted # a word, and a folder here
train --data-dir painted --limit 8 --output word_run
says "painted is a word, and a folder here too"

# Case 28: an empty class, and a single picture.
cp -r data few
mkdir "few/train/empty" "few/train/rare"
cp "data/val/$first/$(ls "data/val/$first" | head -n 1)" few/train/rare
run 1 train_flowers "${small[@]}" --data-dir few --output few_run
says "few/train/empty: the class has no .*--allow-empty"
train --data-dir few --allow-empty --output few_run
says "Warning: few/train/empty: "
says "Warning: few/train/rare: the class has one image"
run 0 evaluate few_run

# Case 29: all that is amiss, at once.
run 0 train_flowers --data-dir painted_once --check-data clean.json
grep -q '"problems": \[\]' clean.json || fail "clean data has problems"
cp -r painted_once amiss
head -c 100 "amiss/train/$first/$(ls "amiss/train/$first" | head -n 1)" >"amiss/train/$second/cut.png"
cp "amiss/val/$first/$(ls "amiss/val/$first" | head -n 1)" "amiss/train/$first/leak.png"
cp "amiss/val/$second/$(ls "amiss/val/$second" | head -n 1)" "amiss/val/$second/png.jpg"
mkdir amiss/train/zz_empty
run 3 train_flowers --data-dir amiss --check-data amiss.json
for words in "^damaged: 1" "^misnamed: 1" "^doubled: 1" "^empty: 1" "cut.png: " "leak.png" "png.jpg: named as JPEG"; do
  says "$words"
done
grep -q '"kind": "doubled"' amiss.json || fail "the JSON has less than the text"
[[ ! -e runs ]] || fail "--check-data made a run"
run 1 train_flowers --data-dir nowhere --check-data
echo "folders are what they should be"
