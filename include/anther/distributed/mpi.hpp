// The ranks of a program that is started by mpirun or srun. The only header that includes <mpi.h>:
// link anther::mpi.
//
//   int main(int argc, char** argv) {
//     MpiGroup ranks(argc, argv);
//     return ranks.run("my_program", [&] {
//       ...
//       fit(model, optimizer, train, val, {..., .trainer = {.lanes = 8, .group = &ranks}});
//       return 0;
//     });
//   }
//
// Without a launcher it is one process, and MPI is not touched.
#pragma once

#include <mpi.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <limits>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#ifdef __linux__
#include <sched.h>
#endif

#include "anther/core/check.hpp"
#include "anther/core/cpu_quota.hpp"
#include "anther/core/parallel_for.hpp"
#include "anther/distributed/launcher.hpp"
#include "anther/distributed/message.hpp"
#include "anther/distributed/texts.hpp"

namespace anther::inline v0_1 {

class MpiGroup final : public ProcessGroup {
 public:
  // Initialises MPI where a launcher has started the program, unless the program has done so. Make
  // one at the beginning of main(), before any thread. Where OMP_NUM_THREADS is not set, sets the
  // number of threads such that the ranks of a host share the processors that they may use.
  MpiGroup(int& argc, char**& argv) {
    char host[256] = "";
    if (::gethostname(host, sizeof host - 1) == 0) host_ = host;
    const int expected = launched_ranks();
    if (expected == 0) return;
    int initialized = 0, provided = MPI_THREAD_SINGLE;
    MPI_Initialized(&initialized);
    initializes_ = !initialized;
    if (initializes_) MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
    MPI_Comm_dup(MPI_COMM_WORLD, &world_);  // messages of the program's own are none of ours
    MPI_Comm_rank(world_, &rank_);
    MPI_Comm_size(world_, &size_);
    MPI_Type_contiguous(unit, MPI_BYTE, &unit_type_);
    MPI_Type_commit(&unit_type_);
    if (expected > 0 && expected != size_)
      abort(detail::text_of("the launcher has started ", expected, " ranks, and MPI finds ", size_,
                            ": the launcher is that of another MPI than the program's"));
    share_processors();
  }
  MpiGroup(const MpiGroup&) = delete;
  MpiGroup& operator=(const MpiGroup&) = delete;
  ~MpiGroup() override {
    if (!uses_mpi()) return;
    if (std::uncaught_exceptions() > 0) MPI_Abort(world_, 1);
    MPI_Type_free(&unit_type_);
    MPI_Comm_free(&world_);
    if (initializes_) MPI_Finalize();
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string host() const override { return host_; }
  // For people: "4 ranks on 2 hosts (n1, n2), 8 threads each"; empty for one process.
  const std::string& description() const { return description_; }

  // Runs the program, and gives its exit status. What it throws on one rank ends the job, with a
  // message that says which rank it was; what it throws on all ranks is told by rank 0.
  template <class Program>
  int run(const std::string& name, const Program& program) {
    try {
      const int status = program();
      barrier();
      return status;
    } catch (const CollectiveError& error) {
      if (rank_ == 0) tell(name + ": " + error.what());
      return 1;
    } catch (const std::exception& error) {
      if (size_ > 1) abort(name + ": " + rank_text(rank_, host_) + ": " + error.what());
      tell(name + ": " + error.what());
      return 1;
    }
  }

  void all_to_all(std::span<const std::byte> send, std::span<const std::int64_t> send_sizes,
                  std::span<std::byte> receive,
                  std::span<const std::int64_t> receive_sizes) override {
    if (!uses_mpi()) {
      std::copy(send.begin(), send.end(), receive.begin());
      return;
    }
    const Layout from = layout_of(send_sizes), to = layout_of(receive_sizes);
    MPI_Request request;
    MPI_Ialltoallv(send.data(), from.counts.data(), from.places.data(), from.type, receive.data(),
                   to.counts.data(), to.places.data(), to.type, world_, &request);
    wait(request);
  }
  void all_gather(std::span<std::byte> all, std::span<const std::int64_t> sizes) override {
    if (!uses_mpi()) return;
    const Layout to = layout_of(sizes);
    MPI_Request request;
    MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, all.data(), to.counts.data(),
                    to.places.data(), to.type, world_, &request);
    wait(request);
  }
  void broadcast(std::span<std::byte> data) override {
    if (!uses_mpi()) return;
    constexpr std::size_t most = std::size_t{1} << 30;
    for (std::size_t at = 0; at < data.size(); at += most) {
      MPI_Request request;
      MPI_Ibcast(data.data() + at, static_cast<int>(std::min(most, data.size() - at)), MPI_BYTE, 0,
                 world_, &request);
      wait(request);
    }
  }
  void barrier() override {
    if (!uses_mpi()) return;
    MPI_Request request;
    MPI_Ibarrier(world_, &request);
    wait(request);
  }

