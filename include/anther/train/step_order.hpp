// The order in which a trainer is called: begin_step(), add() for each part of the batch,
// finish_step().
#pragma once

#include "anther/core/check.hpp"

namespace anther::inline v0_1 {

// Throws where a call comes out of order, or after an add() that has thrown: what the step has
// gathered by then is a part of it.
class StepOrder {
 public:
  void begin() { state_ = State::open; }
  void begin_add() {
    check_open("add");
    state_ = State::failed;  // unless it comes to its end
  }
  void end_add() { state_ = State::open; }
  void finish() {
    check_open("finish_step");
    state_ = State::finished;
  }

 private:
  enum class State { none, open, failed, finished };
  void check_open(const char* call) const {
    detail::check(state_ != State::failed, call,
                  ": an add() of this step has thrown; begin another step");
    detail::check(state_ == State::open, call, ": expected begin_step() first");
  }

  State state_ = State::none;
};

}  // namespace anther::inline v0_1
