#!/usr/bin/env bash
# Builds that strangers make, one after another by the compilers that are here (g++, clang++ and any
# version of theirs): README's first program by `-I` alone, with standards, optimisations and flags that
# projects have, and programs of two units whose flags differ. The last lines are a table.
# tests/run.sh --consumers runs this after the ways to take Anther in (CMake, pkg-config, one header).
#
# usage: consumers.sh [--jobs N] [PATTERN]     only rows whose text has the pattern
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
jobs=$(nproc)
[[ ${1:-} == --jobs ]] && jobs=$2 && shift 2
pattern=${1:-}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
first=$root/examples/guide/first.cpp
warnings='-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wold-style-cast -Werror'

# Every header whose library is here.
everything() {
  local header
  while read -r header; do
    case $header in
      */libjpeg.hpp) printf '#include <stdio.h>\n#include <jpeglib.h>\n' ;;
      */webp.hpp) echo '#include <webp/decode.h>' ;;
      */mpi.hpp) echo '#include <mpi.h>' ;;
      */eigen.hpp) echo '#include <Eigen/Core>' ;;
      *) echo '#include <string>' ;;
    esac | g++ -E -x c++ - >/dev/null 2>&1 && echo "#include <$header>"
  done < <(cd "$root/include" && find anther -name '*.hpp' | sort)
}
everything >"$work/everything.cpp"
# A tensor in Eigen's hands, whatever alignment the program has chosen for it.
cat >"$work/eigen.cpp" <<'END'
#include <anther/interop/eigen.hpp>
int main() {
  anther::Tensor<float> x({5, 7});
  for (std::int64_t i = 0; i < x.size(); ++i) x[i] = 1;
  const Eigen::MatrixXf copy = anther::as_eigen(x);
  return copy.sum() + anther::as_eigen(x).sum() == 70 ? 0 : 1;
}
END

# What a row does; they run in a folder of its own, and print what went wrong.
runs() { # COMPILER FLAGS: README's first program learns a sine
  # shellcheck disable=SC2086
  "$1" $2 "-I$root/include" "$first" -o program && ./program | grep -q 'predicted  0\.84'
}
refused() { # COMPILER FLAGS: Anther says why
  # shellcheck disable=SC2086
  ! "$1" $2 "-I$root/include" -fsyntax-only "$first" 2>log || return 1
  grep -m 1 'error: .*Anther.*compile without' log
}
compiles() { # COMPILER FLAGS: every header
  # shellcheck disable=SC2086
  "$1" $2 "-I$root/include" -fsyntax-only "$work/everything.cpp"
}
mixed() { # COMPILER FLAGS: one unit for this very processor, one plain
  local order
  # shellcheck disable=SC2086
  "$1" $2 "-I$root/include" -march=native -fopenmp -DUNIT=native -c "$root/tests/package/mixed_flags.cpp" \
    -o native.o &&
    "$1" $2 "-I$root/include" -O0 -DUNIT=plain -c "$root/tests/package/mixed_flags.cpp" -o plain.o || return 1
  for order in "native.o plain.o" "plain.o native.o"; do
    # shellcheck disable=SC2086
    "$1" $2 -fopenmp "$root/tests/package/mixed_flags_main.cpp" $order -o program && ./program || return 1
  done
}
bits() { # COMPILER FLAGS: a training's weights, as they were of the first compiler of these rows
  # shellcheck disable=SC2086
  "$1" $2 "-I$root/include" "$root/tests/package/bits.cpp" -o program && ./program >"$3.bits" &&
    cat "$3.bits" && [[ $(wc -l <"$3.bits") == 5 ]]
}
aligned() { # COMPILER FLAGS: programs with other alignments of Eigen's
  local bytes
  for bytes in 0 16 64; do
    # shellcheck disable=SC2086
    "$1" $2 "-I$root/include" -I/usr/include/eigen3 "-DEIGEN_MAX_ALIGN_BYTES=$bytes" "$work/eigen.cpp" \
      -o program && ./program || return 1
  done
}

