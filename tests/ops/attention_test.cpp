// Attention with masks, against plain loops; and what dropout draws.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "anther/anther.hpp"
#include "tests/random_tensor.hpp"

namespace {

using namespace anther;

constexpr std::int64_t samples = 2, heads = 2, queries = 67, keys = 70, head_dim = 5;
constexpr double hidden = -std::numeric_limits<double>::infinity();

// One row of the result: of sample n, head h, query i. mask(j): what is added to key j's product.
template <class T, class Mask>
std::vector<double> attend(const Tensor<T>& q, const Tensor<T>& k, const Tensor<T>& v,
                           std::int64_t n, std::int64_t h, std::int64_t i, const Mask& mask) {
  const std::int64_t channels = heads * head_dim;
  std::vector<double> p(keys), o(head_dim);
  double greatest = hidden, total = 0;
  for (std::int64_t j = 0; j < keys; ++j) {
    double product = 0;
    for (std::int64_t c = h * head_dim; c < (h + 1) * head_dim; ++c)
      product += static_cast<double>(q[(n * queries + i) * channels + c]) *
                 static_cast<double>(k[(n * keys + j) * channels + c]);
    p[static_cast<std::size_t>(j)] = product / std::sqrt(double{head_dim}) + mask(j);
    greatest = std::max(greatest, p[static_cast<std::size_t>(j)]);
  }
  if (greatest == hidden) return o;
  for (double& value : p) total += value = std::exp(value - greatest);
  for (std::int64_t j = 0; j < keys; ++j)
    for (std::int64_t c = 0; c < head_dim; ++c)
      o[static_cast<std::size_t>(c)] +=
          p[static_cast<std::size_t>(j)] / total *
          static_cast<double>(v[(n * keys + j) * channels + h * head_dim + c]);
  return o;
}

template <class T>
void check(bool causal, bool added, bool integers) {
  CAPTURE(causal);
  CAPTURE(added);
  CAPTURE(integers);
  const std::int64_t channels = heads * head_dim;
  const auto q = random_tensor<T>({samples, queries, channels}, 1),
             k = random_tensor<T>({samples, keys, channels}, 2),
             v = random_tensor<T>({samples, keys, channels}, 3);
  auto mask = random_tensor<T>({heads, queries, keys}, 4);
  std::vector<std::int32_t> seen(static_cast<std::size_t>(samples * keys), 1);
  for (std::int64_t j = 0; j < keys; ++j) {
    mask[(queries + 3) * keys + j] = static_cast<T>(hidden);  // head 1, query 3 sees nothing
    if (j % 3 == 1) mask[5 * keys + j] = static_cast<T>(hidden);
    if (j % 4 == 0) seen[static_cast<std::size_t>(keys + j)] = 0;
  }
  Tape<T> tape;
  AttentionOptions<T> options{.is_causal = causal};
  if (added) options.attn_mask = tape.input(mask);
  if (integers) options.attn_mask = tape.integers({samples, 1, 1, keys}, seen);
  const Variable<T> y =
      scaled_dot_product_attention(tape.input(q), tape.input(k), tape.input(v), heads, options);
  double worst = 0;
  for (std::int64_t n = 0; n < samples; ++n)
    for (std::int64_t h = 0; h < heads; ++h)
      for (std::int64_t i = 0; i < queries; ++i) {
        const auto expected = attend(q, k, v, n, h, i, [&](std::int64_t j) {
          if (causal && j > i) return hidden;
          if (added) return static_cast<double>(mask[(h * queries + i) * keys + j]);
          return integers && seen[static_cast<std::size_t>(n * keys + j)] == 0 ? hidden : 0.0;
        });
        for (std::int64_t c = 0; c < head_dim; ++c) {
          const auto at = static_cast<std::size_t>((n * queries + i) * channels + h * head_dim + c);
          const double error =
              std::abs(static_cast<double>(y.value()[at]) - expected[static_cast<std::size_t>(c)]);
          if (!(error <= worst)) worst = error;
        }
      }
  CHECK(worst < (sizeof(T) == 4 ? 2e-5 : 2e-14));
}

TEST_CASE_TEMPLATE("attention: masks, against plain loops", T, float, double) {
  for (const bool causal : {false, true}) {
    check<T>(causal, false, false);
    check<T>(causal, true, false);
    check<T>(causal, false, true);
  }
}

TEST_CASE("attention: dropout drops as many as it says, another sample alike in another batch") {
  const std::int64_t n = 40;
  // Equal probabilities, and values that show them: y is a sum of what is kept.
  Tensor<float> qk({2, n, 8}), v({2, n, 8});
  for (std::int64_t i = 0; i < v.size(); ++i) v[i] = 1;
  const auto run = [&](std::int64_t first, std::int64_t count, double p, bool training = true) {
    Tape<float> tape;
    tape.begin({.training = training, .random = RandomKey(5), .first_sample = first});
    const auto part = [&](const Tensor<float>& x) {
      return narrow(tape.input(x), 0, first, count);
    };
    const auto y = scaled_dot_product_attention(part(qk), part(qk), part(v), 2, {.dropout_p = p});
    return std::vector<float>(y.value().begin(), y.value().end());
  };
  const std::vector<float> y = run(0, 2, 0.25), second = run(1, 1, 0.25);
  CHECK(std::equal(second.begin(), second.end(), y.begin() + n * 8));
  double sum = 0, kept = 0;
  for (std::size_t i = 0; i < y.size(); i += 4) {
    sum += static_cast<double>(y[i]);
    // y = kept / (0.75 n)
    kept = static_cast<double>(y[i]) * 0.75 * n;
    CHECK(std::abs(kept - std::round(kept)) < 1e-4);
  }
  CHECK(sum / static_cast<double>(y.size() / 4) == doctest::Approx(1).epsilon(0.02));
  CHECK(y[0] != y[4]);                   // heads
  CHECK(y[0] != y[8]);                   // queries
  CHECK(y[0] != y[std::size_t{n} * 8]);  // samples
  for (const float value : run(0, 2, 0.25, false)) CHECK(value == doctest::Approx(1));
}

TEST_CASE("attention: the same bits for any number of threads") {
  const auto qkv = random_tensor<float>({3, 70, 24}, 1), mask = random_tensor<float>({2, 1, 70}, 2);
  std::optional<std::vector<float>> serial;
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    Tape<float> tape;
    tape.begin({.random = RandomKey(5)});
    const auto x = tape.input(qkv, true), m = tape.input(mask, true);
    const auto y = self_attention(x, 2, {.attn_mask = m, .is_causal = true, .dropout_p = 0.25});
    tape.backward(mse_loss(y, y * 0.5));
    std::vector<float> all(y.value().begin(), y.value().end());
    all.insert(all.end(), x.gradient().begin(), x.gradient().end());
    all.insert(all.end(), m.gradient().begin(), m.gradient().end());
    if (!serial) serial = all;
    CHECK(all == *serial);
  }
  set_num_threads(0);
}

