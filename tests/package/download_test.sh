#!/usr/bin/env bash
# data/download_flowers102.sh against mirrors of tiny files.
# shellcheck disable=SC2015  # fail() exits
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

fail() {
  echo "failed: $*"
  cat "$work/log"
  exit 1
}
# run SCRIPT MIRROR: the exit status.
run() { bash "$1" --to "$work/to" "$2" >"$work/log" 2>&1 && echo 0 || echo $?; }
is_complete() {
  [[ -f $work/to/setid.mat && -f $work/to/imagelabels.mat && -f $work/to/jpg/image_00001.jpg &&
    ! -e $work/to/102flowers.tgz && -z $(find "$work/to" -name '*.part') ]]
}

mkdir -p "$work/mirror" "$work/jpg"
head -c 100000 /dev/urandom >"$work/jpg/image_00001.jpg"
tar -czf "$work/mirror/102flowers.tgz" -C "$work" jpg
echo labels >"$work/mirror/imagelabels.mat"
echo split >"$work/mirror/setid.mat"

# The script as it is refuses them, and names the file.
published=$root/data/download_flowers102.sh
[[ $(run "$published" "$work/mirror") != 0 ]] || fail "a wrong MD5 is accepted"
grep -q 'setid.mat: expected the MD5 a5357ecc9cb78c4bef273ce3793fc85c, got' "$work/log" ||
  fail "the message does not name the file"
[[ -z $(find "$work/to" -type f) ]] || fail "something of the wrong file is left"
[[ $(run "$published" "$work/nowhere") != 0 ]] || fail "a mirror that is not there is no error"

# The same script for the tiny files.
script=$work/download.sh
cp "$published" "$script"
for name in 102flowers.tgz imagelabels.mat setid.mat; do
  sed -i "s/\\[$name\\]=.*/[$name]=$(md5sum <"$work/mirror/$name" | cut -d ' ' -f 1)/" "$script"
done

[[ $(run "$script" "$work/mirror") == 0 ]] && is_complete || fail "a local mirror"
[[ $(run "$script" "$work/nowhere") == 0 ]] || fail "what is complete is fetched again"

# A truncated archive is refused; nothing is unpacked.
rm -rf "$work/to"
cp -r "$work/mirror" "$work/truncated"
truncate -s 50000 "$work/truncated/102flowers.tgz"
[[ $(run "$script" "$work/truncated") != 0 && ! -e $work/to/jpg ]] || fail "a truncated archive"
grep -q '102flowers.tgz: expected the MD5' "$work/log" || fail "the archive is not named"
[[ $(run "$script" "$work/mirror") == 0 ]] && is_complete || fail "after a truncated archive"

if command -v curl >/dev/null; then
  # A download that stopped half-way goes on; one that started as something else starts again.
  rm -rf "$work/to"
  mkdir "$work/to"
  head -c 60000 "$work/mirror/102flowers.tgz" >"$work/to/102flowers.tgz.part"
  [[ $(run "$script" "file://$work/mirror") == 0 ]] && is_complete || fail "going on"
  ! grep -q 'starting again' "$work/log" || fail "it does not go on where it stopped"
  rm -rf "$work/to"
  mkdir "$work/to"
  head -c 60000 /dev/urandom >"$work/to/102flowers.tgz.part"
  [[ $(run "$script" "file://$work/mirror") == 0 ]] && is_complete || fail "starting again"
  # An address that does not answer keeps what there is.
  rm -rf "$work/to"
  mkdir "$work/to"
  echo half >"$work/to/setid.mat.part"
  [[ $(run "$script" "http://localhost:1") != 0 ]] || fail "a mirror that does not answer"
  [[ $(cat "$work/to/setid.mat.part") == half ]] || fail "a failed download loses what there was"
fi