rows=()
has_openmp() { echo 'int main() {}' | "$1" -fopenmp -x c++ - -o "$work/probe" 2>/dev/null; }
# The compilers of this machine: all rows for the usual ones, a few for each other version.
add_compiler() {
  local compiler=$1 usual=$2 openmp='' own=''
  has_openmp "$compiler" && openmp=' -fopenmp'
  rows+=("runs|$compiler|-std=c++20 -O2$openmp")
  # From Clang 16 on it tells what GCC 12's std::stable_sort calls.
  [[ $usual ]] || own=' -Wno-deprecated-declarations'
  rows+=("compiles|$compiler|-std=c++20 $warnings$own")
  rows+=("compiles|$compiler|-std=c++2b $warnings$own")
  rows+=("runs|$compiler|-std=c++2b -O0 -D_GLIBCXX_ASSERTIONS$openmp")
  rows+=("bits|$compiler|-std=c++20 -O2$openmp")
  [[ $usual ]] || return 0
  rows+=("bits|$compiler|-std=c++20 -O0" "bits|$compiler|-std=c++20 -O3 -march=native$openmp")
  rows+=("runs|$compiler|-std=c++20 -O0")
  rows+=("runs|$compiler|-std=gnu++20 -O3$openmp")
  rows+=("runs|$compiler|-std=c++20 -O2 -fno-omit-frame-pointer -fvisibility=hidden$openmp")
  rows+=("runs|$compiler|-std=c++20 -O1 -fno-rtti$openmp")
  rows+=("runs|$compiler|-std=c++20 -Os -march=native$openmp")
  [[ $compiler == clang* ]] || rows+=("runs|$compiler|-std=c++20 -O2 -flto$openmp")
  [[ ! $openmp ]] || rows+=("mixed|$compiler|-std=c++20 -O2")
  [[ ! -d /usr/include/eigen3 ]] || rows+=("aligned|$compiler|-std=c++20 -O1 -march=native")
  rows+=("refused|$compiler|-std=c++20 -fno-exceptions" "refused|$compiler|-std=c++20 -ffast-math"
    "refused|$compiler|-std=c++20 -Ofast")
}
for kind in g++ clang++; do
  ! command -v "$kind" >/dev/null || add_compiler "$kind" usual
  usual_version=$("$kind" -dumpversion 2>/dev/null | cut -d. -f1) || true
  for version in {12..25}; do
    [[ $version == "$usual_version" ]] || ! command -v "$kind-$version" >/dev/null ||
      add_compiler "$kind-$version" ''
  done
done

run_row() {
  local number=$1 kind compiler flags status=0 began=$SECONDS
  IFS='|' read -r kind compiler flags <<<"${rows[number]}"
  mkdir "$work/$number"
  (cd "$work/$number" && "$kind" "$compiler" "$flags" "$work/$number") >"$work/$number.log" 2>&1 || status=$?
  echo "$status $((SECONDS - began))" >"$work/$number.done"
  rm -rf "${work:?}/$number"
}
chosen=()
for number in "${!rows[@]}"; do
  [[ ${rows[number]} == *"$pattern"* ]] || continue
  chosen+=("$number")
  while (($(jobs -rp | wc -l) >= jobs)); do wait -n || true; done
  run_row "$number" &
done
wait
((${#chosen[@]})) || { echo "no row has the text $pattern" >&2 && exit 1; }

# All have the bits of the first.
first_bits=
for number in "${chosen[@]}"; do
  [[ -e $work/$number.bits ]] || continue
  first_bits=${first_bits:-$work/$number.bits}
  cmp "$first_bits" "$work/$number.bits" >>"$work/$number.log" 2>&1 && continue
  sed -i 's/^0 /1 /' "$work/$number.done"
done

failed=0
for number in "${chosen[@]}"; do
  read -r status _ <"$work/$number.done"
  ((status)) || continue
  echo "FAILED: ${rows[number]}"
  head -n 30 "$work/$number.log"
done
printf '%-8s %-12s %-66s %4s %s\n' what compiler flags s result
for number in "${chosen[@]}"; do
  IFS='|' read -r kind compiler flags <<<"${rows[number]}"
  read -r status seconds <"$work/$number.done"
  result=ok
  ((status)) && result=FAILED && failed=$((failed + 1))
  printf '%-8s %-12s %-66s %4s %s\n' "$kind" "$compiler" "${flags/$warnings/all warnings, -Werror}" "$seconds" \
    "$result"
done
echo "$((${#chosen[@]} - failed)) passed, $failed failed"
((failed == 0))
