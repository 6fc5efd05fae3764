// GRU and LSTM against PyTorch 2.15's numbers, and runs in pieces.
#include "anther/nn/recurrent.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "anther/autograd/gradient_check.hpp"

namespace {

using namespace anther;

// The parameters as functions of their names and numbers, as the script that PyTorch ran had them.
void set_values(ParameterStore<double>& store) {
  const auto edit = store.edit();
  for (std::size_t p = 0; p < store.parameters().size(); ++p) {
    const std::string& name = store.parameters()[p].name;
    const double start = static_cast<double>(name.size()) + (name.find("hh") != name.npos ? 7 : 0) +
                         (name.back() == '1' ? 3 : 0);
    double i = 0;
    for (double& value : edit.value(static_cast<int>(p))) value = 0.4 * std::sin(1.3 * i++ + start);
  }
}

Tensor<double> sequences() {
  Tensor<double> x({2, 5, 3});
  for (std::int64_t i = 0; i < x.size(); ++i) x[i] = std::cos(0.7 * static_cast<double>(i));
  return x;
}

bool near(std::span<const double> got, const std::vector<double>& expected) {
  for (std::size_t i = 0; i < expected.size(); ++i)
    if (!(std::abs(got[i] - expected[i]) < 1e-13)) return false;
  return true;
}

template <class Layer>
void check(const std::vector<double>& last, const std::vector<std::vector<double>>& state,
           const std::vector<double>& dx, const std::vector<double>& gradients) {
  ParameterStore<double> store;
  const Layer layer(store, 3, 4, {.num_layers = 2});
  set_values(store);
  Tape<double> tape;
  const auto x = tape.input(sequences(), true);
  const RecurrentResult<double> result = layer(x, {});
  CHECK(near(result.output.value().subspan(9 * 4), last));
  CHECK(result.state.h.shape() == Shape{2, 2, 4});
  CHECK(near(result.state.h.value().subspan(4), state[0]));  // layer 0, sample 1
  if (state.size() > 1) CHECK(near(result.state.c.value().subspan(4), state[1]));
  Tensor<double> weight(result.output.shape());
  for (std::int64_t i = 0; i < weight.size(); ++i)
    weight[i] = std::sin(0.9 * static_cast<double>(i));
  tape.zero_gradients();
  tape.backward(weighted_sum<double>(result.output, std::as_const(weight).span()));
  CHECK(near(x.gradient(), dx));
  for (std::size_t p = 0; p < store.parameters().size(); ++p) {
    CAPTURE(store.parameters()[p].name);
    double sum = 0, i = 1;
    for (const double g : store.slice_of(tape.gradients(store), static_cast<int>(p)))
      sum += g * i++;
    CHECK(std::abs(sum - gradients[p]) < 1e-12);
  }
}

TEST_CASE("GRU: PyTorch's numbers") {
  check<GRU<double>>(
      {-0.7051132837446317, -0.2562175182867509, 0.2915830557499523, 0.43790361938598865},
      {{0.4412050990350999, -0.06682959540921544, 0.005353062100900058, -0.16001660537948525}},
      {0.014360590678523497, 0.021474337968292605, -0.002871870174510005},
      {3.368265628942746, 0.8860595618018823, 3.260751561805684, 0.991980670567723,
       -3.0111794896811137, -1.8674049579893683, -0.5469563844588503, 3.0417773032885487});
}

TEST_CASE("LSTM: PyTorch's numbers") {
  check<LSTM<double>>(
      {-0.27729235691400983, -0.0805124210786213, 0.29102869243205287, 0.17168299626915487},
      {{0.2789999797065189, -0.045174636266606776, -0.04753030994357879, -0.15444548050206686},
       {0.4592753794672365, -0.06716389217797741, -0.15274823964638806, -0.3511313979329698}},
      {-0.0011229858303339684, 0.001284595648321162, 0.001810241492698241},
      {0.898073111279662, -0.010178497186450919, -0.12812812531769807, -0.128128125317698,
       -1.3851265856415642, -2.1911118874386997, -0.8954004573974346, -0.8954004573974346});
}

template <class Layer>
void check_pieces() {
  ParameterStore<float> store;
  const Layer layer(store, 3, 20, {.num_layers = 2});
  store.initialize(1);
  Tensor<float> x({19, 7, 3});
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(normal(RandomKey(2), static_cast<std::uint64_t>(i)));
  Tape<float> tape;
  const auto all = tape.input(x), whole = layer(all);
  const auto first = layer(narrow(all, 1, 0, 3), {});
  const auto second = layer(narrow(all, 1, 3, 4), first.state);
  const auto joined = cat({first.output, second.output}, 1);
  CHECK(std::ranges::equal(whole.value(), joined.value()));
  // Steps before samples.
  ParameterStore<float> other_store;
  const Layer other(other_store, 3, 20, {.num_layers = 2, .batch_first = false});
  std::ranges::copy(store.values(), other_store.edit().values().begin());
  Tensor<float> turned({7, 19, 3});
  for (std::int64_t n = 0; n < 19; ++n)
    for (std::int64_t t = 0; t < 7; ++t)
      for (std::int64_t c = 0; c < 3; ++c) turned[(t * 19 + n) * 3 + c] = x[(n * 7 + t) * 3 + c];
  const auto y = other(tape.input(turned));
  CHECK(y.shape() == Shape{7, 19, 20});
  for (std::size_t n = 0; n < 19; ++n)
    for (std::size_t t = 0; t < 7; ++t)
      for (std::size_t c = 0; c < 20; ++c)
        CHECK(y.value()[(t * 19 + n) * 20 + c] == whole.value()[(n * 7 + t) * 20 + c]);
}

TEST_CASE("GRU and LSTM: in pieces, and with steps before samples, the same bits") {
  check_pieces<GRU<float>>();
  check_pieces<LSTM<float>>();
}

TEST_CASE("recurrent layers: one at least") {
  ParameterStore<float> store;
  const GRU<float> one(Scope<float>(store) / "one", 3, 4);
  CHECK(store.parameters().size() == 4);
  CHECK_THROWS_WITH_AS(GRU<float>(Scope<float>(store) / "none", 3, 4, {.num_layers = 0}),
                       "none: expected a num_layers of at least 1, got 0", Error);
}

}  // namespace
