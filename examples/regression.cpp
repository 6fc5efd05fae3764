// Learns a number from others: of a CSV file with a line of names, or of a table of its own.
//
//   regression [houses.csv --target price]
#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>

#include "anther/anther.hpp"
#include "anther/data/table.hpp"
#include "anther/models/mlp/mlp.hpp"
#include "anther/report/progress_callback.hpp"
#include "anther/train/fit.hpp"
#include "anther/train/objectives.hpp"

using namespace anther;

// Mean and deviation of a column. Standardised, every column counts the same.
using Scale = std::pair<double, double>;

std::vector<Scale> scales_of(std::span<const float> values, std::int64_t columns) {
  std::vector<Scale> scales(static_cast<std::size_t>(columns));
  const double rows = static_cast<double>(std::ssize(values) / columns);
  for (std::size_t c = 0; c < scales.size(); ++c) {
    double sum = 0, squares = 0;
    for (std::size_t i = c; i < values.size(); i += scales.size()) sum += double{values[i]};
    for (std::size_t i = c; i < values.size(); i += scales.size())
      squares += std::pow(double{values[i]} - sum / rows, 2);
    scales[c] = {sum / rows, squares > 0 ? std::sqrt(squares / rows) : 1};
  }
  return scales;
}

void standardise(std::span<float> values, const std::vector<Scale>& scales) {
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<float>((double{values[i]} - scales[i % scales.size()].first) /
                                   scales[i % scales.size()].second);
}

// Seven numbers, two of which do not matter, and a target with noise (Friedman's first function).
data::DatasetPointer made_table() {
  Tensor<float> x({2000, 7}), y({2000});
  for (std::uint64_t i = 0; i < 2000; ++i) {
    float* a = x.data() + 7 * i;
    for (auto j = 0u; j < 7; ++j) a[j] = static_cast<float>(uniform(RandomKey(1).fold(i), j));
    y.data()[i] = 10 * std::sin(3.14159f * a[0] * a[1]) + 20 * (a[2] - 0.5f) * (a[2] - 0.5f) +
                  10 * a[3] + 5 * a[4] + static_cast<float>(normal(RandomKey(2), i));
  }
  return std::make_shared<data::Table>(x, y);
}

int main(int argc, char** argv) {
  std::string file, target;
  CLI::App app("Learns a column of a table from the others.");
  CLI::Option* column = app.add_option("--target", target, "the column to learn");
  app.add_option("file", file, "a CSV file; none: a table of its own")->needs(column);
  CLI11_PARSE(app, argc, argv);
  try {
    const data::DatasetPointer all =
        file.empty() ? made_table() : data::read_table(file, {.target = target});
    const auto [first, second] = data::split(all, 0.2, 1);
    data::Batch rows, others;
    for (auto [part, batch] : {std::pair(first, &rows), std::pair(second, &others)}) {
      data::Loader loader(part, {.batch_size = part->size(), .prefetch = 1});
      loader.start_epoch(0);
      loader.next(*batch);
    }
    const auto in = scales_of(rows.inputs.span(), all->input_shape()[0]),
               out = scales_of(rows.values, 1);
    const auto [low, high] = std::ranges::minmax(others.values);
    const double spread = scales_of(others.values, 1)[0].second;
    const auto loader = [&](data::Batch& batch, bool shuffle) {
      standardise(batch.inputs.span(), in);  // by what is trained on alone
      standardise(batch.values, out);
      Tensor<float> targets({batch.size()});
      std::ranges::copy(batch.values, targets.begin());
      return std::make_unique<data::Loader>(std::make_shared<data::Table>(batch.inputs, targets),
                                            data::LoaderOptions{.shuffle = shuffle});
    };
    const auto train = loader(rows, true), held_out = loader(others, false);
    ParameterStore<float> parameters;
    const Mlp<float> model(
        parameters, {.sample = {all->input_shape()[0]}, .hidden = {64, 64}, .num_classes = 1});
    parameters.initialize(1);
    Adam<float> adam(parameters);
    const History history = fit(model, adam, *train, *held_out,
                                {.objective = mse_objective(),
                                 .metrics = {root_mean_squared_error()},
                                 .epochs = 30,
                                 .schedule = cosine_schedule(3e-3)},
                                {report::progress_bar(30)});
    const double error = history.back().metric().value * out[0].second;
    const std::string r2 = report::formatted("%.3f", 1 - std::pow(error / spread, 2));
    std::printf("On rows held out: RMSE %.4g, R^2 %s\n", error,
                low < high ? r2.c_str() : "not defined, as their target is constant");
  } catch (const std::exception& error) {
    std::fprintf(stderr, "regression: %s\n", error.what());
    return 1;
  }
}
