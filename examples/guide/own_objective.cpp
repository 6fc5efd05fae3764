// An objective and a metric of your own: a model that gives a range instead of a number.
#include <anther/anther.hpp>
#include <anther/data/table.hpp>
#include <anther/train/fit.hpp>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <vector>

using namespace anther;

struct Net : Module<float> {  // (N, 1) -> (N, 2): the lower and the upper end
  explicit Net(const Scope<float>& scope)
      : Module(scope, "Net"), in(scope / "in", 1, 32), out(scope / "out", 32, 2) {}
  Variable<float> forward(Variable<float> x) const override { return out(gelu(in(x))); }
  Linear<float> in, out;
};

// The loss whose minimum is a quantile q: the greater of q (t - y) and (q - 1) (t - y), for an
// output y and its target t. The first output learns the 10 % quantile, the second one the 90 %
// quantile.
Variable<float> quantile_loss(const Variable<float>& outputs, const data::Batch& batch,
                              SampleRange part) {
  Tape<float>& tape = outputs.tape();
  const std::vector<float> q = {0.1f, 0.9f}, less = {-0.9f, -0.1f};
  const auto targets = of_samples(batch.values, batch.size(), part);
  const Variable<float> errors = tape.input({part.count, 1}, targets) - outputs;  // (count, 2)
  const Variable<float> below = errors * tape.input({1, 2}, q);
  const Variable<float> above = errors * tape.input({1, 2}, less);
  return sum(maximum(below, above));
}

// The share of targets that lie within the range. A metric is a function of sums over samples.
class Coverage : public Metric {
 public:
  MetricInfo info() const override {
    return {.name = "coverage", .label = "coverage", .is_share = true};
  }
  void add(std::vector<double>& sums, const Outputs& outputs,
           const data::Batch& batch) const override {
    sums.resize(2);
    for (std::size_t n = 0; n < batch.values.size(); ++n)
      sums[0] +=
          outputs.values[2 * n] <= batch.values[n] && batch.values[n] <= outputs.values[2 * n + 1];
    sums[1] += static_cast<double>(batch.values.size());
  }
  double value(std::span<const double> sums) const override { return sums[0] / sums[1]; }
};

int main() {
  Tensor<float> x({2000, 1}), y({2000});
  for (std::int64_t i = 0; i < y.size(); ++i) {
    const auto number = static_cast<std::uint64_t>(i);
    x[i] = static_cast<float>(2 * uniform(RandomKey(1), number) - 1);
    y[i] = x[i] * x[i] + 0.2f * static_cast<float>(normal(RandomKey(2), number));
  }
  const auto [train, val] = data::split(std::make_shared<data::Table>(x, y), 0.25, 1);
  ParameterStore<float> parameters;
  const Net net(parameters);
  parameters.initialize(1);
  Adam<float> adam(parameters);
  const History history = fit(net, adam, data::Loader(train, {.batch_size = 64, .shuffle = true}),
                              data::Loader(val, {.batch_size = 256}),
                              {.objective = quantile_loss,
                               .metrics = {std::make_shared<Coverage>()},
                               .epochs = 20,
                               .schedule = cosine_schedule(1e-2)});
  const double coverage = history.back().metric().value;
  std::printf("%.0f %% of new targets lie within the range that should hold 80 %%\n",
              100 * coverage);
  return std::abs(coverage - 0.8) < 0.06 ? 0 : 1;
}
