#!/usr/bin/env bash
# What a first program costs to compile: README's, by the headers alone and with anther::compiled,
# beside dlib's LeNet and an empty program with libtorch's header, where those are installed (Debian:
# libdlib-dev, libtorch-dev). All in one run, in turn, so that the ratios hold on a busy machine.
#
# usage: scripts/compile_time.sh [RUNS]       the least of RUNS (3) counts; CXX is the compiler
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
runs=${1:-3}
compiler=${CXX:-c++}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cp "$root/examples/guide/first.cpp" "$work/readme.cpp" # which README shows

cat >"$work/dlib.cpp" <<'END'
#include <dlib/dnn.h>

using namespace dlib;
using LeNet = loss_multiclass_log<fc<
    10, relu<fc<84, relu<fc<120, max_pool<2, 2, 2, 2, relu<con<16, 5, 5, 1, 1,
    max_pool<2, 2, 2, 2, relu<con<6, 5, 5, 1, 1, input<matrix<unsigned char>>>>>>>>>>>>>>;

int main() {
  std::vector<matrix<unsigned char>> images(64, zeros_matrix<unsigned char>(28, 28));
  std::vector<unsigned long> labels(64, 3);
  LeNet net;
  dnn_trainer<LeNet> trainer(net);
  trainer.set_max_num_epochs(1);
  trainer.train(images, labels);
  return net(images).size() == 64 ? 0 : 1;
}
END
printf '#include <torch/torch.h>\nint main() {}\n' >"$work/torch.cpp"

has() { printf '#include <%s>\n' "$1" | "$compiler" -std=c++20 -E -x c++ "${@:2}" - >/dev/null 2>&1; }
torch_include=()
for folder in /usr/include/torch/csrc/api/include; do
  [[ -d $folder ]] && torch_include=(-I "$folder")
done

openmp=-fopenmp
echo 'int main() {}' | "$compiler" $openmp -fsyntax-only -x c++ - 2>/dev/null || openmp=
names=("README, header-only" "README, anther::compiled")
commands=("$openmp -I$root/include $work/readme.cpp"
  "$openmp -DANTHER_COMPILED -I$root/include $work/readme.cpp")
if has dlib/dnn.h; then
  names+=("dlib's LeNet")
  commands+=("$work/dlib.cpp")
fi
if has torch/torch.h "${torch_include[@]}"; then
  names+=("#include <torch/torch.h>")
  commands+=("${torch_include[*]} $work/torch.cpp")
fi

seconds=()
megabytes=()
for ((run = 0; run < runs; ++run)); do
  for i in "${!names[@]}"; do
    # bash's own times tell no memory: /usr/bin/time does, or else Python.
    # shellcheck disable=SC2086  # several flags
    if [[ -x /usr/bin/time ]]; then
      /usr/bin/time -f '%U %M' -o "$work/cost" \
        "$compiler" -std=c++20 -O2 -w ${commands[i]} -c -o "$work/object.o"
    else
      python3 - "$compiler" -std=c++20 -O2 -w ${commands[i]} -c -o "$work/object.o" \
        >"$work/cost" <<'END'
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime, used.ru_maxrss)
END
    fi
    read -r user memory <"$work/cost"
    seconds[i]=$(awk -v a="${seconds[i]:-1e9}" -v b="$user" 'BEGIN { print a < b ? a : b }')
    megabytes[i]=$((memory / 1024))
  done
done

echo "$("$compiler" --version | head -n 1), -std=c++20 -O2, the least of $runs"
printf '%-28s %8s %8s %s\n' "" "user s" "peak MB" "times the first"
for i in "${!names[@]}"; do
  printf '%-28s %8.2f %8d %8.2f\n' "${names[i]}" "${seconds[i]}" "${megabytes[i]}" \
    "$(awk -v a="${seconds[i]}" -v b="${seconds[0]}" 'BEGIN { print a / b }')"
done