  // Ends the job, on all ranks, after a message.
  [[noreturn]] void abort(const std::string& message) const {
    tell(message);
    if (uses_mpi()) MPI_Abort(world_, 1);
    std::exit(1);
  }

 private:
  bool uses_mpi() const { return world_ != MPI_COMM_NULL; }

  // MPI's own waiting takes a whole processor, and a rank waits for long where others have more to
  // do, or rank 0 writes: the threads that load images need it then. So a rank that has waited for
  // a while sleeps, for a twentieth of that time, but no longer than a millisecond.
  static void wait(MPI_Request& request) {
    using namespace std::chrono;
    const auto begin = steady_clock::now();
    for (int done = 0;;) {
      MPI_Test(&request, &done, MPI_STATUS_IGNORE);
      if (done) return;
      const auto waited = steady_clock::now() - begin;
      if (waited < microseconds(200))
        std::this_thread::yield();
      else
        std::this_thread::sleep_for(std::min<steady_clock::duration>(waited / 20, milliseconds(1)));
    }
  }

  // MPI counts with int: gradients and weights are sent in units of this many bytes.
  static constexpr int unit = 4;
  struct Layout {
    std::vector<int> counts, places;
    MPI_Datatype type;
  };
  Layout layout_of(std::span<const std::int64_t> sizes) const {
    const bool whole = std::ranges::all_of(sizes, [](std::int64_t s) { return s % unit == 0; });
    Layout layout{{}, {}, whole ? unit_type_ : MPI_BYTE};
    std::int64_t place = 0;
    for (const std::int64_t size : sizes) {
      const std::int64_t count = whole ? size / unit : size;
      detail::check(place + count <= std::numeric_limits<int>::max(),
                    "MPI: expected a message that int can count, got ", place + count, " parts");
      layout.counts.push_back(static_cast<int>(count));
      layout.places.push_back(static_cast<int>(place));
      place += count;
    }
    return layout;
  }

  static void tell(const std::string& message) {
    std::fflush(stdout);
    std::fprintf(stderr, "%s\n", message.c_str());
    std::fflush(stderr);
  }

  // The processors that this process may run on, as text; and how many.
  static std::pair<std::string, int> own_processors() {
    std::string names;
    int count = 0;
#ifdef __linux__
    cpu_set_t set;
    CPU_ZERO(&set);
    if (::sched_getaffinity(0, sizeof set, &set) == 0)
      for (int i = 0; i < CPU_SETSIZE; ++i)
        if (CPU_ISSET(i, &set)) names += std::to_string(i) + ",", ++count;
#endif
    if (count == 0) count = static_cast<int>(std::thread::hardware_concurrency());
    if (const double quota = own_cpu_quota(); quota > 0)
      count = std::min(count, std::max(1, static_cast<int>(quota)));
    return {names, std::max(1, count)};
  }

  // A launcher may give each rank processors of its own, or leave them to all ranks of a host.
  void share_processors() {
    const auto [names, count] = own_processors();
    const std::string own = host_ + " " + names;
    const std::vector<std::string> all = anther::all_gather(*this, own);
    const int sharing = static_cast<int>(std::ranges::count(all, own));
    const char* const asked = std::getenv("OMP_NUM_THREADS");  // empty: not set
    if (!asked || *asked == '\0') set_num_threads(std::max(1, count / sharing));

    std::set<std::string> hosts;
    for (const std::string& host : anther::all_gather(*this, host_)) hosts.insert(host);
    std::string list;
    for (const std::string& host : hosts) list += (list.empty() ? "" : ", ") + host;
    int least = std::numeric_limits<int>::max(), most = 0;
    for (const std::string& threads : anther::all_gather(*this, std::to_string(num_threads()))) {
      least = std::min(least, std::stoi(threads));
      most = std::max(most, std::stoi(threads));
    }
    const std::string threads =
        least == most ? std::to_string(most) : detail::text_of(least, " to ", most);
    description_ = detail::text_of(size_, size_ == 1 ? " rank" : " ranks", " on ", hosts.size(),
                                   hosts.size() == 1 ? " host (" : " hosts (", list, "), ", threads,
                                   most == 1 ? " thread each" : " threads each");
  }

  int rank_ = 0, size_ = 1;
  bool initializes_ = false;
  MPI_Comm world_ = MPI_COMM_NULL;  // null: one process, without MPI
  std::string host_ = "unknown", description_;
  MPI_Datatype unit_type_ = MPI_DATATYPE_NULL;
};

}  // namespace anther::inline v0_1
