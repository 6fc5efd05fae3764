#!/usr/bin/env bash
# Downloads Oxford Flowers-102 (Nilsback and Zisserman, 2008; 345 MB) to data/flowers102.
#
# usage: data/download_flowers102.sh [--to FOLDER] [MIRROR]
#   MIRROR: an address, or a local folder, that holds the three files; the published one by default.
#
# It can be interrupted and started again: it goes on where it stopped. A file gets its final name
# only when it is whole and its MD5 is right.
set -euo pipefail

published=https://www.robots.ox.ac.uk/~vgg/data/flowers/102
declare -A md5=(
  [102flowers.tgz]=52808999861908f626f3c1f4e79d11fa
  [imagelabels.mat]=e0620be6f572b9609742df49c70aed4d
  [setid.mat]=a5357ecc9cb78c4bef273ce3793fc85c
)

fail() {
  echo "download_flowers102.sh: $*" >&2
  exit 1
}

folder=$(dirname "${BASH_SOURCE[0]}")/flowers102
mirror=$published
while (($#)); do
  case $1 in
    -h | --help)
      sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      exit
      ;;
    --to)
      [[ $# -ge 2 ]] || fail "--to needs a folder"
      folder=$2
      shift
      ;;
    -*) fail "unknown option $1" ;;
    *) mirror=${1%/} ;;
  esac
  shift
done
# wget does not know this kind of address.
command -v curl >/dev/null || mirror=${mirror#file://}

md5_of() { md5sum <"$1" | cut -d ' ' -f 1; }

# transfer ADDRESS FILE: goes on where FILE stops. Returns 33 where the server cannot.
transfer() {
  local answer status=0
  if command -v curl >/dev/null; then
    answer=$(curl --fail --location --retry 3 --continue-at - --output "$2" \
      --write-out '%{http_code}' "$1") || status=$?
    # 416: FILE is as long already, or longer.
    [[ $answer == 416 ]] && status=33
  elif command -v wget >/dev/null; then
    wget --tries=3 --continue --output-document="$2" "$1" || status=$?
  else
    fail "curl or wget is needed (apt-get install curl)"
  fi
  return "$status"
}

# get NAME: puts the whole file into the folder, or fails.
get() {
  local name=$1 part=$folder/$1.part status=0 resumed=0 found
  [[ -e $folder/$name && $(md5_of "$folder/$name") == "${md5[$name]}" ]] && return
  if [[ -d $mirror ]]; then
    cp "$mirror/$name" "$part" || fail "$name: could not be copied from $mirror"
  elif [[ ! -e $part || $(md5_of "$part") != "${md5[$name]}" ]]; then
    [[ -s $part ]] && resumed=1
    echo "$mirror/$name"
    transfer "$mirror/$name" "$part" || status=$?
    # What was there may have been the start of something else, or the server unable to go on.
    if [[ $resumed == 1 ]] &&
      { ((status == 33)) || { ((status == 0)) && [[ $(md5_of "$part") != "${md5[$name]}" ]]; }; }; then
      echo "$name: it cannot go on where it stopped, starting again"
      rm -f "$part"
      status=0
      transfer "$mirror/$name" "$part" || status=$?
    fi
    ((status == 0)) || fail "$name: the download failed; run this again to go on where it stopped"
  fi
  found=$(md5_of "$part")
  if [[ $found != "${md5[$name]}" ]]; then
    rm -f "$part"
    fail "$name: expected the MD5 ${md5[$name]}, got $found; what $mirror has is refused"
  fi
  mv "$part" "$folder/$name"
}

mkdir -p "$folder"
get setid.mat
get imagelabels.mat
if [[ ! -d $folder/jpg ]]; then
  get 102flowers.tgz
  echo "Unpacking"
  # The folder gets its name only when all images are there.
  rm -rf "$folder/unpacking"
  mkdir "$folder/unpacking"
  tar -xzf "$folder/102flowers.tgz" -C "$folder/unpacking" ||
    fail "102flowers.tgz: could not be unpacked to $folder"
  [[ -d $folder/unpacking/jpg ]] || fail "102flowers.tgz: has no folder jpg"
  mv "$folder/unpacking/jpg" "$folder/jpg"
  rm -rf "$folder/unpacking" "$folder/102flowers.tgz"
fi
echo "Flowers-102 is in $folder"
