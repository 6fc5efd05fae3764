// How images of a batch are mixed with one another; mix.hpp does it.
#pragma once

#include "anther/core/check.hpp"

namespace anther::inline v0_1::vision {

// timm's names and values.
struct MixOptions {
  double mixup = 0;   // alpha: the share of an image is drawn from Beta(alpha, alpha); 0: off
  double cutmix = 0;  // the same for cutmix
  double prob = 1;    // that a pair is mixed at all
  double switch_prob = 0.5;  // of cutmix, where both are on

  bool on() const { return (mixup > 0 || cutmix > 0) && prob > 0; }

  void validate() const {
    detail::check(mixup >= 0 && mixup <= 1000, "mixup: expected an alpha of 0 to 1000, got ",
                  mixup);
    detail::check(cutmix >= 0 && cutmix <= 1000, "cutmix: expected an alpha of 0 to 1000, got ",
                  cutmix);
    detail::check(prob >= 0 && prob <= 1, "mixup_prob: expected 0 to 1, got ", prob);
    detail::check(switch_prob >= 0 && switch_prob <= 1, "mixup_switch_prob: expected 0 to 1, got ",
                  switch_prob);
  }

  friend bool operator==(const MixOptions&, const MixOptions&) = default;
};

}  // namespace anther::inline v0_1::vision
