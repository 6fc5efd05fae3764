// TapeOptions::amp: products in bfloat16, everything else in float.
#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <memory>
#include <vector>

#include "anther/core/openmp.hpp"
#include "anther/nn/activation.hpp"
#include "anther/nn/conv.hpp"
#include "anther/nn/drop.hpp"
#include "anther/nn/inference.hpp"
#include "anther/nn/linear.hpp"
#include "anther/nn/norm.hpp"
#include "anther/ops/arithmetic.hpp"
#include "anther/ops/attention.hpp"
#include "anther/ops/pointwise.hpp"
#include "anther/ops/reduce.hpp"
#include "anther/ops/select.hpp"
#include "anther/ops/shape.hpp"
#include "tests/random_tensor.hpp"

namespace {

using namespace anther;

double rounded(float value) {
  auto bits = std::bit_cast<std::uint32_t>(value);
  bits += 0x7fff + (bits >> 16 & 1);
  return static_cast<double>(std::bit_cast<float>(bits & 0xffff0000u));
}

// A convolution, a norm and GELU that a product reads a few rows at a time, and a residual.
template <class T>
struct Net : Module<T> {
  explicit Net(const Scope<T>& scope)
      : Module<T>(scope, "Net"),
        stem(scope / "stem", 3, 20, {.kernel_size = 3, .stride = 2, .padding = 1}),
        norm(scope / "norm", 5, 20),
        fc1(scope / "fc1", 20, 70),
        fc2(scope / "fc2", 70, 20) {}
  Variable<T> forward(Variable<T> x) const override {
    x = stem(x);
    return x + fc2(gelu(fc1(norm(x))));
  }
  Conv2d<T> stem;
  GroupNorm<T> norm;
  Linear<T> fc1, fc2;
};

template <class T>
struct Result {
  std::vector<T> value, gradients;
};
template <class T>
Result<T> run(const Net<T>& net, const Tensor<T>& x, bool amp) {
  Tape<T> tape;
  tape.begin({.amp = amp, .random = RandomKey(1)});
  const Variable<T> y = net(tape.input(x));
  tape.zero_gradients();
  tape.backward(mean(y * y));
  const auto value = y.value();
  const auto gradients = tape.gradients();
  return {{value.begin(), value.end()}, {gradients.begin(), gradients.end()}};
}
template <class T>
double relative_error(const std::vector<T>& a, const std::vector<T>& b) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    size += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(difference / size);
}

}  // namespace

TEST_CASE("amp: near float, with the same bits for any number of threads and as a plan") {
  ParameterStore<float> store;
  const Net<float> net(store);
  store.initialize(3);
  const auto x = random_tensor<float>({2, 33, 31, 3}, 1);
  const Result<float> in_float = run(net, x, false), expected = run(net, x, true);
  CHECK(expected.value != in_float.value);
  CHECK(relative_error(expected.value, in_float.value) < 0.01);
  CHECK(relative_error(expected.gradients, in_float.gradients) < 0.02);
  Tape<float> tape;
  tape.begin({.training = false, .backward = false, .amp = true});
  const Variable<float> y = net(tape.input(x));
  const std::vector<float> evaluated(y.value().begin(), y.value().end());
  CHECK(relative_error(evaluated, in_float.value) < 0.01);
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    const Result<float> again = run(net, x, true);
    CHECK(again.value == expected.value);
    CHECK(again.gradients == expected.gradients);
    Inference<float> inference(net, x.shape(), nullptr, true);
    CHECK(std::ranges::equal(inference(x.span()), evaluated));
  }
  set_num_threads(0);
  // Both precisions of a store's packed weights, in turn.
  CHECK(run(net, x, false).value == in_float.value);
}

