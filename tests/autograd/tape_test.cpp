#include "anther/autograd/tape.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "anther/autograd/gradient_check.hpp"
#include "anther/nn/linear.hpp"
#include "anther/nn/module.hpp"
#include "anther/ops/activation.hpp"
#include "anther/ops/arithmetic.hpp"
#include "anther/ops/conv2d.hpp"
#include "anther/ops/dropout.hpp"
#include "anther/ops/linear.hpp"
#include "anther/ops/norm.hpp"
#include "anther/ops/pointwise.hpp"
#include "anther/ops/reduce.hpp"
#include "anther/optim/adam.hpp"
#include "tests/io/temporary_folder.hpp"
#include "tests/random_tensor.hpp"

namespace {

using namespace anther;
using namespace anther::detail;
using namespace anther::kernels;

// y = x^2, so that a gradient depends on where it is taken.
template <class T>
inline constexpr Op<T> squared_op = {
    .name = "square",
    .forward =
        [](Call<T>& call) {
          for (std::int64_t i = 0; i < call.output_shape().numel(); ++i)
            call.output()[i] = call.input(0)[i] * call.input(0)[i];
        },
    .backward =
        [](Call<T>& call) {
          const auto dx = call.input_gradient(0);
          for (std::int64_t i = 0; dx && i < call.output_shape().numel(); ++i)
            dx.to[i] =
                (dx.add ? dx.add[i] : T(0)) + 2 * call.input(0)[i] * call.output_gradient()[i];
        },
};
template <class T>
Variable<T> squared(const Variable<T>& x) {
  return x.tape().apply(squared_op<T>, 0, {x}, x.shape());
}

// ---- Lazy results ------------------------------------------------------------------------------

// y = linear(gelu(x)), its value and gradients; gelu's result stored or not.
struct LazyRun {
  std::vector<float> y, dx, dweight;
};
LazyRun run_lazy(bool stored, std::int64_t rows) {
  Tape<float> tape;
  tape.begin();
  const Variable<float> x = tape.input(random_tensor<float>({rows, 20}, 1), true),
                        weight = tape.input(random_tensor<float>({24, 20}, 2), true);
  const Variable<float> g = gelu(x);
  if (stored) g.value();
  const Variable<float> y = linear(g, weight);
  LazyRun run{copy_of(y.value()), {}, {}};
  const Tensor<float> weights = random_tensor<float>(y.shape(), 3);
  tape.backward(weighted_sum<float>(y, weights.span()));
  run.dx = copy_of(x.gradient());
  run.dweight = copy_of(weight.gradient());
  return run;
}

TEST_CASE("variable: its shape stays, whatever is recorded later") {
  Tape<float> tape;
  tape.begin();
  const Variable<float> x = tape.input(Tensor<float>({2, 3}));
  const Shape& shape = x.shape();
  Variable<float> y = x;
  for (int i = 0; i < 1000; ++i) y = squared(y);
  CHECK(shape == Shape{2, 3});
}

TEST_CASE("tape: a lazy result has the bits of a stored one, with any number of threads") {
  for (const std::int64_t rows : {1, 95, 96, 1000}) {
    CAPTURE(rows);
    const LazyRun stored = run_lazy(true, rows);
    for (const int threads : {1, 3}) {
      set_num_threads(threads);
      const LazyRun lazy = run_lazy(false, rows);
      CHECK(lazy.y == stored.y);
      CHECK(lazy.dx == stored.dx);
      CHECK(lazy.dweight == stored.dweight);
    }
    set_num_threads(0);
  }
}

TEST_CASE("tape: the gradient of a lazy result that another op reads as a whole, before or after") {
  ParameterStore<double> store;
  const Linear<double> fc(store, 20, 7);
  store.initialize(3);
  std::vector<double> x(50 * 20);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = normal(RandomKey(1), i);
  std::vector<double> dx[4];  // of the linear layer's sum, of the other, of both, in either order
  for (const int which : {0, 1, 2, 3}) {
    Tape<double> tape;
    tape.begin();
    const Variable<double> in = tape.input({50, 20}, x, true), y = gelu(in);
    const auto first = [&] { return sum(fc(y)); };
    const auto second = [&] { return sum(y * y); };
    Variable<double> loss = which == 1 || which == 3 ? second() : first();
    if (which == 2) loss = loss + second();
    if (which == 3) loss = loss + first();
    tape.zero_gradients();
    tape.backward(loss);
    const auto gradient = tape.gradient(in);
    dx[which].assign(gradient.begin(), gradient.end());
  }
  for (std::size_t i = 0; i < x.size(); ++i)
    for (const int which : {2, 3})
      CHECK(dx[which][i] == doctest::Approx(dx[0][i] + dx[1][i]).epsilon(1e-12));
}

TEST_CASE("tape: a lazy result takes no memory unless something reads it as a whole") {
  const auto memory = [](bool whole) {
    Tape<float> tape;
    tape.begin();
    const Variable<float> x = tape.input(Tensor<float>({4096, 64}), true),
                          weight = tape.input(Tensor<float>({1, 64}));
    const Variable<float> g = gelu(x);
    linear(g, weight);
    if (whole) CHECK(g.value().size() == 4096 * 64);
    return tape.memory_bytes();
  };
  CHECK(memory(true) >= memory(false) + 4096 * 64 * 4);
}

// y = squared(relu(batch_norm(x))) + the result again: a chain of cheap lazy results that two ops
// read whole, one of them twice.
struct CheapRun {
  std::vector<double> y, dx, dweight;
  std::int64_t bytes = 0;
};
CheapRun run_cheap(bool stored, const Shape& shape) {
  Tape<double> tape;
  tape.begin({.training = true});
  const Variable<double> x = tape.input(random_tensor<double>(shape, 1), true),
                         weight = tape.input(random_tensor<double>({shape.back()}, 2), true),
                         bias = tape.input(random_tensor<double>({shape.back()}, 3), true);
  const Variable<double> n = batch_norm<double>(x, weight, bias, {}, {});
  if (stored) n.value();
  const Variable<double> r = relu(n);
  if (stored) r.value();
  const Variable<double> y = squared(r) + r;
  CheapRun run{copy_of(y.value()), {}, {}, 0};
  const Tensor<double> weights = random_tensor<double>(shape, 4);
  tape.backward(weighted_sum<double>(y, weights.span()));
  run.dx = copy_of(x.gradient());
  run.dweight = copy_of(weight.gradient());
  run.bytes = tape.memory_bytes();
  return run;
}

TEST_CASE("tape: cheap lazy results are computed for each reader, with the same bits") {
  // Rows of one, some and so many elements that a tile of rows has room for none.
  for (const Shape& shape : {Shape{3000, 1}, Shape{500, 24}, Shape{3, 9000}}) {
    CAPTURE(shape);
    const CheapRun stored = run_cheap(true, shape);
    for (const int threads : {1, 3}) {
      set_num_threads(threads);
      const CheapRun lazy = run_cheap(false, shape);
      CHECK(lazy.y == stored.y);
      CHECK(lazy.dx == stored.dx);
      CHECK(lazy.dweight == stored.dweight);
    }
    set_num_threads(0);
  }
}

// A depth-wise convolution of relu6(batch_norm(x)), of hardswish(x), of batch_norm(x) or, not
// cheap, of group_norm(x); they are stored or not.
LazyRun run_depthwise(bool stored, int which, std::int64_t stride) {
  Tape<float> tape;
  tape.begin({.training = true});
  const Variable<float> x = tape.input(random_tensor<float>({2, 40, 37, 24}, 1), true),
                        weight = tape.input(random_tensor<float>({3, 3, 24}, 2), true);
  const auto keep = [&](const Variable<float>& value) {
    if (stored) value.value();
    return value;
  };
  const auto normed = [&] { return keep(batch_norm<float>(x, {}, {}, {}, {})); };
  const Variable<float> lazy = which == 0   ? keep(relu6(normed()))
                               : which == 1 ? keep(hardswish(x))
                               : which == 2 ? normed()
                                            : keep(group_norm<float>(x, 6));
  const Variable<float> y =
      depthwise_conv2d<float>(lazy, weight, {}, {.stride = stride, .padding = 1});
  LazyRun run{copy_of(y.value()), {}, {}};
  const Tensor<float> weights = random_tensor<float>(y.shape(), 3);
  tape.backward(weighted_sum<float>(y, weights.span()));
  run.dx = copy_of(x.gradient());
  run.dweight = copy_of(weight.gradient());
  return run;
}

TEST_CASE(
    "tape: a depth-wise convolution of a lazy result has the bits of one of a stored result") {
  for (const int which : {0, 1, 2, 3})
    for (const std::int64_t stride : {1, 2}) {
      CAPTURE(which);
      CAPTURE(stride);
      const LazyRun stored = run_depthwise(true, which, stride);
      for (const int threads : {1, 3}) {
        set_num_threads(threads);
        const LazyRun lazy = run_depthwise(false, which, stride);
        CHECK(lazy.y == stored.y);
        CHECK(lazy.dx == stored.dx);
        CHECK(lazy.dweight == stored.dweight);
      }
      set_num_threads(0);
    }
}

TEST_CASE("tape: lazy results without channels, and the gradients of what reads them") {
  for (const int threads : {1, 3})
    for (const bool amp : {false, true}) {
      set_num_threads(threads);
      Tape<float> tape;
      tape.begin({.amp = amp});
      const Variable<float> x = tape.input(Tensor<float>({10, 0}), true);
      const Variable<float> map = tape.input(Tensor<float>({2, 5, 5, 0}), true);
      const Variable<float> fc = linear(relu(x), tape.input(Tensor<float>({4, 0}), true));
      const Variable<float> other = linear(gelu(x), tape.input(Tensor<float>({4, 0}), true));
      const Variable<float> conv = conv2d(relu(map), tape.input(Tensor<float>({4, 3, 3, 0}), true));
      const Variable<float> first = sum(fc) + sum(other);
      const Variable<float> loss = first + sum(conv);
      CHECK(loss.item() == 0);
      tape.backward(loss);
      CHECK(x.gradient().empty());
      CHECK(map.gradient().empty());
    }
  set_num_threads(0);
}

TEST_CASE("tape: a lazy result that a depth-wise convolution reads, and something else too") {
  // x + dw(x), which adds to what it reads, and y * y beside dw(y).
  for (const bool cheap : {false, true}) {
    std::vector<float> y[2], dx[2];
    for (const bool stored : {false, true}) {
      Tape<float> tape;
      tape.begin();
      const Variable<float> in = tape.input(random_tensor<float>({2, 9, 8, 12}, 1), true),
                            weight = tape.input(random_tensor<float>({3, 3, 12}, 2), true);
      const Variable<float> lazy = cheap ? relu(in) : group_norm<float>(in, 3);
      if (stored) lazy.value();
      const Variable<float> sum_of_both =
          lazy + depthwise_conv2d<float>(lazy, weight, {}, {.padding = 1});
      const Variable<float> squares = squared(sum_of_both);
      const Variable<float> others = lazy * lazy;
      const Variable<float> all = squares + others;
      y[stored] = copy_of(all.value());
      tape.backward(sum(all));
      dx[stored] = copy_of(in.gradient());
    }
    CHECK(y[0] == y[1]);
    CHECK(dx[0] == dx[1]);
  }
}

TEST_CASE("tape: readers of cheap lazy results share the memory that they compute them in") {
  const auto memory = [](bool stored, int readers) {
    Tape<float> tape;
    tape.begin();
    const auto pass = [&] {
      tape.begin();
      Variable<float> x = tape.input(Tensor<float>({4096, 64}), true);
      for (int i = 0; i < readers; ++i) {
        const Variable<float> r = relu(x);
        if (stored) r.value();
        x = squared(r);
      }
    };
    pass();
    pass();  // in one block
    return tape.memory_bytes();
  };
  constexpr std::int64_t size = 4096 * 64 * 4;
  const std::int64_t more = memory(false, 12) - memory(false, 8);
  CHECK(more >= 4 * size);
  CHECK(more < 5 * size);
  CHECK(memory(true, 12) - memory(true, 8) >= 8 * size);
}

// ---- x + op(x) in one pass --------------------------------------------------------------------

using Branch = std::function<Variable<float>(Tape<float>&, const Variable<float>& x)>;

// Value and gradients of x + branch(x) (or branch(x) + x), merged or not.
struct Residual {
  std::int64_t passes = 0;  // over memory: of ops, and of additions that are not merged
  std::vector<float> value, x_gradient;
  std::vector<std::vector<float>> gradients;  // of the branch's other inputs
};
Residual run_residual(const Branch& branch, const Shape& shape, bool merged, bool branch_first) {
  Tape<float> tape;
  tape.begin({.random = RandomKey(3)});
  const Variable<float> x = tape.input(random_tensor<float>(shape, 1), true);
  const Variable<float> b = branch(tape, x);
  if (!merged) (void)b.value();  // it has run, and takes no addition any more
  const Variable<float> sum = branch_first ? b + x : x + b;
  Residual result;
  result.passes = std::ranges::count(tape.entries(), false, &Tape<float>::Entry::merged);
  const Variable<float> y = dropout(sum, 0.25);  // it draws the same either way
  result.value = copy_of(y.value());
  const Tensor<float> weight = random_tensor<float>(shape, 2);
  tape.backward(weighted_sum<float>(y, weight.span()));
  result.x_gradient = copy_of(x.gradient());
  return result;
}

TEST_CASE("tape: x + op(x) in one pass has the bits of two") {
  const Tensor<float> weight = random_tensor<float>({20, 20}, 5),
                      bias = random_tensor<float>({20}, 6),
                      taps = random_tensor<float>({3, 3, 20}, 7);
  struct Row {
    const char* name;
    Branch branch;
  };
  const std::vector<Row> rows = {
      {"linear",
       [&](Tape<float>& tape, const Variable<float>& x) {
         return linear(x, tape.input(weight), tape.input(bias));
       }},
      {"linear without bias",
       [&](Tape<float>& tape, const Variable<float>& x) { return linear(x, tape.input(weight)); }},
      {"depthwise_conv2d",
       [&](Tape<float>& tape, const Variable<float>& x) {
         return depthwise_conv2d(x, tape.input(taps), tape.input(bias), {.padding = 1});
       }},
      {"drop_path",
       [&](Tape<float>&, const Variable<float>& x) { return drop_path(x * 0.7, 0.5); }},
  };
  for (const Row& row : rows)
    for (const bool branch_first : {false, true}) {
      CAPTURE(row.name);
      CAPTURE(branch_first);
      const Shape shape = {3, 5, 6, 20};
      const Residual one = run_residual(row.branch, shape, true, branch_first);
      const Residual two = run_residual(row.branch, shape, false, branch_first);
      CHECK(one.passes + 1 == two.passes);  // there was no pass for the sum
      CHECK(one.value == two.value);
      CHECK(one.x_gradient == two.x_gradient);
    }
}

TEST_CASE("tape: a sum of the results of two ops, in any order and at any time") {
  const Tensor<double> weight = random_tensor<double>({4, 4}, 1);
  const Tensor<double> start = random_tensor<double>({3, 4}, 2);
  Tape<double> tape;
  const auto run = [&](const auto& function) {
    tape.begin();
    const Variable<double> x = tape.input(start, true);
    const Variable<double> y = function(x, tape.input(weight, true));
    const std::vector<double> value = copy_of(y.value());
    tape.backward(weighted_sum<double>(y, start.span()));
    return std::pair(value, copy_of(x.gradient()));
  };
  using V = Variable<double>;
  const auto expected = run([](const V& x, const V& w) {
    const V a = linear(x, w), b = linear(squared(x), w);
    return a + b;
  });
  CHECK(run([](const V& x, const V& w) { return linear(x, w) + linear(squared(x), w); }) ==
        expected);
  // The first of them, once the second has run: the sum has a pass of its own.
  CHECK(run([](const V& x, const V& w) {
          V a = linear(x, w);
          const V b = linear(squared(x), w);
          return std::move(a) + b;
        }) == expected);
  // Once its value was asked for, an op has run.
  CHECK(run([](const V& x, const V& w) {
          const V a = linear(x, w);
          V b = linear(squared(x), w);
          CHECK(b.value().size() == 12);
          return a + std::move(b);
        }) == expected);
  // A temporary that is the other one itself, as what an absent layer hands back.
  const auto twice = run([](const V& x, const V& w) { return linear(x, w) * 2; });
  CHECK(run([](const V& x, const V& w) {
          const V a = linear(x, w);
          const auto absent = [&] { return a; };
          return a + absent();
        }) == twice);
}

// ---- gradients where a value is read more than once
// -----------------------------------------------

TEST_CASE("tape: gradients of values that several ops read") {
  using V = Variable<double>;
  struct Row {
    const char* name;
    std::function<V(const std::vector<V>&)> function;
  };
  const Row rows[] = {
      {"x + x", [](const std::vector<V>& v) { return v[0] + v[0]; }},
      {"inner x + x",
       [](const std::vector<V>& v) {
         const V a = squared(v[0]);
         return squared(a + a);
       }},
      {"(x + x) + x", [](const std::vector<V>& v) { return v[0] + v[0] + v[0]; }},
      {"a diamond",
       [](const std::vector<V>& v) {
         const V a = squared(v[0]);
         const V left = squared(a), right = a * 3;
         return squared(left + right);
       }},
      {"a diamond of additions alone",
       [](const std::vector<V>& v) {
         const V a = squared(v[0]);
         const V left = a + v[1], right = a + v[2];
         return squared(left + right);
       }},
      {"three ops read one value",
       [](const std::vector<V>& v) {
         const V a = squared(v[0]);
         const V p = squared(a), q = a * 2, r = a + v[1];
         return squared(p + q) + r;
       }},
      {"a sum is read again after it was handed on",
       [](const std::vector<V>& v) {
         const V a = v[0] + v[1];
         const V b = a + v[2];
         return squared(b) + squared(a) + b;
       }},
      {"a chain of residuals",
       [](const std::vector<V>& v) {
         V x = v[0];
         for (int i = 0; i < 4; ++i) x = x + squared(x) * 0.1;
         return x + v[0];
       }},
      {"merged residuals",
       [](const std::vector<V>& v) {
         V x = v[0];
         for (int i = 0; i < 3; ++i) x = x + drop_path(squared(x), 0.3);
         return x + drop_path(v[0], 0.5);
       }},
      {"some of it is not wanted",
       [](const std::vector<V>& v) {
         const V constant = v[0].tape().input(random_tensor<double>({4, 3}, 9));
         return squared(constant + v[0]) + (v[1] + squared(constant)) + v[2];
       }},
  };
  for (const Row& row : rows) {
    CAPTURE(row.name);
    // All three inputs are used, so that each has a gradient.
    const auto result =
        check_gradients({random_tensor<double>({4, 3}, 1), random_tensor<double>({4, 3}, 2),
                         random_tensor<double>({4, 3}, 3)},
                        [&](auto&, const std::vector<V>& v) {
                          return row.function(v) + v[1] * 0.5 + v[2] * 0.25 + v[0] * 0.125;
                        });
    CHECK_MESSAGE(result.worst < 1e-6, result.where);
  }
}

TEST_CASE("tape: the gradient of a sum is its parts' without a copy") {
  Tape<float> tape;
  tape.begin();
  const Variable<float> a = tape.input(random_tensor<float>({4, 3}, 1), true);
  const Variable<float> b = tape.input(random_tensor<float>({4, 3}, 2), true);
  const Tensor<float> weight = random_tensor<float>({4, 3}, 3);
  tape.backward(weighted_sum<float>(a + b, weight.span()));
  CHECK(a.gradient().data() == b.gradient().data());
  CHECK(std::ranges::equal(a.gradient(), weight.span()));
}

TEST_CASE("tape: gradients of parameters add up until they are zeroed") {
  ParameterStore<float> store;
  const Parameter<float> w{&store, store.add_parameter("w", {.shape = {2, 3}})};
  const Parameter<float> frozen{&store, store.add_parameter("frozen", {.shape = {2, 3}})};
  {
    const auto edit = store.edit();
    std::iota(edit.value(0).begin(), edit.value(0).end(), 1.0f);
  }
  store.set_trainable(frozen.number, false);
  Tape<float> tape;
  const std::vector<float> ones(6, 1.0f);
  const auto step = [&] {
    tape.begin();
    // Twice in one pass, once in a sum: shared weights.
    const Variable<float> y = squared(tape.parameter(w)) + tape.parameter(w);
    tape.backward(weighted_sum<float>(squared(tape.parameter(frozen)) + y, ones));
  };
  step();
  const std::span<const float> gradient = store.slice_of(tape.gradients(), w.number);
  for (std::size_t i = 0; i < 6; ++i) CHECK(gradient[i] == 2 * static_cast<float>(i + 1) + 1);
  step();
  for (std::size_t i = 0; i < 6; ++i) CHECK(gradient[i] == 4 * static_cast<float>(i + 1) + 2);
  CHECK(std::ranges::count(store.slice_of(tape.gradients(), frozen.number), 0.0f) == 6);
  tape.zero_gradients();
  step();
  CHECK(gradient[0] == 3);

  AlignedBuffer<float> own(store.size());
  tape.use_gradients(store, own.span());
  step();
  CHECK(tape.gradients().data() == own.data());
  CHECK(own[0] == 3);

  ParameterStore<float> second;
  const Parameter<float> other{&second, second.add_parameter("w", {.shape = {2, 3}})};
  second.initialize(1);
  tape.begin();
  const Variable<float> product = squared(tape.parameter(w)) + squared(tape.parameter(other));
  tape.zero_gradients();
  tape.backward(weighted_sum<float>(product, ones));
  CHECK(tape.gradients(store)[0] == 2);
  CHECK(tape.gradients(second)[0] == 2 * second.value(0)[0]);
  CHECK(
      contains(error_of([&] { tape.gradients(); }), "expected the parameters of one store, got 2"));
  CHECK_FALSE(tape.parameter({}));
}

TEST_CASE("tape: what backward refuses") {
  Tape<float> tape;
  const Tensor<float> scalar(Shape{1}), vector(Shape{3});
  tape.begin();
  CHECK(contains(error_of([&] { tape.backward(squared(tape.input(vector, true))); }),
                 "expected a scalar, got the shape (3)"));
  CHECK(
      contains(error_of([&] { tape.backward(squared(tape.input(scalar))); }), "wants a gradient"));
  tape.begin({.backward = false});
  CHECK(contains(error_of([&] { tape.backward(squared(tape.input(scalar, true))); }),
                 "keep nothing"));
  tape.begin();
  const Variable<float> x = tape.input(scalar, true), unused = tape.input(scalar, true);
  const Variable<float> inner = squared(x);
  tape.backward(squared(inner));
  CHECK(contains(error_of([&] { (void)unused.gradient(); }), "none was computed"));
  CHECK(contains(error_of([&] { (void)inner.gradient(); }), "none was computed"));
  CHECK(contains(error_of([&] { (void)Variable<float>().value(); }), "empty"));
}

// ---- passes
// ---------------------------------------------------------------------------------------

TEST_CASE("tape: a variable ends with its pass, and belongs to its tape") {
  Tape<float> tape, other;
  tape.begin();
  other.begin();
  const Variable<float> x = tape.input(Tensor<float>({2, 3}));
  CHECK(contains(error_of([&] {
                   (void)(x + other.input(Tensor<float>({2, 3})));
                 }),
                 "another tape"));
  tape.begin();
  CHECK(contains(error_of([&] { (void)x.shape(); }), "earlier pass"));
  CHECK(contains(error_of([&] { (void)squared(x); }), "earlier pass"));
  CHECK(contains(error_of([&] { (void)tape.gradient(x); }), "earlier pass"));
}

template <class T>
inline constexpr Op<T> failing_op = {
    .name = "failing",
    .forward = [](Call<T>&) { fail("forward failed"); },
    .backward = [](Call<T>&) {},
    .takes_add = true,
};
template <class T>
inline constexpr Op<T> failing_backward_op = {
    .name = "failing_backward",
    .forward = [](Call<T>& call) { call.output()[0] = call.input(0)[0]; },
    .backward = [](Call<T>&) { fail("backward failed"); },
};

struct Failing : Module<float> {
  explicit Failing(const Scope<float>& scope) : Module(scope, "Failing") {}
  Variable<float> forward(Variable<float> x) const override {
    x.tape().check(x.shape()[0] != 13, "thirteen");
    return x;
  }
};
struct Outer : Module<float> {
  explicit Outer(const Scope<float>& scope)
      : Module(scope, "Outer"), inner(scope / "blocks" / 3 / "inner") {}
  Variable<float> forward(Variable<float> x) const override { return squared(inner(squared(x))); }
  Failing inner;
};

TEST_CASE("tape: an error ends the pass, and the next one is as good as new") {
  Tape<float> tape;
  const auto is_reset = [&](const Variable<float>& x) {
    CHECK(tape.entries().empty());
    CHECK(tape.layer().empty());
    CHECK(contains(error_of([&] { (void)x.shape(); }), "earlier pass"));
    tape.begin();
    const Variable<float> y = tape.input(Tensor<float>({1}, std::vector<float>{3}), true);
    tape.backward(squared(y));
    CHECK(y.gradient()[0] == 6);
  };
  const auto start = [&](std::int64_t size) {
    tape.begin();
    return tape.input(Tensor<float>({size}), true);
  };

  Variable<float> x = start(1);
  // An op that waits for an addition fails where it runs: when the sum is asked for.
  CHECK(error_of([&] {
          (void)(x + x.tape().apply(failing_op<float>, 0, {x}, x.shape())).value();
        }) == "forward failed");
  is_reset(x);
  x = start(1);
  CHECK(error_of([&] { (void)squared(x.tape().apply(failing_op<float>, 0, {x}, x.shape())); }) ==
        "forward failed");
  is_reset(x);
  x = start(1);
  CHECK(error_of([&] {
          tape.backward(x.tape().apply(failing_backward_op<float>, 0, {squared(x)}, x.shape()));
        }) == "backward failed");
  is_reset(x);

  ParameterStore<float> store;
  const Outer model(store);
  x = start(13);
  CHECK(error_of([&] { (void)model(x); }) == "blocks.3.inner: thirteen");
  is_reset(x);
  x = start(12);
  CHECK(model(x).shape() == Shape{12});
  REQUIRE(tape.layer_calls().size() == 2);
  CHECK(tape.layer_calls()[0].path == "blocks.3.inner");
  CHECK(tape.layer_calls()[1].type == "Outer");
  CHECK(tape.layer_calls()[0].depth == 1);
}

TEST_CASE("tape: a dry run knows shapes, computes nothing and takes no memory") {
  ParameterStore<float> store;
  const Parameter<float> w{&store, store.add_parameter("w", {.shape = {1000, 4000}})};
  for (const bool backward : {false, true}) {
    Tape<float> tape;
    tape.begin({.backward = backward, .dry_run = true});
    const Variable<float> x = tape.input(Shape{1 << 20, 1 << 10, 4000});
    const Variable<float> y = linear(x, tape.parameter(w));
    const Variable<float> z = y + squared(y);
    CHECK(z.shape() == Shape{1 << 20, 1 << 10, 1000});
    CHECK(tape.entries().size() == 3);
    CHECK(tape.entries()[0].op->macs(Call<float>(tape, tape.entries()[0])) ==
          (std::int64_t{1} << 30) * 4'000'000);
    CHECK(tape.memory_bytes() <= 1 << 17);  // what the entries need
    CHECK(contains(error_of([&] { (void)z.value(); }), "a dry run computes none"));
    if (backward) CHECK(contains(error_of([&] { tape.backward(z); }), "dry run"));
  }
  Tape<float> tape;
  tape.begin();
  CHECK(contains(error_of([&] { tape.input(Shape{2, 2}); }), "needs a dry run"));
}

TEST_CASE("tape: memory is kept from pass to pass, and gradients reuse theirs") {
  const Tensor<float> start = random_tensor<float>({50, 40}, 1);
  std::int64_t bytes_without = 0;
  for (const bool backward : {false, true}) {
    Tape<float> tape;
    std::int64_t bytes = 0;
    for (int pass = 0; pass < 5; ++pass) {
      tape.begin({.backward = backward});
      const Variable<float> x = tape.input(start, true);
      Variable<float> y = x;
      for (int i = 0; i < 30; ++i) y = y + squared(squared(y) * 0.1);
      const Variable<float> loss = weighted_sum<float>(y, start.span());
      if (backward) tape.backward(loss);
      if (pass >= 2) CHECK(tape.memory_bytes() == bytes);
      bytes = tape.memory_bytes();
    }
    // Of 120 values: the gradients that are alive at once fit into the arena's first block.
    if (backward) CHECK(bytes - bytes_without <= 1 << 16);
    bytes_without = bytes;
  }
}

TEST_CASE("tape: what is kept lasts until the pass ends") {
  Tape<float> tape;
  tape.begin();
  std::vector<int> numbers(100);
  std::iota(numbers.begin(), numbers.end(), 0);
  const int* kept = tape.keep(std::span<const int>(numbers));
  std::fill(numbers.begin(), numbers.end(), -1);
  Variable<float> x = tape.input(Tensor<float>({10}));
  for (int i = 0; i < 2000; ++i) x = squared(x);  // entries enough to need new memory
  for (int i = 0; i < 100; ++i) CHECK(kept[i] == i);
}

// Moves a buffer by 1 in training, as BatchNorm moves its running statistics.
template <class T>
inline constexpr Op<T> counting_op = {
    .name = "counting",
    .forward =
        [](Call<T>& call) {
          call.output()[0] = call.input(0)[0];
          if (call.training()) ++call.pending_buffer(call.template attributes<Buffer<T>>())[0];
        },
    .backward = [](Call<T>& call) { call.pass_gradient(0); },
};
struct Counting {
  Counting() { store.initialize(1); }
  double value() const { return std::as_const(store).buffer(0)[0]; }
  // A training pass, in which the buffer moves.
  Variable<double> pass(bool training = true) {
    tape.begin({.training = training});
    const Variable<double> x = tape.parameter(weight);
    return x.tape().apply(counting_op<double>, buffer, {x}, x.shape());
  }
  ParameterStore<double> store;
  Parameter<double> weight{&store, store.add_parameter("weight", {.shape = Shape{1}})};
  Buffer<double> buffer{&store, store.add_buffer("count", {.shape = Shape{1}})};
  Tape<double> tape;
};

TEST_CASE(
    "tape: what a training pass does to a buffer counts from the step, or the next pass, on") {
  Counting c;
  Adam<double> adam(c.store);
  c.tape.backward(c.pass());
  CHECK(c.value() == 0);
  adam.step(c.tape, 0.1);
  CHECK(c.value() == 1);
  c.pass();
  CHECK(c.value() == 1);
  c.pass(false);  // an evaluation sees what the pass before it has done
  CHECK(c.value() == 2);
  c.tape.begin();
  CHECK(c.value() == 2);  // once
}

TEST_CASE("tape: two passes before a step move a buffer twice, a pass that failed not at all") {
  Counting c;
  c.pass();
  Tape<double> other;
  other.begin();
  const Variable<double> x = other.parameter(c.weight);
  other.apply(counting_op<double>, c.buffer, {x}, x.shape());
  c.store.commit_buffers();
  CHECK(c.value() == 2);
  c.pass();
  CHECK_FALSE(error_of([&] { c.tape.check(false, "wrong"); }).empty());
  c.tape.begin();
  CHECK(c.value() == 2);
}

TEST_CASE("tape: a pass that names no key draws what no other pass of the tape does") {
  Tape<float> tape;
  const Tensor<float> ones = [] {
    Tensor<float> t({1, 256});
    std::ranges::fill(t.span(), 1.0f);
    return t;
  }();
  const auto mask = [&](const TapeOptions& options) {
    tape.begin(options);
    const auto values = dropout(tape.input(ones), 0.5).value();
    return std::vector<float>(values.begin(), values.end());
  };
  const auto first = mask({}), second = mask({}), third = mask({});
  CHECK(first != second);
  CHECK(second != third);
  CHECK(first != third);
  const TapeOptions named{.random = RandomKey(1)};
  CHECK(mask(named) == mask(named));
}

TEST_CASE("tape: parameters without values, or under an edit, are refused") {
  ParameterStore<float> store;
  const Parameter<float> w{&store, store.add_parameter("w", {.shape = {2}})};
  Tape<float> tape;
  tape.begin();
  CHECK(contains(error_of([&] { tape.parameter(w); }), "no values yet; call initialize(seed)"));
  store.initialize(1);
  tape.begin();
  tape.parameter(w);
  const auto edit = store.edit();
  CHECK(contains(error_of([&] { tape.parameter(w); }), "being edited"));
}

TEST_CASE("tape: additions are right whoever reads what they add, and when") {
  ParameterStore<float> store;
  const Parameter<float> w{&store,
                           store.add_parameter("w", {.shape = {6, 6}, .init = Init::normal(1)})};
  store.initialize(1);
  const Tensor<float> image = random_tensor<float>({4, 6}, 1),
                      weight = random_tensor<float>({4, 6}, 2);
  // What is read of y = linear(x): only the sum; y at once; y later; y's value; y in backward.
  using V = Variable<float>;
  const std::function<V(V, V)> programs[] = {
      [](V x, V y) { return x + y; },
      [](V x, V y) { return y + x; },
      [](V x, V y) {
        const V z = x + y;
        return z + y;
      },
      [](V x, V y) {
        const V z = x + y;
        return squared(z) + y;
      },
      [](V x, V y) {
        const V z = x + y;
        (void)y.value();
        return z + squared(y);
      },
      [](V, V y) { return y + y; },
      [](V x, V y) { return (x + dropout(y, 0)) + dropout(y, 0); },
  };
  for (const auto& program : programs) {
    Tape<float> tape;
    const auto run = [&](bool apart) {
      tape.begin();
      const V x = tape.input(image, true);
      V y = linear(x, tape.parameter(w));
      if (apart) (void)y.value();  // it has run, so that nothing is added to it
      const V result = program(x, y);
      const std::vector<float> value(result.value().begin(), result.value().end());
      tape.zero_gradients();
      tape.backward(weighted_sum<float>(result, weight.span()));
      std::vector<float> all = value;
      for (const auto& gradient :
           {std::span<const float>(x.gradient()), std::span<const float>(tape.gradients())})
        all.insert(all.end(), gradient.begin(), gradient.end());
      return all;
    };
    const auto merged = run(false), apart = run(true);
    CHECK(merged == apart);
  }
}

}  // namespace
