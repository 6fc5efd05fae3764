// Numbers from the gamma and the beta distribution, by counter like those of random.hpp.
//
// Gamma: Marsaglia and Tsang, "A simple method for generating gamma variables", 2000; below a shape
// of 1, the number for shape + 1 times u^(1 / shape). Beta(a, b) is x / (x + y) with x from gamma
// a and y from gamma b; by logarithms, as x and y may both be too small for a double.
#pragma once

#include <cmath>
#include <cstdint>

#include "anther/core/random.hpp"

namespace anther::inline v0_1 {

// The logarithm of a key's number from the gamma distribution with this shape (above 0), scale 1.
inline double log_gamma_variate(RandomKey key, double shape) {
  if (shape < 1) {
    const double u = 1 - uniform(key.fold("boost"), 0);  // in (0, 1]
    return log_gamma_variate(key, shape + 1) + std::log(u) / shape;
  }
  const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (std::uint64_t i = 0;; ++i) {
    const double x = normal(key, i);
    const double v = std::pow(1 + c * x, 3);
    if (v <= 0) continue;
    const double u = 1 - uniform(key, i);
    if (std::log(u) < 0.5 * x * x + d - d * v + d * std::log(v)) return std::log(d * v);
  }
}

// A key's number from Beta(a, b), a and b above 0: between 0 and 1.
inline double beta_variate(RandomKey key, double a, double b) {
  const double x = log_gamma_variate(key.fold("a"), a), y = log_gamma_variate(key.fold("b"), b);
  // Too small for logarithms, too: the number is at one of the ends.
  if (std::isinf(x) && std::isinf(y)) return uniform(key.fold("end"), 0) < a / (a + b) ? 1 : 0;
  return 1 / (1 + std::exp(y - x));
}

}  // namespace anther::inline v0_1
