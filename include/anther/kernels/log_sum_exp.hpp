// The logarithm of a sum of powers: log_sum_exp_row, a body that losses and log_softmax share.
#pragma once

#include <cmath>
#include <cstdint>

#include "anther/kernels/vec.hpp"

namespace anther::inline v0_1::kernels {
#define ANTHER_BODY "anther/kernels/log_sum_exp.inl"
#include "anther/kernels/for_each_isa.inl"
}  // namespace anther::inline v0_1::kernels
