#include "anther/optim/clip_grad.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "anther/core/random.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

using namespace anther;
using namespace anther::kernels;

TEST_CASE("clip: the norm over all gradients, of many blocks and a tail") {
  for (const std::int64_t size : {1, 7, 1000, 100'003}) {
    std::vector<float> gradients(static_cast<std::size_t>(size));
    double sum = 0;
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      gradients[i] = static_cast<float>(normal(RandomKey(1), i));
      sum += static_cast<double>(gradients[i]) * static_cast<double>(gradients[i]);
    }
    GradientNorm<float> norm(size);
    CHECK(norm(gradients) == doctest::Approx(std::sqrt(sum)).epsilon(1e-6));
    CHECK(norm(gradients) == norm(gradients));
  }
  CHECK(contains(error_of([] { GradientNorm<float>(10)(std::vector<float>(100'000)); }),
                 "another size"));
}

TEST_CASE("clip: torch.nn.utils.clip_grad_norm_'s factor") {
  CHECK(clip_scale(10, 2) == 2 / (10 + 1e-6));
  CHECK(clip_scale(2, 10) == 1);
  CHECK(clip_scale(0, 1) == 1);
  CHECK(clip_scale(1e6, 0) == 1);  // off
  CHECK(std::isnan(clip_scale(std::numeric_limits<double>::quiet_NaN(), 1)));
  CHECK(clip_scale(std::numeric_limits<double>::infinity(), 1) == 0);
  // Clipped gradients have the norm that was asked for.
  std::vector<double> gradients = {3, -4, 12};
  GradientNorm<double> norm(3);
  const double scale = clip_scale(norm(gradients), 1);
  for (double& g : gradients) g *= scale;
  CHECK(norm(gradients) == doctest::Approx(1).epsilon(1e-6));
}

}  // namespace
