// The order of a map's axes: PyTorch's NCHW and the engine's NHWC.
#pragma once

#include <array>

#include "anther/core/tensor.hpp"

// Axis i of the result is x's axis axes[i].
template <class T>
anther::Tensor<T> permuted(const anther::Tensor<T>& x, const std::array<int, 4>& axes) {
  const anther::Shape& s = x.shape();
  anther::detail::check(s.rank() == 4, "expected a map, got ", s);
  const std::int64_t step[4] = {s[1] * s[2] * s[3], s[2] * s[3], s[3], 1};
  anther::Tensor<T> y({s[axes[0]], s[axes[1]], s[axes[2]], s[axes[3]]});
  const anther::Shape& to = y.shape();
  T* out = y.data();
  for (std::int64_t a = 0; a < to[0]; ++a)
    for (std::int64_t b = 0; b < to[1]; ++b)
      for (std::int64_t c = 0; c < to[2]; ++c)
        for (std::int64_t d = 0; d < to[3]; ++d)
          *out++ = x[a * step[axes[0]] + b * step[axes[1]] + c * step[axes[2]] + d * step[axes[3]]];
  return y;
}

template <class T>
anther::Tensor<T> nhwc_of(const anther::Tensor<T>& nchw) {
  return permuted(nchw, {0, 2, 3, 1});
}
template <class T>
anther::Tensor<T> nchw_of(const anther::Tensor<T>& nhwc) {
  return permuted(nhwc, {0, 3, 1, 2});
}
