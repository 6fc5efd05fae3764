// A forward pass of a model in evaluation that runs shapes only. Summaries, exports and plans walk
// over one.
#pragma once

#include "anther/autograd/tape.hpp"
#include "anther/nn/module.hpp"

namespace anther::inline v0_1 {

template <class T>
struct DryRun {
  // shape: of the input, including its batch.
  DryRun(const Module<T>& model, const Shape& shape, Profile* profile = nullptr) {
    tape.begin({.training = false, .backward = false, .dry_run = true, .profile = profile});
    input = tape.input(shape);
    output = model(input);
  }

  Tape<T> tape;
  Variable<T> input, output;
};

}  // namespace anther::inline v0_1