TEST_CASE("amp: a plan has the tape's bits where the map before GELU is viewed, or is the result") {
  struct Viewed : Module<float> {
    Viewed(const Scope<float>& scope, int kind)
        : Module(scope, "Viewed"),
          kind_(kind),
          fc1(scope / "fc1", 8, 12),
          fc2(scope / "fc2", 12, 6) {}
    Variable<float> forward(Variable<float> x) const override {
      const Variable<float> y = fc1(x);
      const Variable<float> z = fc2(gelu(y));
      switch (kind_) {
        case 0:
          return reshape(y, {-1}) + pad_axis(reshape(z, {-1}), 0, 0, y.shape().numel() / 2);
        case 1:
          return narrow(reshape(y, {y.shape().rows(), 12}), 0, 1, 2);  // a view within a view
        case 2:
          return narrow(y, 1, 0, 1);  // a view of one sample, a copy of several
        default:
          return y;
      }
    }
    int kind_;
    Linear<float> fc1, fc2;
  };
  for (int kind = 0; kind < 4; ++kind)
    for (const std::int64_t samples : {1, 3}) {
      CAPTURE(kind);
      CAPTURE(samples);
      ParameterStore<float> store;
      const Viewed net(store, kind);
      store.initialize(3);
      const auto x = random_tensor<float>({samples, 4, 8}, 1);
      Tape<float> tape;
      tape.begin({.training = false, .backward = false, .amp = true});
      const Variable<float> y = net(tape.input(x));
      Inference<float> inference(net, x.shape(), nullptr, true);
      CHECK(std::ranges::equal(inference(x.span()), y.value()));
    }
}

TEST_CASE("amp: the map before GELU is stored in bfloat16, and others get its numbers as floats") {
  ParameterStore<float> store;
  const Scope<float> scope(store);
  const Linear<float> fc1(scope / "fc1", 20, 70), fc2(scope / "fc2", 70, 20);
  store.initialize(3);
  const auto x = random_tensor<float>({50, 20}, 1);
  // others: who reads the map besides fc2, by way of GELU.
  const auto gradients = [&](bool amp, int others) {
    Tape<float> tape;
    tape.begin({.amp = amp});
    const Variable<float> h = fc1(tape.input(x)), g = gelu(h), y = fc2(g);
    Variable<float> loss = mean(y * y);
    if (others == 1) loss = loss + mean(h * h);
    if (others == 2) loss = loss + mean(reshape(h, {70, 50}) * 0.5f);
    if (others == 3) loss = loss + mean(g);
    if (amp)
      for (const float value : h.value())
        CHECK((std::bit_cast<std::uint32_t>(value) & 0xffff) == 0);
    tape.zero_gradients();
    tape.backward(loss);
    const auto all = tape.gradients();
    return std::vector<float>(all.begin(), all.end());
  };
  for (const int others : {0, 1, 2, 3}) {
    CAPTURE(others);
    CHECK(relative_error(gradients(true, others), gradients(false, others)) < 0.02);
  }
}

// Convolutions whose results norms and other convolutions read.
struct Inverted : Module<float> {
  explicit Inverted(const Scope<float>& scope, bool group)
      : Module(scope, "Inverted", {.stage = true}),
        expand(scope / "expand", 12, 40, {.bias = false}),
        dw(scope / "dw", 40, 40, {.kernel_size = 3, .stride = 2, .padding = 1, .groups = 40}),
        project(scope / "project", 40, 20),
        spread(scope / "spread", 20, 20, {.kernel_size = 5, .padding = 2, .groups = 20}),
        out(scope / "out", 20, 6) {
    norm1 = group ? AnyModule<float>(std::make_unique<GroupNorm<float>>(scope / "norm1", 4, 40))
                  : AnyModule<float>(std::make_unique<BatchNorm2d<float>>(scope / "norm1", 40));
    norm2 = group ? AnyModule<float>(std::make_unique<GroupNorm<float>>(scope / "norm2", 4, 40))
                  : AnyModule<float>(std::make_unique<BatchNorm2d<float>>(scope / "norm2", 40));
  }
  Variable<float> forward(Variable<float> x) const override {
    x = expand(x);
    x = relu6(norm1(x));
    x = dw(x);
    x = relu6(norm2(x));
    x = project(x);
    x = spread(x);
    return out(x);
  }
  Conv2d<float> expand, dw, project, spread, out;
  AnyModule<float> norm1, norm2;
};

