// The files of Linux' control groups. The input is what /proc/self/cgroup has, a zero byte, and
// what the files of quotas have.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "anther/core/cpu_quota.hpp"

namespace {

namespace fs = std::filesystem;

// Stands in for "/", and goes when the program ends.
struct Root {
  Root() {
    std::string name = (fs::temp_directory_path() / "anther-fuzz-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) std::abort();
    path = name;
    fs::create_directories(path / "proc/self");
    fs::create_directories(path / "sys/fs/cgroup/cpu/group");
  }
  ~Root() {
    std::error_code error;
    fs::remove_all(path, error);
  }
  fs::path path;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Root root;
  const std::uint8_t* const end = std::find(data, data + size, 0);
  std::ofstream(root.path / "proc/self/cgroup") << std::string(data, end);
  const std::string quota(end, data + size);
  for (const char* file : {"cpu.max", "cpu/group/cpu.cfs_quota_us", "cpu/group/cpu.cfs_period_us"})
    std::ofstream(root.path / "sys/fs/cgroup" / file) << quota;
  const double processors = anther::cpu_quota(root.path);
  if (!(processors >= 0) || anther::default_threads(4, processors, nullptr) < 1) std::abort();
  return 0;
}
