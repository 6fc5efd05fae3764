#!/usr/bin/env bash
# Builds the fuzzers with Clang and runs each of them, one after another or several at once. Reports
# what each did: executions, edges covered of those that the program has, findings. An input that
# breaks something is kept in build/fuzz/findings/TARGET; it belongs into tests/fuzz/seeds once that is
# mended. What they learnt stays in build/fuzz/corpus, for the next time.
#
# usage: tests/fuzz/run.sh [--seconds N] [--jobs N] [TARGET...]   60 seconds each, one at a time;
#        tests/fuzz/run.sh --if-long    five minutes in all, where ANTHER_LONG_TESTS is set
# targets: cgroup cifar csv exif idx image json mat safetensors
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

seconds=60
jobs=1
targets=()
while (($#)); do
  case $1 in
    --seconds) seconds=$2 && shift ;;
    --jobs) jobs=$2 && shift ;;
    --if-long)
      if [[ -z ${ANTHER_LONG_TESTS:-} ]] || ! command -v "${CXX:-clang++}" >/dev/null; then
        echo "skipped: it needs ANTHER_LONG_TESTS=1 and clang++"
        exit 77
      fi
      seconds=34
      ;;
    -h | --help)
      sed -n '2,9s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      exit
      ;;
    *) targets+=("$1") ;;
  esac
  shift
done
if ((${#targets[@]} == 0)); then
  for file in tests/fuzz/fuzz_*.cpp; do
    name=$(basename "$file" .cpp)
    targets+=("${name#fuzz_}")
  done
fi

build=build/fuzz
cmake -S . -B "$build" -DCMAKE_BUILD_TYPE=None -DCMAKE_CXX_COMPILER="${CXX:-clang++}" -DANTHER_FUZZ=ON \
  -DANTHER_TESTS=OFF -DANTHER_EXAMPLES=OFF -DANTHER_BENCH=OFF "-DANTHER_COMPONENTS=io;data" >/dev/null
cmake --build "$build" --parallel "$jobs" --target "${targets[@]/#/fuzz_}"

# One target writes files for each input: in memory, where there is such a folder.
[[ ! -d /dev/shm ]] || export TMPDIR=/dev/shm
# What a file declares must not decide an allocation: none may be larger than 256 MiB.
fuzz() {
  local target=$1
  mkdir -p "$build/corpus/$target" "$build/findings/$target"
  "$build/tests/fuzz/fuzz_$target" -max_total_time="$seconds" -malloc_limit_mb=256 -rss_limit_mb=1024 \
    -timeout=10 -max_len=8192 -print_final_stats=1 -artifact_prefix="$build/findings/$target/" \
    "$build/corpus/$target" "tests/fuzz/seeds/$target" >"$build/$target.log" 2>&1 || true
}
for target in "${targets[@]}"; do
  while (($(jobs -rp | wc -l) >= jobs)); do wait -n || true; done
  fuzz "$target" &
done
wait

status=0
printf '%-12s %12s %8s %10s %8s\n' target executions edges features findings
for target in "${targets[@]}"; do
  log=$build/$target.log
  executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
  # The last line of progress: "#2097152 pulse  cov: 181 ft: 421 corp: ..."
  read -r edges features < <(sed -n 's/.* cov: \([0-9]*\) ft: \([0-9]*\) .*/\1 \2/p' "$log" | tail -n 1) || true
  findings=$(find "$build/findings/$target" -type f | wc -l)
  printf '%-12s %12s %8s %10s %8s\n' "$target" "${executions:-none}" "${edges:-}" "${features:-}" "$findings"
  if ((findings)); then
    status=1
    grep -m 1 -e 'ERROR: ' -e 'runtime error: ' -e 'deadly signal' "$log" | sed 's/^/  /' || true
    find "$build/findings/$target" -type f | sed 's/^/  /'
  elif [[ -z $executions ]]; then
    status=1
    tail -n 5 "$log" | sed 's/^/  /'
  fi
done
exit "$status"
