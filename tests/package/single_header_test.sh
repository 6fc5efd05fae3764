#!/usr/bin/env bash
# The single header that scripts/amalgamate makes: two translation units that hold nothing else
# compile without a warning, with OpenMP and without, and link; one is README's first program.
# usage: single_header_test.sh FOLDER COMPILER
set -euo pipefail
folder=$1 compiler=$2
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
rm -rf "$folder"
mkdir -p "$folder"
CXX=$compiler "$root/scripts/amalgamate" >"$folder/anther.hpp"
if grep -n '#include.*anther/' "$folder/anther.hpp"; then
  echo "the header includes another of Anther's"
  exit 1
fi
sed 's|<anther/anther.hpp>|"anther.hpp"|; s|int main() {|const char* second(); int main() { std::puts(second());|' \
  "$root/examples/guide/first.cpp" >"$folder/first.cpp"
cat >"$folder/second.cpp" <<'END'
#include "anther.hpp"
const char* second() {
  return anther::Tensor<float>({2, 3}).size() == 6 ? anther::to_string(anther::isa()) : "";
}
END
flags=(-std=c++20 -O0 -Wall -Wextra -Wpedantic -Werror)
openmp=-fopenmp
echo 'int main() {}' | "$compiler" $openmp -fsyntax-only -x c++ - 2>/dev/null || openmp=
"$compiler" "${flags[@]}" -c "$folder/second.cpp" -o "$folder/second.o"
# shellcheck disable=SC2086  # one flag or none
"$compiler" "${flags[@]}" $openmp "$folder/first.cpp" "$folder/second.o" -o "$folder/program"
"$folder/program" | tee "$folder/output"
grep -Eq '^(baseline|avx2|avx512)$' "$folder/output"
