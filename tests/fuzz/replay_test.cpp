// What the fuzzers call, with their seeds, and with each of them cut short and changed here and
// there: nothing but anther::Error may be thrown. So every build checks what a fuzzer has found,
// whose input joins the seeds.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "anther/core/random.hpp"

// Each has the one function that libFuzzer calls, here under its own name.
#define LLVMFuzzerTestOneInput fuzz_cgroup
#include "tests/fuzz/fuzz_cgroup.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_cifar
#include "tests/fuzz/fuzz_cifar.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_csv
#include "tests/fuzz/fuzz_csv.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_exif
#include "tests/fuzz/fuzz_exif.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_idx
#include "tests/fuzz/fuzz_idx.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_image
#include "tests/fuzz/fuzz_image.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_json
#include "tests/fuzz/fuzz_json.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_mat
#include "tests/fuzz/fuzz_mat.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_safetensors
#include "tests/fuzz/fuzz_safetensors.cpp"
#undef LLVMFuzzerTestOneInput

namespace {

using Target = int(const std::uint8_t*, std::size_t);
using Input = std::vector<std::uint8_t>;

std::vector<Input> seeds_of(const std::string& target) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator("tests/fuzz/seeds/" + target))
    paths.push_back(entry.path());
  std::ranges::sort(paths);
  std::vector<Input> seeds;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return seeds;
}

}  // namespace

TEST_CASE("readers of files take anything") {
  const struct {
    const char* name;
    Target* run;
  } targets[] = {{"cgroup", fuzz_cgroup}, {"cifar", fuzz_cifar}, {"csv", fuzz_csv},
                 {"exif", fuzz_exif},     {"idx", fuzz_idx},     {"image", fuzz_image},
                 {"json", fuzz_json},     {"mat", fuzz_mat},     {"safetensors", fuzz_safetensors}};
  for (const auto& [name, run] : targets) {
    CAPTURE(name);
    const std::vector<Input> seeds = seeds_of(name);
    REQUIRE_FALSE(seeds.empty());
    for (std::size_t number = 0; number < seeds.size(); ++number) {
      CAPTURE(number);
      const Input& seed = seeds[number];
      const auto call = [&](const Input& input) { CHECK(run(input.data(), input.size()) == 0); };
      call(seed);
      const anther::RandomKey key = anther::RandomKey(number).fold(name);
      std::uint64_t drawn = 0;
      const auto below = [&](std::size_t n) {
        return static_cast<std::size_t>(
            anther::uniform_below(key, drawn++, static_cast<std::int64_t>(n)));
      };
      const std::size_t size = seed.size();
      for (std::size_t cut = 0; cut < std::min<std::size_t>(size, 60); ++cut)
        call(Input(seed.begin(), seed.begin() + static_cast<std::ptrdiff_t>(size * cut / 60)));
      for (int change = 0; change < 200; ++change) {
        Input changed = seed;
        for (std::size_t times = 1 + below(3); times > 0 && !changed.empty(); --times) {
          const std::size_t at = below(changed.size());
          constexpr std::uint8_t odd[] = {0, 1, 0x7F, 0x80, 0xFE, 0xFF};
          changed[at] = below(2) == 0 ? odd[below(std::size(odd))]
                                      : static_cast<std::uint8_t>(changed[at] ^ (1u << below(8)));
        }
        call(changed);
      }
    }
  }
}
