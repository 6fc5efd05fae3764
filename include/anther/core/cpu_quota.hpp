// The share of the processors that a container may use (Linux' control groups, version 1 and 2).
// The processors that the system shows are those of the whole machine: more threads than the quota
// wait for one another, and are stopped in turn.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace anther::inline v0_1 {

namespace detail {

// A quota and a period in microseconds, as processors; 0 where they are no limit, or no numbers.
inline double processors_of(const std::string& quota, const std::string& period) {
  const double share = std::strtod(quota.c_str(), nullptr) / std::strtod(period.c_str(), nullptr);
  return std::isfinite(share) && share > 0 ? share : 0;
}

// The first words of a file; empty where it cannot be read.
inline std::vector<std::string> first_words(const std::filesystem::path& path, std::size_t count) {
  std::vector<std::string> words;
  std::ifstream file(path);
  for (std::string word; words.size() < count && file >> word;) words.push_back(word);
  words.resize(count);
  return words;
}

inline double quota_of_group(const std::filesystem::path& group) {
  const std::vector<std::string> both = first_words(group / "cpu.max", 2);  // version 2
  const double quota = processors_of(both[0], both[1]);
  if (quota > 0) return quota;
  return processors_of(first_words(group / "cpu.cfs_quota_us", 1)[0],
                       first_words(group / "cpu.cfs_period_us", 1)[0]);
}

}  // namespace detail

// The processors that this process may use by the quota of its group, and of those that hold it:
// 1.5, say. 0: there is no limit, or none that can be read. root: where proc/ and sys/ are.
inline double cpu_quota(const std::filesystem::path& root = "/") {
  try {
    double least = 0;
    std::ifstream groups(root / "proc/self/cgroup");
    // "0::/group" in version 2, "3:cpu,cpuacct:/group" in version 1.
    for (std::string line; std::getline(groups, line);) {
      const std::size_t first = line.find(':'), second = line.find(':', first + 1);
      if (first == line.npos || second == line.npos) continue;
      const std::string controllers = line.substr(first + 1, second - first - 1);
      const bool is_cpu = ("," + controllers + ",").find(",cpu,") != std::string::npos;
      if (!controllers.empty() && !is_cpu) continue;
      std::vector<std::string> mounts = {"", "unified"};
      if (is_cpu) mounts = {"cpu", controllers, "cpu,cpuacct", "cpuacct,cpu"};
      for (const std::string& mount : mounts) {
        const auto top = root / "sys/fs/cgroup" / mount;
        // In a container the group's name may be that on the machine outside; then its own is at
        // the top.
        auto name = std::filesystem::path(line.substr(second + 1)).lexically_normal();
        for (;; name = name.parent_path()) {
          const double quota = detail::quota_of_group(top / name.relative_path());
          if (quota > 0) least = least > 0 ? std::min(least, quota) : quota;
          if (!name.has_relative_path() || name == name.parent_path()) break;
        }
      }
    }
    return least;
  } catch (const std::exception&) {
    return 0;  // odd content is no reason to stop
  }
}

// How many threads use up a quota: a part of a processor counts as one.
inline int threads_of_quota(double quota) {
  return static_cast<int>(std::clamp(std::ceil(quota - 0.01), 1.0, 1e6));
}

// The number of threads by default: `most`, which the processors and the affinity allow, or fewer
// where the quota is less. What OMP_NUM_THREADS says goes before the quota.
inline int default_threads(int most, double quota, const char* omp_num_threads) {
  if (quota <= 0 || (omp_num_threads && *omp_num_threads != '\0')) return most;
  return std::min(most, threads_of_quota(quota));
}
// This process's quota, which is read once.
inline double own_cpu_quota() {
  static const double quota = cpu_quota();
  return quota;
}

}  // namespace anther::inline v0_1