TEST_CASE("amp: maps between convolutions and norms are in bfloat16") {
  for (const bool group : {false, true}) {
    ParameterStore<float> store;
    const Inverted net(store, group);
    store.initialize(3);
    const auto x = random_tensor<float>({3, 30, 26, 12}, 1);
    const auto gradients = [&](const TapeOptions& options) {
      Tape<float> tape;
      tape.begin(options);
      const Variable<float> y = net(tape.input(x));
      if (!options.recompute) {
        int maps = 0;
        for (int id = 0; id < tape.value_count(); ++id) maps += tape.is_bf16(id);
        CHECK(maps == (options.amp ? 4 : 0));  // the results of all but the last
      }
      tape.zero_gradients();
      tape.backward(mean(y * y));
      const auto all = tape.gradients();
      return std::vector<float>(all.begin(), all.end());
    };
    const std::vector<float> in_float = gradients({}), expected = gradients({.amp = true});
    CHECK(relative_error(expected, in_float) < 0.05);
    CHECK(expected != in_float);
    for (const int threads : {1, 2, 3}) {
      set_num_threads(threads);
      CHECK(gradients({.amp = true}) == expected);
      CHECK(gradients({.recompute = true, .amp = true}) == expected);
    }
    set_num_threads(0);
  }
}

TEST_CASE("amp: maps in bfloat16 go from one stage to the next, recomputed or not, read or not") {
  struct First : Module<float> {
    explicit First(const Scope<float>& scope)
        : Module(scope, "First", {.stage = true}), fc(scope / "fc", 12, 20) {}
    Variable<float> forward(Variable<float> x) const override { return fc(x); }
    Linear<float> fc;
  };
  struct Second : Module<float> {
    explicit Second(const Scope<float>& scope)
        : Module(scope, "Second", {.stage = true}),
          norm(scope / "norm", 4, 20),
          fc(scope / "fc", 20, 8) {}
    Variable<float> forward(Variable<float> x) const override { return fc(relu(norm(x))); }
    GroupNorm<float> norm;
    Linear<float> fc;
  };
  ParameterStore<float> store;
  const Scope<float> scope(store);
  const First first(scope / "first");
  const Second second(scope / "second");
  store.initialize(3);
  const auto x = random_tensor<float>({2, 9, 8, 12}, 1);
  std::vector<float> results[3];
  for (const int way : {0, 1, 2}) {
    Tape<float> tape;
    tape.begin({.recompute = way == 1, .amp = true});
    const Variable<float> between = first(tape.input(x));
    if (way == 2) CHECK(between.value().size() == 2 * 9 * 8 * 20);
    const Variable<float> y = second(between);
    CHECK(tape.is_bf16(tape.id_of(between)));
    tape.zero_gradients();
    tape.backward(mean(y * y));
    const auto gradients = tape.gradients();
    results[way].assign(gradients.begin(), gradients.end());
  }
  CHECK(results[0] == results[1]);
  CHECK(results[0] == results[2]);
}

// A block of a residual network: x + dw(x), x + drop_path(fc2(gelu(fc1(norm(x))))), x + attention.
struct ResidualBlock : Module<float> {
  ResidualBlock(const Scope<float>& scope, double rate)
      : Module(scope, "ResidualBlock", {.stage = true}),
        pos(scope / "pos", 24, 24, {.kernel_size = 3, .padding = 1, .groups = 24}),
        norm1(scope / "norm1", 4, 24),
        fc1(scope / "fc1", 24, 40),
        fc2(scope / "fc2", 40, 24),
        norm2(scope / "norm2", 6, 24),
        qkv(scope / "qkv", 24, 72),
        proj(scope / "proj", 24, 24),
        drop(scope / "drop", rate) {}
  Variable<float> forward(Variable<float> x) const override {
    x = x + pos(x);
    x = x + drop(fc2(gelu(fc1(norm1(x)))));
    return x + drop(proj(self_attention(qkv(norm2(x)), 2)));
  }
  Conv2d<float> pos;
  GroupNorm<float> norm1;
  Conv2d<float> fc1, fc2;
  GroupNorm<float> norm2;
  Conv2d<float> qkv, proj;
  DropPath<float> drop;
};
struct ResidualNet : Module<float> {
  ResidualNet(const Scope<float>& scope, double rate)
      : Module(scope, "ResidualNet"),
        embed(scope / "embed", 3, 24, {.kernel_size = 2, .stride = 2}),
        norm(scope / "norm", 4, 24),
        first(scope / "first", rate),
        second(scope / "second", rate),
        out(scope / "out", 24, 24, {.kernel_size = 3, .stride = 2, .padding = 1}),
        last(scope / "last", 4, 24) {}
  Variable<float> forward(Variable<float> x) const override {
    return last(out(second(first(norm(embed(x))))));
  }
  Conv2d<float> embed;
  GroupNorm<float> norm;
  ResidualBlock first, second;
  Conv2d<float> out;
  GroupNorm<float> last;
};

