# Finds what Anther's components and our own programs need. What is missing is fetched, at the
# version that Debian 12 has, but only for a component that ANTHER_COMPONENTS names, and for our
# own programs.

include(FetchContent)

# Declares an archive that FetchContent only unpacks: of a library of headers nothing is built.
# Sets <name>_SOURCE_DIR.
macro(anther_fetch name url sha256)
  message(STATUS "Anther: ${name} is not installed, fetching it from ${url}")
  FetchContent_Declare(
    ${name}
    URL ${url}
    URL_HASH SHA256=${sha256}
    DOWNLOAD_EXTRACT_TIMESTAMP OFF
    SOURCE_SUBDIR no-build)
  FetchContent_MakeAvailable(${name})
endmacro()

# Makes `target` from the package, or else, where it is wanted, from the archive's folder `headers`.
macro(anther_header_library wanted package target headers url sha256)
  if(NOT TARGET ${target})
    find_package(${package} CONFIG QUIET)
  endif()
  if(NOT TARGET ${target} AND ${wanted})
    anther_fetch(${package} ${url} ${sha256})
    string(TOLOWER ${package} anther_package)
    add_library(${target} INTERFACE IMPORTED GLOBAL)
    target_include_directories(${target} SYSTEM INTERFACE
                               "${${anther_package}_SOURCE_DIR}/${headers}")
  endif()
endmacro()

foreach(component IN ITEMS io data eigen)
  if(component IN_LIST ANTHER_COMPONENTS)
    set(anther_wants_${component} ON)
  else()
    set(anther_wants_${component} OFF)
  endif()
endforeach()

# Without OpenMP everything is serial.
find_package(OpenMP QUIET COMPONENTS CXX)
if(NOT OpenMP_CXX_FOUND)
  message(STATUS "Anther: OpenMP was not found, so that everything runs on one thread")
endif()
find_package(Threads QUIET)

anther_header_library(
  ${anther_wants_eigen} Eigen3 Eigen3::Eigen .
  https://gitlab.com/libeigen/eigen/-/archive/3.4.0/eigen-3.4.0.tar.gz
  8586084f71f9bde545ee7fa6d00288b264a2b7ac3607b974e54d13e7162c1c72)
anther_header_library(
  ${anther_wants_io} nlohmann_json nlohmann_json::nlohmann_json include
  https://github.com/nlohmann/json/archive/refs/tags/v3.11.2.tar.gz
  d69f9deb6a75e2580465c6c4c5111b89c4dc2fa94e3a85fcd2ffcd9a143d9273)

# stb has no package file, and no versions: the commit is the one that Debian 12 has.
find_path(ANTHER_STB_INCLUDE_DIR stb_image.h PATH_SUFFIXES stb)
if(NOT ANTHER_STB_INCLUDE_DIR AND anther_wants_data)
  anther_fetch(
    stb
    https://github.com/nothings/stb/archive/8b5f1f37b5b75829fc72d38e7b5d4bcbf8a26d55.tar.gz
    c47cf5abe21e1d620afccd159c23fe71dfa86eb270015a7646a4f79e9bfd5503)
  set(ANTHER_STB_INCLUDE_DIR "${stb_SOURCE_DIR}")
endif()

# Decoders that are used where they are installed, and never fetched.
option(ANTHER_JPEG "The component jpeg, where libjpeg-turbo is found" ON)
option(ANTHER_WEBP "The component webp, where libwebp is found" ON)
set(anther_has_jpeg OFF)
set(anther_has_webp OFF)
if(ANTHER_JPEG)
  find_package(JPEG QUIET)
  if(TARGET JPEG::JPEG)
    # Other libraries of this name have other pixels.
    include(CheckCXXSourceCompiles)
    include(CMakePushCheckState)
    cmake_push_check_state(RESET)
    set(CMAKE_REQUIRED_LIBRARIES JPEG::JPEG)
    set(CMAKE_REQUIRED_QUIET ON)
    check_cxx_source_compiles(
      "#include <stddef.h>\n#include <stdio.h>\n#include <jpeglib.h>\n#ifndef LIBJPEG_TURBO_VERSION\n#error\n#endif\nint main() { jpeg_error_mgr m; return jpeg_std_error(&m) == nullptr; }"
      ANTHER_JPEG_IS_TURBO)
    cmake_pop_check_state()
    set(anther_has_jpeg ${ANTHER_JPEG_IS_TURBO})
  endif()
endif()
if(ANTHER_WEBP)
  find_path(ANTHER_WEBP_INCLUDE_DIR webp/decode.h)
  find_library(ANTHER_WEBP_LIBRARY webp)
  mark_as_advanced(ANTHER_WEBP_INCLUDE_DIR ANTHER_WEBP_LIBRARY)
  if(ANTHER_WEBP_INCLUDE_DIR AND ANTHER_WEBP_LIBRARY)
    set(anther_has_webp ON)
  endif()
endif()

# The same for MPI. Another than the system's: -DMPI_HOME=..., or -DMPI_CXX_COMPILER=mpicxx.mpich
# with -DMPIEXEC_EXECUTABLE=...
option(ANTHER_MPI "The component mpi, where MPI is found" ${PROJECT_IS_TOP_LEVEL})
if(ANTHER_MPI)
  set(MPI_CXX_SKIP_MPICXX ON)
  find_package(MPI QUIET COMPONENTS CXX)
endif()

if(ANTHER_TESTS)
  anther_header_library(
    ON doctest doctest::doctest .
    https://github.com/doctest/doctest/archive/refs/tags/v2.4.9.tar.gz
    19b2df757f2f3703a5e63cee553d85596875f06d91a3333acd80a969ef210856)
endif()

if(ANTHER_TESTS OR ANTHER_EXAMPLES OR ANTHER_BENCH)
  anther_header_library(
    ON CLI11 CLI11::CLI11 include
    https://github.com/CLIUtils/CLI11/archive/refs/tags/v2.3.2.tar.gz
    aac0ab42108131ac5d3344a9db0fdf25c4db652296641955720a4fbe52334e22)
endif()

if(ANTHER_BENCH AND NOT TARGET benchmark::benchmark)
  find_package(benchmark CONFIG QUIET)
  if(NOT TARGET benchmark::benchmark)
    message(STATUS "Anther: benchmark is not installed, fetching it")
    set(BENCHMARK_ENABLE_TESTING OFF)
    set(BENCHMARK_ENABLE_INSTALL OFF)
    set(BENCHMARK_ENABLE_WERROR OFF)
    FetchContent_Declare(
      benchmark
      URL https://github.com/google/benchmark/archive/refs/tags/v1.7.1.tar.gz
      URL_HASH SHA256=6430e4092653380d9dc4ccb45a1e2dc9259d581f4866dc0759713126056bc1d7
      DOWNLOAD_EXTRACT_TIMESTAMP OFF)
    FetchContent_MakeAvailable(benchmark)
  endif()
endif()