// The module's parts are those of a model that is written out.
TEST_CASE("MultiheadAttention: self- and cross-attention, PyTorch's names") {
  ParameterStore<double> store;
  const MultiheadAttention<double> attention(store, 6, 2),
      plain(Scope<double>(store) / "b", 6, 3, {.bias = false});
  store.initialize(3);
  std::vector<std::string> names;
  for (const ParameterInfo& info : store.parameters()) names.push_back(info.name);
  CHECK(names == std::vector<std::string>{"in_proj_weight", "out_proj.weight", "out_proj.bias",
                                          "in_proj_bias", "b.in_proj_weight", "b.out_proj.weight"});
  for (double& value : store.edit().value(3)) value = 0.25;
  const auto x = random_tensor<double>({2, 5, 6}, 1);
  Tape<double> tape;
  const auto q = tape.input(x);
  const auto self = attention(q), cross = attention(q, q, q);
  for (std::size_t i = 0; i < self.value().size(); ++i)
    CHECK(self.value()[i] == doctest::Approx(cross.value()[i]).epsilon(1e-12));
  tape.begin();
  const auto loss =
      mse_loss(plain(attention(tape.input(x), tape.input(x), tape.input(x))), tape.input(x));
  tape.zero_gradients();
  tape.backward(loss);
  // As if each of the three had weights of its own: differences in the second third.
  const std::vector<double> gradient(tape.gradients(store).begin(), tape.gradients(store).end());
  for (const int parameter : {0, 3}) {
    const ParameterInfo& info = store.parameters()[static_cast<std::size_t>(parameter)];
    for (std::int64_t i = 1; i < info.size; i += 7) {
      double side[2];
      for (const int s : {0, 1}) {
        store.edit().value(parameter)[static_cast<std::size_t>(i)] += s == 0 ? -1e-6 : 2e-6;
        tape.begin();
        side[s] =
            mse_loss(plain(attention(tape.input(x), tape.input(x), tape.input(x))), tape.input(x))
                .item();
      }
      store.edit().value(parameter)[static_cast<std::size_t>(i)] -= 1e-6;
      CHECK(gradient[static_cast<std::size_t>(info.offset + i)] ==
            doctest::Approx((side[1] - side[0]) / 2e-6).epsilon(1e-5));
    }
  }
}

}  // namespace