TEST_CASE("amp: sums of residuals are maps in bfloat16, whatever is dropped or computed again") {
  for (const double rate : {0.0, 0.4}) {
    CAPTURE(rate);
    ParameterStore<float> store;
    const ResidualNet net(store, rate);
    store.initialize(3);
    const auto x = random_tensor<float>({3, 22, 18, 3}, 1);
    const auto gradients = [&](TapeOptions options) {
      Tape<float> tape;
      options.random = RandomKey(5);
      tape.begin(options);
      const Variable<float> y = net(tape.input(x));
      if (options.amp) {
        for (const auto& entry : tape.entries())
          if (entry.op->is_addition) CHECK(tape.is_bf16(entry.outputs[0]));
      }
      tape.zero_gradients();
      tape.backward(mean(y * y * y));
      const auto all = tape.gradients();
      return std::vector<float>(all.begin(), all.end());
    };
    const std::vector<float> in_float = gradients({}), expected = gradients({.amp = true});
    CHECK(relative_error(expected, in_float) < 0.05);
    CHECK(expected != in_float);
    for (const int threads : {1, 2, 3}) {
      set_num_threads(threads);
      CHECK(gradients({.amp = true}) == expected);
      CHECK(gradients({.recompute = true, .amp = true}) == expected);
    }
    set_num_threads(0);
  }
}

// A stage that ends in something lazy, and one that reads it: of 24 channels, to 24 or to 8.
struct LazyEnd : Module<float> {
  LazyEnd(const Scope<float>& scope, int kind)
      : Module(scope, "LazyEnd", {.stage = true}),
        kind_(kind),
        fc(scope / "fc", 24, 24),
        dw(scope / "dw", 24, 24, {.kernel_size = 3, .padding = 1, .groups = 24}),
        conv(scope / "conv", 24, 24, {.kernel_size = 3, .padding = 1}),
        norm(scope / "norm", 4, 24) {}
  Variable<float> forward(Variable<float> x) const override {
    if (kind_ == 0) return norm(fc(x));
    if (kind_ == 1) return gelu(fc(x));
    if (kind_ == 2) return gelu(conv(x));
    if (kind_ == 3) return gelu(x + fc(x));
    const Variable<float> n = norm(x), a = dw(n), b = conv(n);
    return relu(a) * b + (dw(n) + n);
  }
  int kind_;
  Conv2d<float> fc, dw, conv;
  GroupNorm<float> norm;
};
struct LazyReader : Module<float> {
  LazyReader(const Scope<float>& scope, int kind)
      : Module(scope, "LazyReader", {.stage = true}),
        kind_(kind),
        fc(scope / "fc", 24, 8),
        dw(scope / "dw", 24, 24, {.kernel_size = 3, .padding = 1, .groups = 24}) {}
  Variable<float> forward(Variable<float> x) const override {
    return kind_ == 0 ? fc(x) : fc(x + dw(x));
  }
  int kind_;
  Conv2d<float> fc, dw;
};

TEST_CASE("amp: what is lazy at the end of a stage has the same bits, recomputed or read or not") {
  for (const int end : {0, 1, 2, 3, 4})
    for (const int reader : {0, 1}) {
      CAPTURE(end);
      CAPTURE(reader);
      ParameterStore<float> store;
      const Scope<float> scope(store);
      const LazyEnd first(scope / "first", end);
      const LazyReader second(scope / "second", reader);
      store.initialize(3);
      const auto x = random_tensor<float>({2, 9, 8, 24}, 1);
      std::vector<float> results[3];
      for (const int way : {0, 1, 2}) {
        Tape<float> tape;
        tape.begin({.recompute = way == 1, .amp = true});
        const Variable<float> between = first(tape.input(x));
        if (way == 2) CHECK(between.value().size() == 2 * 9 * 8 * 24);
        const Variable<float> y = second(between);
        tape.zero_gradients();
        tape.backward(mean(y * y));
        const auto gradients = tape.gradients();
        results[way].assign(gradients.begin(), gradients.end());
        results[way].insert(results[way].end(), y.value().begin(), y.value().end());
      }
      CHECK(results[0] == results[1]);
      CHECK(results[0] == results[2]);
    }
}

