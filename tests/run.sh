#!/usr/bin/env bash
# Installs what is missing, builds, and runs the tests. The last line is the count of test cases.
#
# usage: tests/run.sh [--long] [--debug | --asan] [CTEST OPTION...]   for example: tests/run.sh -R ops
#        tests/run.sh --consumers
# --long builds all programs and runs all tests, also those that compile much or compare whole models
# with PyTorch: three times as long. --consumers builds as strangers do: by every way to take Anther in,
# and by every compiler and flag of tests/package/consumers.sh, with a table at the end.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/setup.sh
source scripts/setup.sh

preset=release
targets=(short_tests)
more_packages=()
ctest_options=()
left_out=(long)
consumers=
for argument in "$@"; do
  case $argument in
    --long)
      targets=(all)
      more_packages=("${anther_mpi_packages[@]}" doxygen g++-aarch64-linux-gnu qemu-user)
      left_out=()
      ;;
    --consumers)
      consumers=yes
      targets=(anther_compiled anther_compiled_all two_units mixed_native_first mixed_plain_first)
      left_out=()
      ctest_options+=(-R '^package\.(install|consumer|pkg_config|single_header|two_units|mixed_flags)')
      ;;
    --debug) preset=debug ;;
    --asan) preset=asan ;;
    -h | --help)
      sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"
      exit
      ;;
    *) ctest_options+=("$argument") ;;
  esac
done
# They compile for themselves, so the sanitizers see nothing of them.
[[ $preset == asan ]] && left_out+=(package)
# Tests ask for more memory than there is, and expect an answer.
[[ $preset == asan ]] && export ASAN_OPTIONS=allocator_may_return_null=1${ASAN_OPTIONS:+:$ASAN_OPTIONS}
((${#left_out[@]})) && ctest_options+=(-LE "^($(IFS='|' && echo "${left_out[*]}"))\$")

need_packages "${anther_packages[@]}" "${anther_decoder_packages[@]}" libeigen3-dev doctest-dev \
  libbenchmark-dev binutils curl pkg-config ninja-build "${more_packages[@]}"
need_cmake
prefer_ninja

# Another compiler may warn of what these do not, so a warning fails the build in CI only.
jobs=$(nproc)
if ! { cmake --preset "$preset" -DANTHER_TESTS=ON -DCMAKE_COMPILE_WARNING_AS_ERROR="${CI:-OFF}" &&
  cmake --build --preset "$preset" --target "${targets[@]}" --parallel "$jobs"; }; then
  echo "The build failed." >&2
  echo "0 passed, 1 failed"
  exit 1
fi

log=build/$preset/Testing/Temporary/LastTest.log
rm -f "$log"
status=0
ctest --test-dir "build/$preset" --output-on-failure --parallel "$jobs" "${ctest_options[@]}" ||
  status=$?

# What CTest calls a test is often a program with many cases of doctest's: those are counted. A
# program that failed without any failed case (it crashed) counts as one failure. The log calls
# passed what was skipped, which then says so, and what could not be started, which has no command.
[[ -e $log ]] || : >"$log"
counts=$(awk '
  /^[0-9]+\/[0-9]+ Testing: / {
    doctest = cases_passed = cases_failed = cases_skipped = says_skipped = not_run = 0
  }
  /^skipped: / { says_skipped = 1 }
  /^Command: ""/ { not_run = 1 }
  /^\[doctest\] test cases: / {
    doctest = 1
    split($0, field, "|")
    cases_passed = field[2] + 0
    cases_failed = field[3] + 0
    cases_skipped = field[4] + 0
  }
  /^Test (Passed|Failed)\.$/ {
    if (doctest) {
      passed += cases_passed
      skipped += cases_skipped
      failed += cases_failed
      if ($0 !~ /Passed/ && !cases_failed) ++failed
    }
    else if ($0 !~ /Passed/ || not_run) ++failed
    else if (says_skipped) ++skipped
    else ++passed
  }
  END {
    if (status && !failed) failed = 1
    printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
  }' status="$status" "$log")
if [[ $counts == 0\ passed,\ 0\ failed* ]]; then
  echo "No test ran (without --long, many are left out)." >&2
  status=1
fi
if [[ $consumers ]]; then
  echo "The ways to take Anther in: $counts"
  tests/package/consumers.sh --jobs "$jobs" || status=$?
  exit "$status"
fi
echo "$counts"
exit "$status"
