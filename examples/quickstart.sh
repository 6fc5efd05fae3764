#!/usr/bin/env bash
# Installs what is missing, builds what is needed, and trains EdgeViT-XXS on flowers for a few
# minutes: on Oxford Flowers-102 where $FLOWERS102_DIR or data/flowers102 holds it, else on painted
# flowers.
#
# usage: examples/quickstart.sh [--offline] [TRAIN_FLOWERS OPTION...]
#   --offline: downloads no images.
set -euo pipefail
# Names that are given are those of the folder that it is called in; so is that of its run.
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)/
# shellcheck source=scripts/setup.sh
source "${project}scripts/setup.sh"
[[ ! $project -ef . ]] || project= # the names that it prints are short then

offline=0
options=()
data=
run=
checks=0
while (($#)); do
  case $1 in
    --offline) offline=1 ;;
    --data-dir=*) data=${1#*=} ;;
    --data-dir)
      data=${2:?--data-dir needs a folder}
      shift
      ;;
    -h | --help)
      sed -n '2,7s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      exit
      ;;
    *)
      options+=("$1")
      [[ $1 == --output ]] && run=${2:-}
      [[ $1 == --output=* ]] && run=${1#*=}
      [[ $1 == --check-data* ]] && checks=1
      ;;
  esac
  shift
done

need_packages "${anther_packages[@]}"
need_cmake

is_flowers102() { [[ -d $1/jpg && -f $1/imagelabels.mat && -f $1/setid.mat ]]; }

if [[ -n $data ]]; then
  : # as asked
elif [[ -n ${FLOWERS102_DIR:-} ]]; then
  if ! is_flowers102 "$FLOWERS102_DIR"; then
    echo "FLOWERS102_DIR=$FLOWERS102_DIR: expected jpg/, imagelabels.mat and setid.mat there" >&2
    exit 1
  fi
  data=$FLOWERS102_DIR
elif is_flowers102 "${project}data/flowers102"; then
  data=${project}data/flowers102
elif [[ $offline == 0 ]] && is_interactive && ask "Download Oxford Flowers-102 (345 MB)?"; then
  need_packages curl ca-certificates
  if "${project}data/download_flowers102.sh"; then
    data=${project}data/flowers102
  fi
fi
if is_flowers102 "$data"; then
  echo "Training on Oxford Flowers-102 in $data."
elif [[ ${data:=painted} == painted ]]; then
  echo "Training on painted flowers, which the program draws itself: these are not photographs."
  echo "For Oxford Flowers-102 run ${project}data/download_flowers102.sh, then this again."
fi

build() {
  [[ -z $project ]] || cd "$project"
  # Tests and benches are left out, unless they are set up here already.
  local left_out=()
  [[ -e build/release/CMakeCache.txt ]] || left_out=(-DANTHER_TESTS=OFF -DANTHER_BENCH=OFF)
  cmake --preset release "${left_out[@]}"
  cmake --build --preset release --parallel "$(nproc)" --target train_flowers
}
(build)

program=${project}build/release/examples/train_flowers
recipes=${project}examples/recipes
"$program" --config "$recipes/quick.json" --data-dir "$data" "${options[@]}"
if ((checks)); then exit; fi # there is no run

# Without --output the run's folder is that of the highest number.
[[ -n $run ]] || run=runs/train_flowers/$(find runs/train_flowers -mindepth 1 -maxdepth 1 \
  -regex '.*/[0-9]+' -printf '%f\n' | sort -n | tail -n 1)
echo
echo "The curve: $run/curves.svg"
echo "The full run: $program --config $recipes/flowers.json --data-dir $data"