TEST_CASE("amp: recomputing keeps the results of stages once, in bfloat16") {
  ParameterStore<float> store;
  const Scope<float> scope(store);
  std::vector<std::unique_ptr<ResidualBlock>> blocks;
  for (int i = 0; i < 8; ++i) blocks.push_back(std::make_unique<ResidualBlock>(scope / i, 0));
  store.initialize(3);
  const auto x = random_tensor<float>({2, 16, 16, 24}, 1);
  const auto bytes_of = [&](const TapeOptions& options) {
    Tape<float> tape;
    for (int pass = 0; pass < 2; ++pass) {  // the second has all its memory in one piece
      tape.begin(options);
      Variable<float> y = tape.input(x);
      for (const auto& block : blocks) y = (*block)(y);
      tape.zero_gradients();
      tape.backward(mean(y * y));
    }
    return tape.memory().values;
  };
  const std::int64_t recomputed = bytes_of({.recompute = true, .amp = true});
  CHECK(recomputed < bytes_of({.recompute = true}));
  CHECK(recomputed < bytes_of({.amp = true}) * 2 / 3);
}

TEST_CASE("amp: a plan may view a map that GELU reads in bfloat16") {
  struct Viewed : Module<float> {
    explicit Viewed(const Scope<float>& scope)
        : Module(scope, "Viewed"),
          conv(scope / "conv", 3, 24, {.kernel_size = 3, .padding = 1}),
          fc(scope / "fc", 24, 24) {}
    Variable<float> forward(Variable<float> x) const override {
      const Variable<float> h = conv(x), a = fc(gelu(h));
      const Variable<float> flat = reshape(h, {h.shape()[0], h.shape().numel() / h.shape()[0]});
      return reshape(a, flat.shape()) + flat;
    }
    Conv2d<float> conv, fc;
  };
  ParameterStore<float> store;
  const Viewed net(store);
  store.initialize(3);
  const auto x = random_tensor<float>({2, 9, 8, 3}, 1);
  Tape<float> tape;
  tape.begin({.training = false, .backward = false});
  const Variable<float> y = net(tape.input(x));
  Inference<float> inference(net, x.shape(), nullptr, true);
  const auto planned = inference(x.span());
  CHECK(relative_error(std::vector<float>(planned.begin(), planned.end()),
                       std::vector<float>(y.value().begin(), y.value().end())) < 0.01);
}

TEST_CASE("amp: others get floats of a sum, before it is known to be one or after") {
  ParameterStore<float> store;
  const Scope<float> scope(store);
  const Linear<float> fc(scope / "fc", 12, 12), after(scope / "after", 12, 8);
  const LayerNorm<float> layer(scope / "layer", 12);
  const ConvTranspose2d<float> spread(scope / "spread", 12, 12,
                                      {.kernel_size = 3, .padding = 1, .groups = 12});
  const GroupNorm<float> norm(scope / "norm", 4, 12);
  const Conv2d<float> dw(scope / "dw", 12, 12, {.kernel_size = 3, .padding = 1, .groups = 12});
  store.initialize(3);
  const auto x = random_tensor<float>({2, 9, 8, 12}, 1);
  for (const int sum : {0, 1, 2, 3, 4})
    for (const int reader : {0, 1, 2})
      for (const int others : {0, 1, 2, 3}) {
        CAPTURE(sum);
        CAPTURE(reader);
        CAPTURE(others);
        const auto gradients = [&](bool amp) {
          Tape<float> tape;
          tape.begin({.amp = amp});
          const Variable<float> in = tape.input(x, true);
          const Variable<float> h = sum == 0 ? fc(in) : dw(in);
          const Variable<float> s = sum < 2    ? in + h
                                    : sum == 2 ? norm(in) + in
                                    : sum == 3 ? layer(h)
                                               : spread(h);
          const Variable<float> y = reader == 0 ? norm(s) : reader == 1 ? dw(s) : gelu(s);
          Variable<float> loss = mean(after(y) * after(y));
          if (others == 1) loss = loss + mean(s * s);
          if (others == 2) loss = loss + mean(reshape(s, {2, 12, 72}) * 0.5f);
          if (others == 3) loss = loss + mean(h * h);  // the sum is then an op of its own
          tape.zero_gradients();
          tape.backward(loss);
          const auto all = tape.gradients();
          std::vector<float> result(all.begin(), all.end());
          const auto of_input = tape.gradient(in);
          result.insert(result.end(), of_input.begin(), of_input.end());
          return result;
        };
        CHECK(relative_error(gradients(true), gradients(false)) < 0.02);
      }
}

