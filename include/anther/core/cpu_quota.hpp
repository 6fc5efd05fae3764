// The share of the processors that a container may use (Linux' control groups, version 1 and 2).
// The processors that the system shows are those of the whole machine: more threads than the quota
// wait for one another, and are stopped in turn.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

namespace anther::inline v0_1 {

namespace detail {

// A quota and a period in microseconds, as processors; 0 where they are no limit, or no numbers.
[[gnu::cold]] inline double processors_of(const std::string& quota, const std::string& period) {
  const double share = std::strtod(quota.c_str(), nullptr) / std::strtod(period.c_str(), nullptr);
  return std::isfinite(share) && share > 0 ? share : 0;
}

// A file's first line of at most 4,095 characters; empty where it cannot be read.
[[gnu::cold]] inline std::string first_line(const std::string& path) {
  std::string line;
  if (std::FILE* file = std::fopen(path.c_str(), "r")) {
    char text[4096];
    if (std::fgets(text, sizeof text, file)) line = text;
    std::fclose(file);
  }
  return line;
}

// The parts of a text between separators; empty ones are left out.
[[gnu::cold]] inline std::vector<std::string> parts_of(const std::string& text,
                                                       const char* separators) {
  std::vector<std::string> parts;
  for (std::size_t end = 0;;) {
    const std::size_t begin = text.find_first_not_of(separators, end);
    if (begin == text.npos) return parts;
    end = std::min(text.find_first_of(separators, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
  }
}

[[gnu::cold]] inline double quota_of_group(const std::string& group) {
  std::vector<std::string> both = parts_of(first_line(group + "/cpu.max"), " \n");  // version 2
  both.resize(2);
  const double quota = processors_of(both[0], both[1]);
  if (quota > 0) return quota;
  return processors_of(first_line(group + "/cpu.cfs_quota_us"),
                       first_line(group + "/cpu.cfs_period_us"));
}

// The folders of a group's name, from the top: of "/a/../b/./c" they are b and c.
[[gnu::cold]] inline std::vector<std::string> folders_of_group(const std::string& name) {
  std::vector<std::string> folders;
  for (std::string& part : parts_of(name, "/\n")) {
    if (part == ".." && !folders.empty()) folders.pop_back();
    if (part != "." && part != "..") folders.push_back(std::move(part));
  }
  return folders;
}

}  // namespace detail

// The processors that this process may use by the quota of its group, and of those that hold it:
// 1.5, say. 0: there is no limit, or none that can be read. root: the folder that proc/ and sys/
// are in.
[[gnu::cold]] inline double cpu_quota(const std::string& root = "") {
  double least = 0;
  std::FILE* groups = std::fopen((root + "/proc/self/cgroup").c_str(), "r");
  if (groups == nullptr) return 0;
  // "0::/group" in version 2, "3:cpu,cpuacct:/group" in version 1.
  for (char text[4096]; std::fgets(text, sizeof text, groups);) {
    const std::string line = text;
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == line.npos || second == line.npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool is_cpu = ("," + controllers + ",").find(",cpu,") != std::string::npos;
    if (!controllers.empty() && !is_cpu) continue;
    std::vector<std::string> mounts = {"", "/unified"};
    if (is_cpu) mounts = {"/cpu", "/" + controllers, "/cpu,cpuacct", "/cpuacct,cpu"};
    const std::vector<std::string> folders = detail::folders_of_group(line.substr(second + 1));
    for (const std::string& mount : mounts) {
      // In a container the group's name may be that on the machine outside; then its own is at the
      // top.
      std::string group = root + "/sys/fs/cgroup" + mount;
      for (std::size_t depth = 0;; ++depth) {
        const double quota = detail::quota_of_group(group);
        if (quota > 0) least = least > 0 ? std::min(least, quota) : quota;
        if (depth == folders.size()) break;
        group += "/" + folders[depth];
      }
    }
  }
  std::fclose(groups);
  return least;
}

// How many threads use up a quota: a part of a processor counts as one.
inline int threads_of_quota(double quota) {
  return static_cast<int>(std::clamp(std::ceil(quota - 0.01), 1.0, 1e6));
}

// The number of threads by default: `most`, which the processors and the affinity allow, or fewer
// where the quota is less. What OMP_NUM_THREADS says goes before the quota.
inline int default_threads(int most, double quota, const char* omp_num_threads) {
  most = std::min(most, 4096);  // OMP_NUM_THREADS may say anything, and each thread takes memory
  if (quota <= 0 || (omp_num_threads && *omp_num_threads != '\0')) return most;
  return std::min(most, threads_of_quota(quota));
}
// This process's quota, which is read once.
inline double own_cpu_quota() {
  static const double quota = cpu_quota();
  return quota;
}

}  // namespace anther::inline v0_1
