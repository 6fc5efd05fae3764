#!/bin/sh
# With dependencies that FetchContent fetched: a consumer builds, but installing is refused. Nothing
# is downloaded: CMake is pointed at the packages' own headers.
# usage: refusal_test.sh CMAKE SOURCE_DIR BUILD_DIR COMPILER EIGEN_INCLUDE_DIR JSON_INCLUDE_DIR
set -eu
cmake=$1 source_dir=$2 build_dir=$3 compiler=$4 eigen_dir=$5 json_dir=$6

rm -rf "$build_dir"
mkdir -p "$build_dir/json/include"
ln -s "$json_dir/nlohmann" "$build_dir/json/include/nlohmann"
"$cmake" -S "$source_dir/tests/package/consumer" -B "$build_dir/build" \
  -DANTHER_FROM=add_subdirectory -DANTHER_DIR="$source_dir" -DANTHER_INSTALL=ON \
  -DCMAKE_CXX_COMPILER="$compiler" \
  -DCMAKE_DISABLE_FIND_PACKAGE_Eigen3=ON -DFETCHCONTENT_SOURCE_DIR_EIGEN3="$eigen_dir" \
  -DCMAKE_DISABLE_FIND_PACKAGE_nlohmann_json=ON \
  -DFETCHCONTENT_SOURCE_DIR_NLOHMANN_JSON="$build_dir/json"
"$cmake" --build "$build_dir/build"

if "$cmake" --install "$build_dir/build" --prefix "$build_dir/installed" >"$build_dir/log" 2>&1; then
  echo "installing was not refused"
  exit 1
fi
cat "$build_dir/log"
for name in Eigen3 nlohmann_json 'Anther is not installed'; do
  grep -q "$name" "$build_dir/log" || { echo "the message does not say: $name"; exit 1; }
done
if [ -e "$build_dir/installed/share/cmake/anther" ]; then
  echo "something was installed all the same"
  exit 1
fi