TEST_CASE("amp: attention of rounded numbers, with masks and what is dropped") {
  struct Case {
    std::int64_t queries, keys, heads, head_dim;
  };
  for (const Case& c : {Case{1, 1, 1, 4}, Case{5, 5, 2, 36}, Case{33, 33, 3, 33},
                        Case{49, 49, 2, 36}, Case{150, 150, 1, 64}, Case{20, 37, 2, 16}})
    for (const int kind : {0, 1, 2, 3, 4}) {
      const std::int64_t channels = c.heads * c.head_dim;
      if (kind == 1 && c.queries != c.keys) continue;
      if (kind == 3 && c.keys == 1) continue;  // no query sees a key
      CAPTURE(c.queries);
      CAPTURE(kind);
      const auto q = random_tensor<float>({2, c.queries, channels}, 1);
      const auto k = random_tensor<float>({2, c.keys, channels}, 2);
      const auto v = random_tensor<float>({2, c.keys, channels}, 3);
      const auto mask = random_tensor<float>({c.queries, c.keys}, 4);
      std::vector<std::int32_t> kept(static_cast<std::size_t>(2 * c.keys), 1);
      kept[0] = 0;
      kept.back() = 0;
      const auto result = [&](bool amp) {
        Tape<float> tape;
        tape.begin({.amp = amp, .random = RandomKey(1)});
        const Variable<float> inputs[] = {tape.input(q, true), tape.input(k, true),
                                          tape.input(v, true)};
        AttentionOptions<float> options;
        if (kind == 1) options.is_causal = true;
        if (kind == 2) options.attn_mask = tape.input(mask, true);
        if (kind == 3) options.attn_mask = tape.integers({2, 1, 1, c.keys}, kept);
        if (kind == 4) options.dropout_p = 0.3;
        const Variable<float> y =
            scaled_dot_product_attention(inputs[0], inputs[1], inputs[2], c.heads, options);
        tape.backward(mean(y * y * y));
        std::vector<float> all(y.value().begin(), y.value().end());
        for (const auto& input : inputs) {
          const auto gradient = tape.gradient(input);
          // Of one key nothing is left.
          if (c.keys == 1 && &input != &inputs[2]) continue;
          double size = 0;
          for (const float value : gradient) size += std::abs(static_cast<double>(value));
          for (const float value : gradient)
            all.push_back(value / static_cast<float>(size / 100 + 1e-30));
        }
        return all;
      };
      const auto in_float = result(false), expected = result(true);
      CHECK(relative_error(expected, in_float) < 0.02);
      if (c.keys > 1) CHECK(expected != in_float);
      for (const int threads : {1, 3}) {
        set_num_threads(threads);
        CHECK(result(true) == expected);
      }
      set_num_threads(0);
    }
}

TEST_CASE("amp: others get floats of a map that a norm or a convolution reads") {
  ParameterStore<float> store;
  const Scope<float> scope(store);
  const Linear<float> fc(scope / "fc", 12, 20), after(scope / "after", 20, 8);
  const GroupNorm<float> norm(scope / "norm", 4, 20);
  const Conv2d<float> dw(scope / "dw", 20, 20, {.kernel_size = 3, .padding = 1, .groups = 20});
  store.initialize(3);
  const auto x = random_tensor<float>({2, 9, 8, 12}, 1);
  for (const int reader : {0, 1, 2})
    for (const int others : {0, 1, 2}) {
      CAPTURE(reader);
      CAPTURE(others);
      const auto gradients = [&](bool amp) {
        Tape<float> tape;
        tape.begin({.amp = amp});
        const Variable<float> h = fc(tape.input(x));
        const Variable<float> y = reader == 0 ? norm(h) : reader == 1 ? dw(h) : after(h);
        Variable<float> loss = mean(y * y * y);
        if (others == 1) loss = loss + mean(h * h);
        if (others == 2) loss = loss + mean(reshape(h, {2, 20, 72}) * 0.5f);
        tape.zero_gradients();
        tape.backward(loss);
        const auto all = tape.gradients();
        return std::vector<float>(all.begin(), all.end());
      };
      CHECK(relative_error(gradients(true), gradients(false)) < 0.02);
    }
}

