// The CPU quota of a container: control groups of version 1 and 2, nested, as they look from inside
// and from outside, and files with odd content.
#include <doctest/doctest.h>

#include <filesystem>
#include <string>

#include "anther/core/cpu_quota.hpp"
#include "anther/io/atomic_file.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

using namespace anther;

// A root with files of control groups.
struct Root : TemporaryFolder {
  void add(const std::string& file, const std::string& text) const {
    std::filesystem::create_directories((*this / file).parent_path());
    io::write_file_atomically(*this / file, text);
  }
  double quota() const { return cpu_quota(path()); }
};

TEST_CASE("quota: none where there are no control groups, or no limit") {
  const Root root;
  CHECK(root.quota() == 0);
  root.add("proc/self/cgroup", "0::/\n");
  CHECK(root.quota() == 0);
  root.add("sys/fs/cgroup/cpu.max", "max 100000\n");
  CHECK(root.quota() == 0);
}

TEST_CASE("quota: version 2, of the group and of those that hold it") {
  const Root root;
  root.add("proc/self/cgroup", "0::/kubepods/pod1/box\n");
  root.add("sys/fs/cgroup/kubepods/pod1/box/cpu.max", "max 100000\n");
  root.add("sys/fs/cgroup/kubepods/pod1/cpu.max", "150000 100000\n");
  CHECK(root.quota() == 1.5);
  root.add("sys/fs/cgroup/kubepods/pod1/box/cpu.max", "40000 50000\n");
  CHECK(root.quota() == 0.8);
  root.add("sys/fs/cgroup/kubepods/cpu.max", "50000 100000\n");
  CHECK(root.quota() == 0.5);
}

TEST_CASE(
    "quota: from inside a container the group's name leads nowhere, and its files are on top") {
  const Root root;
  root.add("proc/self/cgroup", "0::/system.slice/docker-4f2a.scope\n");
  root.add("sys/fs/cgroup/cpu.max", "200000 100000\n");
  CHECK(root.quota() == 2);
  root.add("proc/self/cgroup", "0::/../../other\n");
  CHECK(root.quota() == 2);
}

TEST_CASE("quota: version 1, under each name that the folder has; both versions at once") {
  for (const char* folder : {"cpu", "cpu,cpuacct", "cpuacct,cpu"}) {
    const Root root;
    root.add("proc/self/cgroup",
             "5:memory:/box\n4:cpuacct,cpu:/docker/box\n1:name=systemd:/\n0::/\n");
    const std::string group = std::string("sys/fs/cgroup/") + folder + "/docker/box/";
    root.add(group + "cpu.cfs_quota_us", "-1\n");
    root.add(group + "cpu.cfs_period_us", "100000\n");
    CHECK(root.quota() == 0);
    root.add(group + "cpu.cfs_quota_us", "350000\n");
    CHECK(root.quota() == 3.5);
    root.add("sys/fs/cgroup/unified/cpu.max", "100000 100000\n");
    CHECK(root.quota() == 1);
  }
}

TEST_CASE("quota: odd content is no limit, and does no harm") {
  for (const char* text : {"", "\n", "100000", "x y", "0 0", "-5 100000", "nan 1", "inf 1",
                           "1e400 1", "100000 0", "\xff\xfe\n"}) {
    const Root root;
    root.add("proc/self/cgroup", "0::/box\n");
    root.add("sys/fs/cgroup/box/cpu.max", text);
    CHECK(root.quota() == 0);
  }
  for (const char* text : {"", ":", "::", "0:", "0::", "cpu", "1:cpu", "0::box/../..", "\n\n"}) {
    const Root root;
    root.add("proc/self/cgroup", text);
    CHECK(root.quota() == 0);
  }
  const Root root;
  std::filesystem::create_directories(root / "proc/self/cgroup");
  std::filesystem::create_directories(root / "sys/fs/cgroup/cpu.max");
  CHECK(root.quota() == 0);
}

TEST_CASE("threads: as many as the quota, rounded up; affinity and OMP_NUM_THREADS are respected") {
  CHECK(threads_of_quota(0.2) == 1);
  CHECK(threads_of_quota(1) == 1);
  CHECK(threads_of_quota(1.5) == 2);
  CHECK(threads_of_quota(2) == 2);
  CHECK(default_threads(64, 0, nullptr) == 64);
  CHECK(default_threads(64, 2.5, nullptr) == 3);
  CHECK(default_threads(64, 2.5, "") == 3);
  CHECK(default_threads(2, 8, nullptr) == 2);   // the affinity allows fewer than the quota
  CHECK(default_threads(16, 2.5, "16") == 16);  // as asked
}

}  // namespace
