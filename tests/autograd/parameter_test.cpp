#include "anther/autograd/parameter_store.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/io/temporary_folder.hpp"

namespace {

using anther::Init;
using anther::PackUse;
using anther::ParameterInfo;
using anther::ParameterOptions;
using anther::ParameterStore;
using anther::Shape;

TEST_CASE("parameters: slices of one aligned buffer, with padding that is zero and uncounted") {
  ParameterStore<float> store;
  std::int64_t count = 0;
  for (const std::int64_t size : {1, 16, 17, 36, 1000}) {
    const int number =
        store.add_parameter(std::to_string(size), {.shape = {size}, .init = Init::normal(1)});
    CHECK(number + 1 == std::ssize(store.parameters()));
    count += size;
  }
  const int buffer = store.add_buffer("running", {.shape = {3}, .init = Init::constant(1)});
  CHECK(store.parameter_count() == count);
  CHECK(store.size() % 16 == 0);

  store.initialize(3);
  CHECK(std::ssize(store.values()) == store.size());
  std::vector<bool> used(static_cast<std::size_t>(store.size()));
  for (int i = 0; i < std::ssize(store.parameters()); ++i) {
    const ParameterInfo& info = store.parameters()[static_cast<std::size_t>(i)];
    const std::span<const float> value = store.value(i);
    CHECK(std::ssize(value) == info.size);
    CHECK(reinterpret_cast<std::uintptr_t>(value.data()) % anther::alignment == 0);
    CHECK(value.data() == store.values().data() + info.offset);
    for (std::int64_t at = info.offset; at < info.offset + info.size; ++at) {
      CHECK_FALSE(used[static_cast<std::size_t>(at)]);  // slices do not overlap
      used[static_cast<std::size_t>(at)] = true;
    }
  }
  for (std::size_t at = 0; at < used.size(); ++at)
    if (!used[at]) CHECK(store.values()[at] == 0);

  // Anything of the same layout has the same slices; buffers are elsewhere.
  std::vector<float> gradients(static_cast<std::size_t>(store.size()));
  CHECK(store.slice_of(std::span(gradients), 2).data() ==
        gradients.data() + store.parameters()[2].offset);
  CHECK(store.buffer(buffer)[2] == 1);
  CHECK(store.buffers()[0].name == "running");
}

TEST_CASE("parameters: names are unique, and a store in use takes no more") {
  ParameterStore<float> store;
  store.add_parameter("a", {.shape = {2}});
  store.add_buffer("b", {.shape = {2}});
  CHECK(contains(error_of([&] { store.add_parameter("a", {.shape = {3}}); }),
                 "parameter a: the model has another of that name"));
  CHECK(contains(error_of([&] { store.add_buffer("a", {.shape = {3}}); }), "another of that name"));
  CHECK(contains(error_of([&] { store.add_parameter("b", {.shape = {3}}); }),
                 "another of that name"));
  CHECK(store.parameters().size() == 1);
  store.values();
  CHECK(contains(error_of([&] { store.add_parameter("c", {.shape = {2}}); }),
                 "parameter c: the store is in use already"));
}

// A depth-wise weight: PyTorch's (C, 1, kh, kw), kept as (kh, kw, C, 1); and a convolution's:
// (O, C, kh, kw), kept as (O, kh, kw, C).
const ParameterOptions depthwise{
    .shape = {2, 3, 5, 1}, .torch_axes = {2, 3, 0, 1}, .torch_order = false};
const ParameterOptions convolution{
    .shape = {4, 2, 3, 5}, .torch_axes = {0, 3, 1, 2}, .torch_order = false};

TEST_CASE("parameters: PyTorch's order, there and back") {
  ParameterStore<float> store;
  store.add_parameter("depthwise", depthwise);
  store.add_parameter("convolution", convolution);
  store.add_parameter("plain", {.shape = {3, 4}});
  const auto& infos = store.parameters();
  CHECK(infos[0].torch_shape() == Shape{5, 1, 2, 3});
  CHECK(infos[1].torch_shape() == Shape{4, 5, 2, 3});
  CHECK(infos[2].torch_shape() == Shape{3, 4});

  // Where PyTorch's element stands, by its four indices; and all are visited, each once.
  const auto check_all = [](const ParameterInfo& info, const auto& index_of) {
    const Shape shape = info.torch_shape();
    std::set<std::int64_t> seen;
    bool right = true;
    std::int64_t next = 0;
    for_each_torch_index(info, [&](std::int64_t torch_index, std::int64_t index) {
      right &= torch_index == next++;
      std::int64_t rest = torch_index, at[4] = {};
      for (int axis = shape.rank() - 1; axis >= 0; --axis) {
        at[axis] = rest % shape[axis];
        rest /= shape[axis];
      }
      right &= index == index_of(at);
      seen.insert(index);
    });
    CHECK(right);
    CHECK(std::ssize(seen) == info.size);
    CHECK(*seen.rbegin() == info.size - 1);
  };
  check_all(infos[0], [](const std::int64_t* at) {  // (c, 0, i, j)
    return (at[2] * 3 + at[3]) * 5 + at[0];
  });
  check_all(infos[1], [](const std::int64_t* at) {  // (o, c, i, j)
    return ((at[0] * 2 + at[2]) * 3 + at[3]) * 5 + at[1];
  });
  check_all(infos[2], [](const std::int64_t* at) { return at[0] * 4 + at[1]; });
}

TEST_CASE("parameters: a start depends on the seed, the name and PyTorch's place alone") {
  const auto options = [](ParameterOptions o) {
    o.init = Init::normal(0.5);
    return o;
  };
  ParameterStore<float> a, b, other;
  a.add_parameter("x", options(convolution));
  a.add_parameter("y", options({.shape = {7}}));
  // The other order, another one between, and PyTorch's own layout.
  b.add_parameter("y", options({.shape = {7}}));
  b.add_parameter("z", options({.shape = {70}}));
  b.add_parameter("x", options({.shape = {4, 5, 2, 3}}));
  a.initialize(5);
  b.initialize(5);
  CHECK(std::ranges::equal(a.value(1), b.value(0)));
  bool same = true;
  for_each_torch_index(a.parameters()[0], [&](std::int64_t torch_index, std::int64_t index) {
    same &= a.value(0)[static_cast<std::size_t>(index)] ==
            b.value(2)[static_cast<std::size_t>(torch_index)];
  });
  CHECK(same);
  CHECK_FALSE(std::ranges::equal(b.value(0), b.value(1).first(7)));  // another name

  other.add_parameter("x", options(convolution));
  other.initialize(6);
  CHECK_FALSE(std::ranges::equal(a.value(0), other.value(0)));  // another seed
  other.initialize(5);
  CHECK(std::ranges::equal(a.value(0), other.value(0)));
}

TEST_CASE("parameters: the distributions of a start") {
  ParameterStore<double> store;
  const Shape shape = {100, 200};
  store.add_parameter("constant", {.shape = shape, .init = Init::constant(-3)});
  store.add_parameter("uniform", {.shape = shape, .init = Init::uniform(0.25)});
  store.add_parameter("normal", {.shape = shape, .init = Init::normal(0.5)});
  store.add_parameter("truncated", {.shape = shape, .init = Init::truncated_normal(1.5)});
  store.add_parameter("nothing", {.shape = shape});
  const int buffer = store.add_buffer("buffer", {.shape = shape, .init = Init::uniform(1)});
  store.initialize(1);

  struct Moments {
    double mean = 0, deviation = 0, greatest = 0;
  };
  const auto moments = [](std::span<const double> x) {
    Moments m;
    for (const double v : x) m.mean += v / static_cast<double>(x.size());
    for (const double v : x) {
      m.deviation += (v - m.mean) * (v - m.mean) / static_cast<double>(x.size());
      m.greatest = std::max(m.greatest, std::abs(v));
    }
    m.deviation = std::sqrt(m.deviation);
    return m;
  };
  CHECK(std::ranges::count(store.value(0), -3.0) == 20'000);
  CHECK(std::ranges::count(store.value(4), 0.0) == 20'000);
  const Moments uniform = moments(store.value(1)), normal = moments(store.value(2)),
                truncated = moments(store.value(3));
  CHECK(std::abs(uniform.mean) < 0.005);
  CHECK(uniform.deviation == doctest::Approx(0.25 / std::sqrt(3)).epsilon(0.02));
  CHECK(uniform.greatest <= 0.25);
  CHECK(uniform.greatest > 0.2499);
  CHECK(std::abs(normal.mean) < 0.02);
  CHECK(normal.deviation == doctest::Approx(0.5).epsilon(0.02));
  // Cut at 4/3 deviations, and drawn again there: 1.5 sqrt(1 - 2 a phi(a) / (2 Phi(a) - 1)).
  CHECK(truncated.greatest <= 2);
  CHECK(truncated.greatest > 1.99);
  CHECK(truncated.deviation == doctest::Approx(1.0299).epsilon(0.02));
  CHECK(moments(store.buffer(buffer)).greatest > 0.99);
}

TEST_CASE("parameters: a packed weight is made anew once the values may have changed") {
  ParameterStore<float> store;
  const std::int64_t columns = 5, depth = 7;
  const int number =
      store.add_parameter("weight", {.shape = {columns, depth}, .init = Init::normal(1)});
  store.initialize(1);
  const anther::kernels::PackOptions forward{
      .columns = columns, .depth = depth, .column_stride = depth, .depth_stride = 1};
  const anther::kernels::PackOptions gradient{
      .columns = depth, .depth = columns, .column_stride = 1, .depth_stride = depth};
  const auto expected = [&](const anther::kernels::PackOptions& pack) {
    std::vector<float> packed(static_cast<std::size_t>(anther::kernels::packed_size<float>(pack)));
    anther::kernels::pack_weight<float>(packed.data(), std::as_const(store).value(number).data(),
                                        pack);
    return packed;
  };
  const auto is_right = [&](const float* packed, const anther::kernels::PackOptions& pack) {
    return std::ranges::equal(std::span(packed, expected(pack).size()), expected(pack));
  };

  const float* first = store.packed(number, PackUse::forward, forward);
  CHECK(is_right(first, forward));
  CHECK(is_right(store.packed(number, PackUse::input_gradient, gradient), gradient));
  // Asking for values leaves it as it is; an edit, however late it writes, does not.
  (void)store.values();
  {
    const auto edit = store.edit();
    const std::span<float> values = edit.value(number);
    (void)store.packed(number, PackUse::forward, forward);
    values[3] = 0.5f;
  }
  CHECK(store.packed(number, PackUse::forward, forward) == first);
  CHECK(is_right(first, forward));
  CHECK(is_right(store.packed(number, PackUse::input_gradient, gradient), gradient));
  store.edit().values()[0] = 100;
  CHECK(is_right(store.packed(number, PackUse::forward, forward), forward));
  store.initialize(2);
  CHECK(is_right(store.packed(number, PackUse::forward, forward), forward));

  // Packed another way it is not what is kept.
  CHECK(store.packed(number, PackUse::forward, gradient) == nullptr);
  store.keep_packed(false);
  CHECK(store.packed(number, PackUse::forward, forward) == nullptr);
  store.keep_packed(true);
  CHECK(is_right(store.packed(number, PackUse::forward, forward), forward));

  // From several threads at once.
  for (int repeat = 0; repeat < 20; ++repeat) {
    store.edit().values()[1] = static_cast<float>(repeat);
    std::vector<std::thread> threads;
    std::atomic<int> right{0};
    for (int t = 0; t < 4; ++t)
      threads.emplace_back(
          [&] { right += is_right(store.packed(number, PackUse::forward, forward), forward); });
    for (std::thread& thread : threads) thread.join();
    CHECK(right == 4);
  }
}

}  // namespace
