#include "anther/kernels/rms_norm.hpp"

#include <doctest/doctest.h>

#include "tests/kernels/flat_reference.hpp"

namespace rms_norm_test {

using namespace flat_test;
using namespace anther::kernels;

TEST_CASE_TEMPLATE("RMSNorm agrees with plain loops", T, float, double) {
  for (const std::int64_t channels : {1, 3, 8, 17, 36, 72, 384, 20000})
    for (const std::int64_t rows : {0, 1, 7, 61, 900}) {
      if (rows * channels > 200'000) continue;
      const bool affine = rows % 2 == 1;
      CAPTURE(channels);
      CAPTURE(rows);
      const RMSNormDims d{rows, channels, 1e-3};
      const auto x = random_values<T>("x", rows * channels, 2);
      const auto dy = random_values<T>("dy", rows * channels);
      const auto weight = random_values<T>("weight", channels);
      const T* const w = affine ? weight.data() : nullptr;
      std::vector<double> y(x.size()), dx(x.size()), dweight(size_of(channels), 1);
      for (std::int64_t r = 0; r < rows; ++r) {
        long double square = 0, dot = 0;
        const auto at = [&](std::int64_t c) { return size_of(r * channels + c); };
        const auto g = [&](std::int64_t c) {
          return static_cast<long double>(dy[at(c)]) *
                 (affine ? static_cast<long double>(weight[size_of(c)]) : 1);
        };
        for (std::int64_t c = 0; c < channels; ++c) {
          const auto value = static_cast<long double>(x[at(c)]);
          square += value * value / static_cast<long double>(channels);
          dot += g(c) * value / static_cast<long double>(channels);
        }
        const long double rstd = 1 / std::sqrt(square + 1e-3L);
        for (std::int64_t c = 0; c < channels; ++c) {
          const auto value = static_cast<long double>(x[at(c)]);
          y[at(c)] = static_cast<double>(
              value * rstd * (affine ? static_cast<long double>(weight[size_of(c)]) : 1));
          dx[at(c)] = static_cast<double>(rstd * (g(c) - value * rstd * rstd * dot));
          dweight[size_of(c)] +=
              static_cast<double>(static_cast<long double>(dy[at(c)]) * value * rstd);
        }
      }
      Output<T> out(rows * channels), rstd(rows), in_place(x);
      rms_norm_forward(out.data(), rstd.data(), x.data(), w, d);
      CHECK(distance(out.values(), y) < tolerance<T>(40));
      rms_norm_forward(in_place.data(), rstd.data(), in_place.data(), w, d);
      CHECK(in_place.values() == out.values());
      Output<T> workspace(rms_norm_workspace(d));
      check_backward<T>(dx, tolerance<T>(60), [&](T* to, const T* add) {
        Output<T> dw(std::vector<T>(size_of(channels), T(1)));
        rms_norm_backward<T>({to, add, dw.data(), dy.data(), x.data(), rstd.data(), w},
                             workspace.data(), d);
        CHECK(distance(dw.values(), dweight) < tolerance<T>(100));
      });
    }
}

TEST_CASE("RMSNorm with several threads") {
  const RMSNormDims d{3000, 72, 1e-6};
  const auto x = random_values<float>("x", d.rows * d.channels);
  check_threads([&] {
    std::vector<float> y(x.size()), dx(x.size()), rstd(size_of(d.rows)), dweight(72);
    std::vector<float> workspace(size_of(rms_norm_workspace(d)));
    rms_norm_forward<float>(y.data(), rstd.data(), x.data(), nullptr, d);
    rms_norm_backward<float>(
        {dx.data(), nullptr, dweight.data(), y.data(), x.data(), rstd.data(), nullptr},
        workspace.data(), d);
    y.insert(y.end(), dx.begin(), dx.end());
    y.insert(y.end(), dweight.begin(), dweight.end());
    return y;
  });
}

}  // namespace rms_norm_test
