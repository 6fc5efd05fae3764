// Learns a number from others: a table of numbers in a CSV file whose first line names the columns.
// Without a file it makes a table of its own.
//
//   regression [houses.csv --target price] [--epochs 60]
#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <exception>

#include "anther/anther.hpp"
#include "anther/data/table.hpp"
#include "anther/models/mlp/mlp.hpp"
#include "anther/report/progress_callback.hpp"
#include "anther/train/fit.hpp"
#include "anther/train/objectives.hpp"

using namespace anther;

// Mean and deviation of a column. Standardised, every column counts the same.
struct Scale {
  double mean = 0, deviation = 1;
};

std::vector<Scale> scales_of(std::span<const float> values, std::size_t columns) {
  std::vector<Scale> scales(columns);
  const double rows = static_cast<double>(values.size() / columns);
  for (std::size_t c = 0; c < columns; ++c) {
    double sum = 0, squares = 0;
    for (std::size_t i = c; i < values.size(); i += columns) sum += double{values[i]};
    for (std::size_t i = c; i < values.size(); i += columns)
      squares += std::pow(double{values[i]} - sum / rows, 2);
    scales[c] = {sum / rows, squares > 0 ? std::sqrt(squares / rows) : 1};
  }
  return scales;
}

void standardise(std::span<float> values, const std::vector<Scale>& scales) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto [mean, deviation] = scales[i % scales.size()];
    values[i] = static_cast<float>((double{values[i]} - mean) / deviation);
  }
}

// All samples at once.
data::Batch rows_of(const data::DatasetPointer& data) {
  data::Loader loader(data, {.batch_size = data->size(), .prefetch = 1});
  data::Batch batch;
  loader.start_epoch(0);
  loader.next(batch);
  return batch;
}

// Five numbers, two of which do not matter, and a target with noise (Friedman's first function).
data::DatasetPointer made_table() {
  Tensor<float> x({2000, 7}), y({2000});
  for (std::int64_t i = 0; i < x.size(); ++i)
    x[i] = static_cast<float>(uniform(RandomKey(1), static_cast<std::uint64_t>(i)));
  for (std::int64_t i = 0; i < y.size(); ++i) {
    const float* a = x.data() + 7 * i;
    y[i] = 10 * std::sin(3.14159f * a[0] * a[1]) + 20 * (a[2] - 0.5f) * (a[2] - 0.5f) + 10 * a[3] +
           5 * a[4] + static_cast<float>(normal(RandomKey(2), static_cast<std::uint64_t>(i)));
  }
  return std::make_shared<data::Table>(x, y);
}

int main(int argc, char** argv) {
  std::string file, target;
  std::int64_t epochs = 60;
  CLI::App app("Learns a column of a table from the others.");
  CLI::Option* table = app.add_option("file", file, "a CSV file; none: a table of its own");
  app.add_option("--target", target, "the column to learn")->needs(table);
  app.add_option("--epochs", epochs)->check(CLI::Range(1, 1 << 20))->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    detail::check(file.empty() || !target.empty(), "--target: expected a column of ", file);
    const data::DatasetPointer all =
        file.empty() ? made_table() : data::read_table(file, {.target = target});
    const auto [first, second] = data::split(all, 0.2, 1);
    data::Batch rows = rows_of(first), others = rows_of(second);
    const auto features = static_cast<std::size_t>(all->input_shape().numel());
    const auto in = scales_of(rows.inputs.span(), features), out = scales_of(rows.values, 1);
    const double deviation = scales_of(others.values, 1)[0].deviation / out[0].deviation;
    const auto loader = [&](data::Batch& batch, bool shuffle) {
      standardise(batch.inputs.span(), in);  // by what is trained on alone
      standardise(batch.values, out);
      Tensor<float> targets({batch.size()});
      std::copy(batch.values.begin(), batch.values.end(), targets.begin());
      return std::make_unique<data::Loader>(std::make_shared<data::Table>(batch.inputs, targets),
                                            data::LoaderOptions{.shuffle = shuffle});
    };
    const auto train = loader(rows, true), held_out = loader(others, false);
    ParameterStore<float> parameters;
    const Mlp<float> model(
        parameters, {.sample = {all->input_shape().numel()}, .hidden = {64, 64}, .num_classes = 1});
    parameters.initialize(1);
    Adam<float> adam(parameters);
    const History history = fit(model, adam, *train, *held_out,
                                {.objective = mse_objective(),
                                 .metrics = {root_mean_squared_error()},
                                 .epochs = epochs,
                                 .schedule = cosine_schedule(3e-3)},
                                {report::progress_bar(epochs)});
    const double error = history.back().metric().value;  // in deviations of the target
    std::printf("On %lld rows held out: RMSE %.4g, R^2 %.3f\n",
                static_cast<long long>(second->size()), error * out[0].deviation,
                1 - std::pow(error / deviation, 2));
  } catch (const std::exception& error) {
    std::fflush(stdout);
    std::fprintf(stderr, "regression: %s\n", error.what());
    return 1;
  }
}
