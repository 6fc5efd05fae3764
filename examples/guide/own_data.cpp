// Data of your own: a data set of vectors, and a table from a CSV file, both trained by fit().
#include <anther/anther.hpp>
#include <anther/data/table.hpp>
#include <anther/report/progress_callback.hpp>
#include <anther/train/fit.hpp>
#include <anther/train/objectives.hpp>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>

using namespace anther;

// Signals of 32 numbers, each a wave with noise; the target is how many periods it has.
class Waves : public data::Dataset {
 public:
  explicit Waves(std::int64_t count) : count_(count) {}
  std::int64_t size() const override { return count_; }
  Shape input_shape() const override { return {32}; }
  data::TargetSpec target() const override { return data::numbers(); }

  // What is fixed follows from the index; what is new in each epoch from the key.
  void load(std::int64_t index, RandomKey key, const data::Sample& sample) const override {
    const auto number = static_cast<std::uint64_t>(index);
    const double periods = 1 + 3 * uniform(RandomKey(7).fold("periods"), number);
    for (std::size_t i = 0; i < sample.input.size(); ++i)
      sample.input[i] = static_cast<float>(std::sin(0.2 * periods * static_cast<double>(i)) +
                                           0.05 * normal(key.fold("noise"), i));
    sample.numbers[0] = static_cast<float>(periods);
  }

 private:
  std::int64_t count_;
};

struct Net : Module<float> {
  Net(const Scope<float>& scope, std::int64_t features)
      : Module(scope, "Net"), in(scope / "in", features, 64), out(scope / "out", 64, 1) {}
  Variable<float> forward(Variable<float> x) const override { return out(gelu(in(x))); }
  Linear<float> in, out;
};

double train(const data::DatasetPointer& all, std::int64_t epochs) {
  const auto [first, second] = data::split(all, 0.2, 1);  // 80 % to train on, 20 % to validate
  data::Loader train(first, {.batch_size = 32, .shuffle = true, .seed = 1});
  data::Loader val(second, {.batch_size = 64});
  ParameterStore<float> parameters;
  const Net net(parameters, all->input_shape().numel());
  parameters.initialize(1);
  Adam<float> adam(parameters);
  const History history = fit(net, adam, train, val,
                              {.objective = mse_objective(),
                               .metrics = {mean_absolute_error()},
                               .epochs = epochs,
                               .schedule = cosine_schedule(1e-2)},
                              {report::progress_bar(epochs)});
  return history.back().metric().value;
}

int main() {
  const double of_waves = train(std::make_shared<Waves>(1000), 10);

  const auto path = std::filesystem::temp_directory_path() / "anther_own_data.csv";
  std::ofstream file(path);
  file << "length,width,area\n";
  for (int i = 0; i < 400; ++i)
    file << i % 20 / 10. << ',' << i / 20 / 10. << ',' << (i % 20) * (i / 20) / 100. << '\n';
  file.close();
  const double of_table = train(data::read_table(path, {.target = "area"}), 20);
  std::filesystem::remove(path);
  std::printf("mean absolute errors: waves %.3f, areas %.3f\n", of_waves, of_table);
  return of_waves < 0.2 && of_table < 0.1 ? 0 : 1;
}
