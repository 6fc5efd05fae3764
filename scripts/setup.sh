# shellcheck shell=bash
# Sourced by tests/run.sh, examples/quickstart.sh and .ci/run: installs Debian packages that are
# missing. Nothing here ever prompts where there is no terminal.

# The tools and libraries that every build needs.
# shellcheck disable=SC2034  # used by the scripts that source this file
anther_packages=(g++ cmake make libstb-dev nlohmann-json3-dev libcli11-dev)

# Decoders that are used where they are installed: JPEG with the pixels that other programs have,
# and WebP. Nothing fetches them.
# shellcheck disable=SC2034
anther_decoder_packages=(libjpeg-dev libwebp-dev)

# MPI, for training over several processes (docs/distributed.md): used where it is installed.
# shellcheck disable=SC2034
anther_mpi_packages=(libopenmpi-dev openmpi-bin)

is_interactive() { [[ -t 0 && -t 1 && -z ${CI:-} ]]; }

# Asks a question whose answer is yes by default.
ask() {
  local answer
  read -r -p "$1 [Y/n] " answer
  [[ -z $answer || $answer == [Yy]* ]]
}

# Prints those of the named packages that are missing. A tool counts as there if it can be run,
# wherever it came from.
missing_packages() {
  local package
  for package in "$@"; do
    case $package in
      g++) command -v "${CXX:-g++}" || command -v c++ || command -v clang++ ;;
      cmake | make | curl | clang-format*) command -v "$package" ;;
      binutils) command -v objdump ;;
      ninja-build) command -v ninja ;;
      *) [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>&1) == installed ]] ;;
    esac >/dev/null || echo "$package"
  done
}

# Those of the named packages that are tools: nothing else can stand in for them, whereas CMake
# fetches a library.
tools_among() {
  local package
  for package in "$@"; do
    case $package in
      g++ | cmake | make | curl | clang-format* | binutils) echo "$package" ;;
    esac
  done
}

# Says what is missing and installs it. Fails where a tool stays missing.
need_packages() {
  local missing tools run_as_root=()
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]})) || return 0

  if ! command -v apt-get >/dev/null; then
    # Libraries cannot be looked for without knowing the package manager: CMake finds or fetches them.
    mapfile -t tools < <(tools_among "${missing[@]}")
    ((${#tools[@]})) || return 0
    echo "Missing: ${tools[*]}. This is not Debian or Ubuntu: please install them, and, so that" >&2
    echo "nothing need be fetched, Eigen 3, stb, nlohmann-json and CLI11 (for the tests doctest too," >&2
    echo "for the benchmarks Google Benchmark). Then run this again." >&2
    return 1
  fi

  echo "Missing packages: ${missing[*]}"
  if [[ $(id -u) != 0 ]]; then
    if command -v sudo >/dev/null; then
      run_as_root=(sudo)
      is_interactive || run_as_root+=(-n)
    fi
  fi
  if [[ $(id -u) != 0 && ${#run_as_root[@]} == 0 ]]; then
    echo "They cannot be installed without root or sudo."
  elif is_interactive && ! ask "Install them with apt-get?"; then
    echo "They are not installed."
  else
    local apt=("${run_as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y)
    # An index that cannot be renewed may still be good enough.
    "${apt[@]}" update </dev/null || true
    "${apt[@]}" install --no-install-recommends "${missing[@]}" </dev/null || true
  fi

  mapfile -t missing < <(missing_packages "$@")
  mapfile -t tools < <(tools_among "${missing[@]}")
  if ((${#tools[@]})); then
    echo "Still missing: ${missing[*]}. Please install them: apt-get install ${missing[*]}" >&2
    return 1
  elif ((${#missing[@]})); then
    echo "Still missing: ${missing[*]} (apt-get install ${missing[*]})."
    [[ ${missing[*]} != *-dev* ]] || echo "CMake will fetch those libraries, or do without."
  fi
}

# Fails unless CMake is recent enough for Anther.
need_cmake() {
  local version
  version=$(cmake --version | sed -n '1s/[^0-9]*//p')
  if ! printf '3.24\n%s\n' "$version" | sort -V -C; then
    echo "CMake 3.24 or later is needed, and this is $version. A newer one: pip install cmake, or" >&2
    echo "https://cmake.org/download/" >&2
    return 1
  fi
}

# New build folders are Ninja's where that is installed.
prefer_ninja() {
  if [[ -z ${CMAKE_GENERATOR:-} ]] && command -v ninja >/dev/null; then export CMAKE_GENERATOR=Ninja; fi
}
