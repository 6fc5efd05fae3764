// Whether a pass is one of mixed precision (TapeOptions::amp).
#pragma once

#include <concepts>

#include "anther/kernels/use_bf16.hpp"

namespace anther::inline v0_1 {

// A bool. A program that never makes one from a bool has no passes in bfloat16, and does not
// compile the kernels for them.
class Amp {
 public:
  constexpr Amp() = default;
  template <std::same_as<bool> Bool>
  Amp(Bool on) : on_(on) {  // NOLINT: .amp = true
    if (on) kernels::use_bf16<float>();
  }
  constexpr operator bool() const { return on_; }  // NOLINT

 private:
  bool on_ = false;
};

}  // namespace anther::inline v0_1
