// A forward pass of a model in evaluation that runs shapes only. Summaries, exports and plans walk
// over one.
#pragma once

#include "anther/autograd/tape.hpp"
#include "anther/nn/module.hpp"

namespace anther::inline v0_1 {

template <class T>
struct DryRun {
  // shape: of the input, including its batch. amp: as in TapeOptions.
  DryRun(const Module<T>& model, const Shape& shape, Profile* profile = nullptr, Amp amp = {}) {
    tape.begin(
        {.training = false, .backward = false, .dry_run = true, .amp = amp, .profile = profile});
    input = tape.input(shape);
    output = tape.floats_of(model(input));
  }

  Tape<T> tape;
  Variable<T> input, output;
};

// Whether training takes batches of two samples and more, but none of a single one: BatchNorm on a
// map of 1 x 1 would see one value a channel. sample: the shape of one sample.
template <class T>
bool needs_two_samples(const Module<T>& model, const Shape& sample) {
  if (!model.store().couples_samples()) return false;
  const auto takes = [&](std::int64_t samples) {
    Shape shape{samples};
    for (int axis = 0; axis < sample.rank(); ++axis) shape.push_back(sample[axis]);
    try {
      Tape<T> tape;
      tape.begin({.training = true, .backward = false, .dry_run = true});
      model(tape.input(shape));
      return true;
    } catch (const Error&) {
      return false;
    }
  };
  return !takes(1) && takes(2);
}

}  // namespace anther::inline v0_1
