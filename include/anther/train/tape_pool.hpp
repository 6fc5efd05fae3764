// Tapes that threads borrow, and that keep their memory.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "anther/autograd/tape.hpp"

namespace anther::inline v0_1 {

template <class T>
class TapePool {
 public:
  // A tape that no thread uses; a new one if there is none.
  class Borrowed {
   public:
    explicit Borrowed(TapePool& pool) : pool_(pool) {
      const std::lock_guard lock(pool.mutex_);
      if (pool.free_.empty()) {
        pool.tapes_.push_back(std::make_unique<Tape<T>>());
        pool.free_.reserve(pool.tapes_.size());
        tape_ = pool.tapes_.back().get();
      } else {
        tape_ = pool.free_.back();
        pool.free_.pop_back();
      }
    }
    ~Borrowed() {
      const std::lock_guard lock(pool_.mutex_);
      pool_.free_.push_back(tape_);
    }
    Borrowed(const Borrowed&) = delete;
    Borrowed& operator=(const Borrowed&) = delete;
    Tape<T>& operator*() const { return *tape_; }

   private:
    TapePool& pool_;
    Tape<T>* tape_;
  };

  // Of all tapes; while none of them runs.
  TapeMemory memory() const {
    TapeMemory all;
    for (const auto& tape : tapes_) all.add(tape->memory());
    return all;
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Tape<T>>> tapes_;
  std::vector<Tape<T>*> free_;
};

}  // namespace anther::inline v0_1