TEST_CASE("amp: what is computed again has the same bits") {
  struct Stage : Module<float> {
    explicit Stage(const Scope<float>& scope)
        : Module(scope, "Stage", {.stage = true}), inner(scope / "inner") {}
    Variable<float> forward(Variable<float> x) const override { return inner(x); }
    Net<float> inner;
  };
  ParameterStore<float> store;
  const Stage stage(store);
  store.initialize(3);
  const auto x = random_tensor<float>({2, 33, 31, 3}, 1);
  std::vector<float> results[2];
  for (const bool recompute : {false, true}) {
    Tape<float> tape;
    tape.begin({.recompute = recompute, .amp = true});
    const Variable<float> y = stage(tape.input(x));
    tape.zero_gradients();
    tape.backward(mean(y * y));
    const auto gradients = tape.gradients();
    results[recompute].assign(gradients.begin(), gradients.end());
  }
  CHECK(results[0] == results[1]);
}

TEST_CASE("amp: a linear layer and its gradients are products of rounded numbers") {
  ParameterStore<float> store;
  const Linear<float> linear(store, 45, 37);
  store.initialize(2);
  const auto x = random_tensor<float>({50, 45}, 5), target = random_tensor<float>({50, 37}, 6);
  Tape<float> tape;
  tape.begin({.amp = true});
  const Variable<float> in = tape.input(x.shape(), x.span(), true);
  const Variable<float> y = linear(in);
  tape.zero_gradients();
  tape.backward(sum(y * tape.input(target)));  // dy = target
  const auto w = store.value(linear.weight.number), bias = store.value(linear.bias.number);
  const auto at = [](std::int64_t i) { return static_cast<std::size_t>(i); };
  const auto worst = [&](std::int64_t rows, std::int64_t columns, auto got, const auto& wanted) {
    double error = 0;
    for (std::int64_t i = 0; i < rows; ++i)
      for (std::int64_t j = 0; j < columns; ++j)
        error =
            std::max(error, std::abs(static_cast<double>(got[at(i * columns + j)]) - wanted(i, j)));
    return error;
  };
  CHECK(worst(50, 37, y.value(), [&](std::int64_t i, std::int64_t j) {
          double total = static_cast<double>(bias[at(j)]);
          for (std::int64_t k = 0; k < 45; ++k)
            total += rounded(x[i * 45 + k]) * rounded(w[at(j * 45 + k)]);
          return total;
        }) < 2e-5);
  CHECK(worst(50, 45, tape.gradient(in), [&](std::int64_t i, std::int64_t j) {
          double total = 0;
          for (std::int64_t k = 0; k < 37; ++k)
            total += rounded(target[i * 37 + k]) * rounded(w[at(k * 45 + j)]);
          return total;
        }) < 2e-5);
  const auto gradients = store.slice_of(tape.gradients(), linear.weight.number);
  CHECK(worst(37, 45, gradients, [&](std::int64_t i, std::int64_t j) {
          double total = 0;
          for (std::int64_t r = 0; r < 50; ++r)
            total += rounded(target[r * 37 + i]) * rounded(x[r * 45 + j]);
          return total;
        }) < 2e-5);
}

TEST_CASE("amp: nothing changes in double") {
  ParameterStore<double> store;
  const Net<double> net(store);
  store.initialize(3);
  const auto x = random_tensor<double>({1, 9, 9, 3}, 1);
  const Result<double> plain = run(net, x, false), amp = run(net, x, true);
  CHECK(plain.value == amp.value);
  CHECK(plain.gradients == amp.gradients);
}
