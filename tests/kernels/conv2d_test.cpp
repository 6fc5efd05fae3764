#include "anther/kernels/conv2d.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/kernels/depthwise_reference.hpp"

namespace conv2d_test {

using namespace depthwise_test;
using namespace anther::kernels;

// Calls visit(element of y, of x, of the weight) for every product of a convolution.
template <class Visit>
void for_each_conv_product(const Conv2dDims& d, const Visit& visit) {
  const Map in{d.batch, d.height, d.width, d.in_channels};
  const Map out{d.batch, d.out_height(), d.out_width(), d.out_channels};
  for (std::int64_t n = 0; n < d.batch; ++n)
    for (std::int64_t i = 0; i < out.height; ++i)
      for (std::int64_t j = 0; j < out.width; ++j)
        for (std::int64_t o = 0; o < d.out_channels; ++o)
          for (std::int64_t k = 0; k < d.depth(); ++k) {
            const std::int64_t tap = k / d.group_in(), a = tap / d.kernel_width;
            const std::int64_t b = tap % d.kernel_width;
            const std::int64_t there =
                in.at(n, i * d.stride_height + a * d.dilation_height - d.padding_height,
                      j * d.stride_width + b * d.dilation_width - d.padding_width,
                      o / d.group_out() * d.group_in() + k % d.group_in());
            if (there >= 0)
              visit(size_of(out.at(n, i, j, o)), size_of(there), size_of(o * d.depth() + k));
          }
}

template <class T>
std::vector<T> packed_weight(const std::vector<T>& weight, const PackOptions& pack) {
  std::vector<T> packed(size_of(packed_size<T>(pack)));
  pack_weight(packed.data(), weight.data(), pack);
  return packed;
}

template <class T>
struct Results {
  std::vector<T> y, dx, dweight;
};

template <class T>
struct Inputs {
  explicit Inputs(const Conv2dDims& d)
      : x(random_values<T>("x", d.batch * d.height * d.width * d.in_channels)),
        weight(random_values<T>("weight", d.out_channels * d.depth())),
        bias(random_values<T>("bias", d.out_channels)),
        dy(random_values<T>("dy", d.rows() * d.out_channels)),
        y_add(random_values<T>("y_add", d.rows() * d.out_channels)),
        dx_add(random_values<T>("dx_add", d.batch * d.height * d.width * d.in_channels)) {}
  std::vector<T> x, weight, bias, dy, y_add, dx_add;
};

template <class T>
Results<T> run(const Inputs<T>& in, const Conv2dDims& d, Add add) {
  Results<T> r{std::vector<T>(in.dy.size(), T(7)), std::vector<T>(in.x.size(), T(7)),
               std::vector<T>(in.weight.size(), T(2))};
  if (add == Add::in_place) {
    r.y = in.y_add;
    r.dx = in.dx_add;
  }
  const auto added = [&](const std::vector<T>& result, const std::vector<T>& other) {
    return add == Add::null ? nullptr : add == Add::in_place ? result.data() : other.data();
  };
  const std::int64_t threads = anther::available_threads();
  std::vector<T> scratch(size_of(std::max(conv2d_forward_workspace(d, threads),
                                          conv2d_backward_input_workspace(d, threads))),
                         T(7));
  conv2d_forward<T>(r.y.data(), added(r.y, in.y_add), in.x.data(),
                    packed_weight(in.weight, conv2d_pack(d)).data(), in.bias.data(), scratch.data(),
                    d);
  conv2d_backward_input<T>(r.dx.data(), added(r.dx, in.dx_add), in.dy.data(),
                           packed_weight(in.weight, conv2d_input_pack(d)).data(), nullptr,
                           scratch.data(), d);
  std::vector<T> workspace(size_of(conv2d_backward_weight_workspace<T>(d)), T(7));
  conv2d_backward_weight<T>(r.dweight.data(), in.dy.data(), in.x.data(), workspace.data(), d);
  return r;
}

template <class T>
void compare(const Conv2dDims& d) {
  const std::string all =
      d.members([](auto... each) { return (anther::detail::text_of(each, ' ') + ...); });
  CAPTURE(all);
  const Inputs<T> in(d);
  Values y(in.dy.size()), dx(in.x.size()), dweight(in.weight.size(), 2.0L);
  for (std::size_t i = 0; i < y.size(); ++i) y[i] = in.bias[i % size_of(d.out_channels)];
  const auto as = [](T value) { return static_cast<long double>(value); };
  for_each_conv_product(d, [&](std::size_t i, std::size_t j, std::size_t k) {
    y[i] += as(in.x[j]) * as(in.weight[k]);
    dx[j] += as(in.dy[i]) * as(in.weight[k]);
    dweight[k] += as(in.dy[i]) * as(in.x[j]);
  });
  Values y_added = y, dx_added = dx;
  add(y_added, in.y_add);
  add(dx_added, in.dx_add);
  const double bound = sizeof(T) == 4 ? 3e-6 : 1e-14;
  for (const Add add : adds) {
    CAPTURE(static_cast<int>(add));
    const Results<T> r = run(in, d, add);
    CHECK(distance(r.y, add == Add::null ? y : y_added) < bound);
    CHECK(distance(r.dx, add == Add::null ? dx : dx_added) < bound);
    CHECK(distance(r.dweight, dweight) < bound);
  }
}

Conv2dDims dims(std::int64_t batch, std::int64_t size, std::int64_t in, std::int64_t out,
                std::int64_t kernel, std::int64_t stride, std::int64_t padding) {
  return {batch, size, size, in, out, kernel, kernel, stride, stride, padding, padding, 1, 1, 1};
}

TEST_CASE_TEMPLATE("convolution agrees with plain loops", T, float, double) {
  compare<T>(dims(2, 9, 3, 20, 7, 2, 3));    // a stem
  compare<T>(dims(1, 12, 40, 36, 3, 1, 1));  // more than one block of depth
  compare<T>(dims(2, 7, 70, 52, 3, 2, 1));
  compare<T>(dims(3, 8, 12, 17, 2, 2, 0));  // patches that do not overlap
  compare<T>(dims(2, 9, 3, 20, 3, 3, 0));
  compare<T>(dims(2, 8, 3, 20, 3, 3, 0));  // nor cover the map
  compare<T>(dims(2, 7, 20, 24, 1, 2, 0));
  compare<T>(dims(1, 5, 4, 3, 1, 1, 1));   // one tap, and a border
  compare<T>(dims(1, 3, 5, 6, 2, 4, 0));   // pixels that no patch takes
  compare<T>(dims(1, 16, 3, 2, 3, 1, 5));  // patches that are all padding
  compare<T>(dims(1, 66, 2, 3, 2, 1, 0));  // rows that the weight's gradient takes in chunks
}

TEST_CASE_TEMPLATE("convolution by Winograd's way agrees with plain loops", T, float, double) {
  for (const std::int64_t padding : {0, 1, 2}) {
    Conv2dDims d = dims(2, 14, 48, 32, 3, 1, padding);
    d.height = 13;
    REQUIRE(conv2d_winograd(d).pays());
    REQUIRE(conv2d_input_winograd(d).pays());
    compare<T>(d);
    d.in_channels = 64;
    d.out_channels = 128;
    compare<T>(d);
  }
}

TEST_CASE("the weight's gradient by Winograd's way, some tiles at a time") {
  const Conv2dDims d = dims(4, 15, 64, 96, 3, 1, 1);
  REQUIRE(winograd_weight_pays(conv2d_winograd(d)));
  REQUIRE(conv2d_winograd(d).tiles() > winograd_weight_room(conv2d_winograd(d)));
  compare<float>(d);
}

TEST_CASE_TEMPLATE("convolution of any stride, padding, dilation and groups", T, float, double) {
  const auto draw = [](const char* name, std::int64_t i, std::int64_t least, std::int64_t most) {
    const anther::RandomKey key = anther::RandomKey(11).fold(name);
    const double u = anther::uniform(key, static_cast<std::uint64_t>(i));
    return least + static_cast<std::int64_t>(u * static_cast<double>(most - least + 1));
  };
  for (std::int64_t i = 0; i < 60; ++i) {
    Conv2dDims d{};
    d.batch = draw("batch", i, 1, 2);
    d.groups = i % 3 == 0 ? draw("groups", i, 2, 5) : 1;
    d.in_channels = d.groups * draw("in", i, 1, 9);
    d.out_channels = d.groups * draw("out", i, 1, 9);
    d.kernel_height = draw("kernel height", i, 1, 4);
    d.kernel_width = draw("kernel width", i, 1, 4);
    d.stride_height = draw("stride height", i, 1, 4);
    d.stride_width = draw("stride width", i, 1, 4);
    d.padding_height = draw("padding height", i, 0, 3);
    d.padding_width = draw("padding width", i, 0, 3);
    d.dilation_height = i % 2 == 0 ? draw("dilation height", i, 1, 4) : 1;
    d.dilation_width = i % 4 == 0 ? draw("dilation width", i, 1, 4) : 1;
    d.height = std::max(draw("height", i, 1, 9), d.span_height() - 2 * d.padding_height);
    d.width = std::max(draw("width", i, 1, 9), d.span_width() - 2 * d.padding_width);
    compare<T>(d);
  }
}

TEST_CASE("convolution has the same bits for any number of threads") {
  for (Conv2dDims d :
       {dims(4, 40, 6, 8, 3, 1, 1), dims(2, 7, 40, 200, 3, 1, 1), dims(2, 30, 20, 36, 3, 2, 1),
        dims(3, 20, 24, 24, 3, 1, 1), dims(3, 19, 32, 48, 3, 1, 1)}) {
    if (d.in_channels == 24) d.groups = 4;
    const Inputs<float> in(d);
    anther::set_num_threads(1);
    const Results<float> one = run(in, d, Add::null);
    for (const int threads : {2, 3, 7}) {
      anther::set_num_threads(threads);
      const Results<float> many = run(in, d, Add::null);
      CHECK(many.y == one.y);
      CHECK(many.dx == one.dx);
      CHECK(many.dweight == one.dweight);
    }
  }
  anther::set_num_threads(0);
}

}  // namespace conv2d_test
