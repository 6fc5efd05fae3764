// Results that are stored past the caches are, bit for bit, those of parts too small for that.
#include "anther/kernels/stream.hpp"
#include "anther/kernels/pointwise.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

#include "anther/core/tensor.hpp"
#include "anther/kernels/elementwise.hpp"
#include "anther/kernels/gelu.hpp"
#include "anther/kernels/group_norm.hpp"
#include "anther/kernels/layer_norm.hpp"
#include "anther/kernels/softmax.hpp"
#include "tests/kernels/flat_reference.hpp"

namespace stream_test {

using namespace flat_test;

constexpr std::int64_t parts = 4;

// Each op on `samples` samples of `size` elements: at once, and by parts. offset: of all arrays
// from a line of the cache, in elements.
template <class T>
struct Large {
  std::int64_t samples, size, offset;
  std::vector<T> a = aligned("a"), b = aligned("b"), add = aligned("add"), whole = aligned("none"),
                 cut = aligned("none");
  std::int64_t count() const { return samples * size; }

  std::vector<T> aligned(const char* name) const {
    const std::vector<T> some = random_values<T>(name, 4099);
    std::vector<T> all(size_of(samples * size + 64));
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = some[i % some.size()];
    return all;
  }
  T* at(std::vector<T>& values, std::int64_t i = 0) const {
    T* line = values.data();
    while (reinterpret_cast<std::uintptr_t>(line) % 64 != 0) ++line;
    return line + offset + i;
  }

