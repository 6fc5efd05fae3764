// What layers with a weight and a bias require of them.
#pragma once

#include <cstdint>

#include "anther/autograd/tape.hpp"

namespace anther::inline v0_1 {

// Throws unless bias is empty or (channels).
template <class T>
void check_bias(Tape<T>& tape, const Variable<T>& bias, std::int64_t channels) {
  if (bias)
    tape.check(bias.shape() == Shape{channels}, "expected a bias of the shape ", Shape{channels},
               ", got ", bias.shape());
}

// Throws unless weight and bias are empty, or have one element for each channel.
template <class T>
void check_affine(Tape<T>& tape, const Variable<T>& weight, const Variable<T>& bias,
                  std::int64_t channels) {
  if (weight)
    tape.check(weight.shape() == Shape{channels}, "expected ", weight.shape().numel(),
               " channels, as the weight has, got ", channels);
  check_bias(tape, bias, channels);
}

}  // namespace anther::inline v0_1
