// A process group whose ranks are threads of one process: for tests without MPI.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <functional>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "anther/distributed/process_group.hpp"

namespace anther::test {

// What the ranks share. A rank that throws ends the others' waiting: these throw then, too.
class ThreadRanks {
 public:
  explicit ThreadRanks(int size) : size_(size), shown_(static_cast<std::size_t>(size)) {}

  struct Shown {
    std::span<const std::byte> data;
    std::span<const std::int64_t> sizes;
  };
  int size() const { return size_; }
  void wait() {
    std::unique_lock lock(mutex_);
    const std::int64_t round = round_;
    if (++waiting_ == size_) {
      waiting_ = 0;
      ++round_;
      changed_.notify_all();
    }
    changed_.wait(lock, [&] { return round_ != round || failed_; });
    if (round_ == round) throw Error("another rank has failed");
  }
  void fail() {
    const std::lock_guard lock(mutex_);
    failed_ = true;
    changed_.notify_all();
  }
  // Shows the other ranks something while copy(ranks' things) runs.
  template <class Copy>
  void show(int rank, const Shown& own, const Copy& copy) {
    shown_[static_cast<std::size_t>(rank)] = own;
    wait();
    copy(shown_);
    wait();
  }

 private:
  int size_;
  std::vector<Shown> shown_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int waiting_ = 0;
  std::int64_t round_ = 0;
  bool failed_ = false;
};

class ThreadGroup final : public ProcessGroup {
 public:
  ThreadGroup(ThreadRanks& ranks, int rank) : ranks_(ranks), rank_(rank) {}
  int rank() const override { return rank_; }
  int size() const override { return ranks_.size(); }
  std::string host() const override { return "here"; }
  // Bytes that other ranks have sent it.
  std::int64_t received() const { return received_; }

  void all_to_all(std::span<const std::byte> send, std::span<const std::int64_t> send_sizes,
                  std::span<std::byte> receive,
                  std::span<const std::int64_t> receive_sizes) override {
    ranks_.show(rank_, {send, send_sizes}, [&](const std::vector<ThreadRanks::Shown>& shown) {
      std::byte* to = receive.data();
      for (std::size_t r = 0; r < shown.size(); ++r) {
        const auto [data, sizes] = shown[r];
        std::size_t first = 0;
        for (int q = 0; q < rank_; ++q) first += static_cast<std::size_t>(sizes[std::size_t(q)]);
        detail::check(sizes[std::size_t(rank_)] == receive_sizes[r], "all_to_all: rank ", r,
                      " sends ", sizes[std::size_t(rank_)], " bytes, and rank ", rank_, " expects ",
                      receive_sizes[r]);
        const auto count = static_cast<std::size_t>(receive_sizes[r]);
        if (count > 0) std::memcpy(to, data.data() + first, count);
        if (static_cast<int>(r) != rank_) received_ += receive_sizes[r];
        to += count;
      }
    });
  }
  void all_gather(std::span<std::byte> all, std::span<const std::int64_t> sizes) override {
    ranks_.show(rank_, {all, sizes}, [&](const std::vector<ThreadRanks::Shown>& shown) {
      std::size_t first = 0;
      for (std::size_t r = 0; r < shown.size(); ++r) {
        detail::check(shown[r].sizes[r] == sizes[r] && shown[r].data.size() == all.size(),
                      "all_gather: rank ", r, " has ", shown[r].sizes[r], " bytes, and rank ",
                      rank_, " expects ", sizes[r]);
        const auto count = static_cast<std::size_t>(sizes[r]);
        if (count > 0 && static_cast<int>(r) != rank_)
          std::memcpy(all.data() + first, shown[r].data.data() + first, count);
        if (static_cast<int>(r) != rank_) received_ += sizes[r];
        first += count;
      }
    });
  }
  void broadcast(std::span<std::byte> data) override {
    ranks_.show(rank_, {data, {}}, [&](const std::vector<ThreadRanks::Shown>& shown) {
      detail::check(shown[0].data.size() == data.size(), "broadcast: rank 0 has ",
                    shown[0].data.size(), " bytes, and rank ", rank_, " expects ", data.size());
      if (rank_ != 0 && !data.empty()) std::memcpy(data.data(), shown[0].data.data(), data.size());
    });
  }
  void barrier() override { ranks_.wait(); }

 private:
  ThreadRanks& ranks_;
  int rank_;
  std::int64_t received_ = 0;
};

// Runs body(group) on as many threads as there are ranks. Gives what each has thrown: "" if
// nothing.
inline std::vector<std::string> run_ranks(int size,
                                          const std::function<void(ProcessGroup&)>& body) {
  ThreadRanks ranks(size);
  std::vector<std::string> errors(static_cast<std::size_t>(size));
  std::vector<std::thread> threads;
  for (int r = 0; r < size; ++r)
    threads.emplace_back([&, r] {
      ThreadGroup group(ranks, r);
      try {
        body(group);
      } catch (const std::exception& error) {
        errors[static_cast<std::size_t>(r)] = error.what();
        ranks.fail();
      }
    });
  for (std::thread& thread : threads) thread.join();
  return errors;
}

}  // namespace anther::test
