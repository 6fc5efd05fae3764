// A value on a tape.
#pragma once

#include <cstdint>
#include <span>

#include "anther/core/check.hpp"
#include "anther/core/shape.hpp"

namespace anther::inline v0_1 {

template <class T>
class Tape;

// A handle that can be copied freely. It is valid until the pass that made it ends.
template <class T>
class Variable {
 public:
  Variable() = default;

  // Whether it is a value. An empty variable stands for an absent input.
  explicit operator bool() const { return tape_ != nullptr; }

  Tape<T>& tape() const {
    detail::check(tape_ != nullptr, "variable: empty, not the result of an op or of Tape::input");
    return *tape_;
  }
  // A copy: what is recorded later may move the tape's own.
  Shape shape() const { return tape().shape(*this); }
  // The elements, row-major.
  std::span<const T> value() const { return tape().value(*this); }
  // The elements of a value that holds integers.
  std::span<const std::int32_t> integers() const { return tape().integers_of(*this); }
  // After Tape::backward: the gradient of a parameter, or of an input that asked for one.
  std::span<const T> gradient() const { return tape().gradient(*this); }
  // The only element of a scalar.
  T item() const {
    detail::check(shape().numel() == 1, "item: expected one element, got the shape ", shape());
    return value()[0];
  }

 private:
  friend class Tape<T>;
  Variable(Tape<T>* tape, int id, std::uint32_t generation)
      : tape_(tape), id_(id), generation_(generation) {}

  Tape<T>* tape_ = nullptr;
  int id_ = -1;
  std::uint32_t generation_ = 0;
};

}  // namespace anther::inline v0_1