  // op(y, add, a, b, samples, first sample)
  template <class Op>
  void check(const char* name, const Op& op) {
    CAPTURE(std::string(name));
    REQUIRE(anther::kernels::is_streamed<T>(count()));
    REQUIRE_FALSE(anther::kernels::is_streamed<T>(count() / parts));
    op(at(whole), at(add), at(a), at(b), samples, std::int64_t{0});
    for (std::int64_t part = 0; part < parts; ++part) {
      const std::int64_t first = samples * part / parts, here = samples / parts;
      const std::int64_t i = first * size;
      op(at(cut, i), at(add, i), at(a, i), at(b, i), here, first);
    }
    CHECK(std::memcmp(at(whole), at(cut), size_of(count()) * sizeof(T)) == 0);
    std::fill(whole.begin(), whole.end(), T(7));
    // In place: the result may be what is read.
    std::memcpy(at(whole), at(a), size_of(count()) * sizeof(T));
    op(at(whole), at(add), at(whole), at(b), samples, std::int64_t{0});
    CHECK(std::memcmp(at(whole), at(cut), size_of(count()) * sizeof(T)) == 0);
  }
};

template <class T>
void check_streams(std::int64_t offset) {
  using namespace anther;
  using namespace anther::detail;
  using namespace anther::kernels;
  CAPTURE(offset);
  const std::int64_t channels = 36, rows = 1024, size = channels * rows;
  Large<T> large{
      .samples = (streamed_bytes / static_cast<std::int64_t>(sizeof(T)) / size / parts + 1) * parts,
      .size = size,
      .offset = offset};
  const std::vector<T> weight = random_values<T>("weight", channels),
                       bias = random_values<T>("bias", channels);
  const T *w = weight.data(), *shift = bias.data();
  std::vector<T> mean(size_of(large.samples * rows * 2)), rstd(mean.size());

  large.check("gelu_backward", [&](T* y, T* add, T* a, T* b, std::int64_t n, std::int64_t) {
    gelu_backward(y, add, a, b, n * size);
  });
  large.check("relu_forward", [&](T* y, T*, T* a, T*, std::int64_t n, std::int64_t) {
    pointwise_forward<T, Pointwise::relu>(y, a, n * size);
  });
  large.check("relu_backward", [&](T* y, T* add, T* a, T* b, std::int64_t n, std::int64_t) {
    pointwise_backward<T, Pointwise::relu>(y, add, a, b, n * size);
  });
  large.check("add",
              [&](T* y, T*, T* a, T* b, std::int64_t n, std::int64_t) { add(y, a, b, n * size); });
  large.check("scale", [&](T* y, T* y_add, T* a, T*, std::int64_t n, std::int64_t) {
    scale(y, y_add, a, T(0.7), n * size);
  });
  large.check("softmax_forward", [&](T* y, T*, T* a, T*, std::int64_t n, std::int64_t) {
    const std::int64_t columns = 2 * channels;
    softmax_forward(y, a, {n * size / columns, columns, columns, columns, 0.5});
  });
  large.check("softmax_backward", [&](T* y, T* add, T* a, T* b, std::int64_t n, std::int64_t) {
    const std::int64_t columns = 2 * channels;
    softmax_backward(y, add, a, b, {n * size / columns, columns, columns, columns, 0.5});
  });
  large.check("layer_norm_forward", [&](T* y, T*, T* a, T*, std::int64_t n, std::int64_t first) {
    layer_norm_forward(y, mean.data() + 2 * first * rows, rstd.data() + first * rows, a, w, shift,
                       {n * rows, channels});
  });
  large.check(
      "layer_norm_backward", [&](T* y, T* dx_add, T* a, T* b, std::int64_t n, std::int64_t first) {
        std::vector<T> workspace(size_of(layer_norm_workspace({n * rows, channels})));
        layer_norm_backward<T>({y, dx_add, nullptr, nullptr, a, b, mean.data() + 2 * first * rows,
                                rstd.data() + first * rows, w},
                               workspace.data(), {n * rows, channels});
      });
  const auto dims = [&](std::int64_t n) { return GroupNormDims{n, rows, channels, 3}; };
  large.check("group_norm", [&](T* y, T*, T* a, T*, std::int64_t n, std::int64_t first) {
    std::vector<T> workspace(size_of(group_norm_workspace(dims(n)))),
        affine(size_of(group_norm_affine_size(dims(n))));
    group_norm_statistics(affine.data(), mean.data() + first * 3, rstd.data() + first * 3, a, w,
                          shift, workspace.data(), dims(n));
    group_norm_rows<T>(y, a, affine.data(), 0, n * rows, dims(n));
  });
  large.check("group_norm_backward",
              [&](T* y, T* dx_add, T* a, T* b, std::int64_t n, std::int64_t first) {
                std::vector<T> workspace(size_of(group_norm_workspace(dims(n))));
                group_norm_backward<T>({y, dx_add, nullptr, nullptr, a, b, mean.data() + first * 3,
                                        rstd.data() + first * 3, w},
                                       workspace.data(), dims(n));
              });
}

TEST_CASE_TEMPLATE("what is stored past the caches has the same bits", T, float, double) {
  for (const std::int64_t offset : {0, 3}) check_streams<T>(offset);
}

// Dense rows, of which a vector may end one and begin the next, and rows apart, which are stored
// one by one.
TEST_CASE("softmax's dense rows have the same bits") {
  for (const std::int64_t columns : {16, 197, 300, 1008, 1031}) {
    CAPTURE(columns);
    const std::int64_t rows = anther::kernels::streamed_bytes / 4 / columns + 5,
                       stride = columns + 1;
    REQUIRE(anther::kernels::is_streamed<float>(rows * columns));
    const auto some = random_values<float>("x", 4099);
    const auto filled = [&](std::int64_t size, std::int64_t distance) {
      anther::AlignedBuffer<float> all(size);
      for (std::int64_t row = 0; row < rows; ++row)
        for (std::int64_t c = 0; c < columns; ++c)
          all[row * distance + c] = some[size_of((row * columns + c) % 4099)];
      return all;
    };
    anther::AlignedBuffer<float> dense = filled(rows * columns, columns);
    anther::AlignedBuffer<float> apart = filled(rows * stride, stride);
    const auto check_same = [&] {
      std::int64_t differing = 0;
      for (std::int64_t row = 0; row < rows; ++row)
        differing += std::memcmp(&dense[row * columns], &apart[row * stride],
                                 size_of(columns) * sizeof(float)) != 0;
      CHECK(differing == 0);
    };
    // In place, and then backward with dy = y = the result, to which it is added.
    anther::kernels::softmax_forward(dense.data(), dense.data(),
                                     {rows, columns, columns, columns, 0.5});
    anther::kernels::softmax_forward(apart.data(), apart.data(),
                                     {rows, columns, stride, stride, 0.5});
    check_same();
    anther::kernels::softmax_backward(dense.data(), dense.data(), dense.data(), dense.data(),
                                      {rows, columns, columns, columns, 0.5});
    anther::kernels::softmax_backward(apart.data(), apart.data(), apart.data(), apart.data(),
                                      {rows, columns, stride, stride, 0.5});
    check_same();
  }
}

// The gradients of weight and bias are added up over pieces as over the whole.
TEST_CASE("LayerNorm's parameters have the same gradients") {
  const std::int64_t channels = 36;
  const std::int64_t rows = anther::kernels::streamed_bytes / 4 / channels + 16;
  REQUIRE(anther::kernels::is_streamed<float>(rows * channels));
  const auto x = random_values<float>("x", rows * channels),
             dy = random_values<float>("dy", rows * channels);
  std::vector<float> y(x.size()), dx(x.size()), mean(size_of(2 * rows)), rstd(size_of(rows)),
      workspace(size_of(anther::kernels::layer_norm_workspace({rows, channels})));
  anther::kernels::layer_norm_forward<float>(y.data(), mean.data(), rstd.data(), x.data(), nullptr,
                                             nullptr, {rows, channels});
  std::vector<float> streamed(size_of(2 * channels)), whole(size_of(2 * channels));
  const auto backward = [&](float* to, std::vector<float>& gradient) {
    anther::kernels::layer_norm_backward<float>(
        {to, nullptr, gradient.data(), gradient.data() + channels, dy.data(), x.data(), mean.data(),
         rstd.data(), nullptr},
        workspace.data(), {rows, channels});
  };
  backward(dx.data(), streamed);
  backward(nullptr, whole);  // without dx nothing is stored past the caches
  CHECK(streamed == whole);
}

}  // namespace stream_test
