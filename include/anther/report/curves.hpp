// The curves of a training run: loss on the left, accuracy on the right.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/io/atomic_file.hpp"
#include "anther/io/csv.hpp"
#include "anther/report/plot.hpp"

namespace anther::inline v0_1::report {

// What one training step saw; Accuracies here and below are
// fractions; NaN: not known.
struct StepCurve {
  double epoch =
      0;  // how many epochs were done after it: 12 of the 49 steps of the third are 2.245
  double loss = std::numeric_limits<double>::quiet_NaN();
  double top1 = std::numeric_limits<double>::quiet_NaN();
};

struct EpochCurve {
  double epoch = 0;  // from 1
  double train_loss = std::numeric_limits<double>::quiet_NaN();
  double train_top1 = std::numeric_limits<double>::quiet_NaN();
  double val_loss = std::numeric_limits<double>::quiet_NaN();
  double val_top1 = std::numeric_limits<double>::quiet_NaN();
  double val_top5 = std::numeric_limits<double>::quiet_NaN();
  double ema_loss = std::numeric_limits<double>::quiet_NaN();  // of the averaged weights
  double ema_top1 = std::numeric_limits<double>::quiet_NaN();

  // What is best goes by, as EpochReport has it.
  double metric() const { return std::isnan(ema_top1) ? val_top1 : ema_top1; }
};

struct TrainingCurves {
  std::string title = "Training";
  std::string val_name = "val";  // the split that was evaluated on: "test", "valid"
  std::vector<StepCurve> steps = {};
  std::vector<EpochCurve> epochs = {};
};

// The chart, its subtitle with the best epoch. Series without any value are left out; a value that
// is not finite is a gap, an epoch without an evaluation none.
inline Plot training_plot(const TrainingCurves& curves) {
  constexpr const char* train_color = "#2563eb";
  constexpr const char* val_color = "#ea580c";
  constexpr const char* ema_color = "#16a34a";
  const auto add = [](PlotPanel& panel, PlotSeries series, const auto& rows, auto member) {
    bool any = false;
    for (const auto& row : rows) {
      if constexpr (requires { row.metric(); })
        if (std::isnan(row.*member) && std::isnan(row.metric())) continue;
      series.points.push_back({row.epoch, row.*member});
      any = any || std::isfinite(row.*member);
    }
    if (any) panel.series.push_back(std::move(series));
  };

  const std::string& val = curves.val_name;
  PlotPanel loss{.title = "Loss", .x_label = "epoch", .x_end = 1};
  add(loss, {"each step", train_color, PlotStyle::raw}, curves.steps, &StepCurve::loss);
  add(loss, {"train", train_color}, curves.epochs, &EpochCurve::train_loss);
  add(loss, {val, val_color}, curves.epochs, &EpochCurve::val_loss);
  add(loss, {val + ", averaged weights", ema_color}, curves.epochs, &EpochCurve::ema_loss);

  PlotPanel accuracy{.title = "Accuracy", .x_label = "epoch", .x_end = 1, .percent = true};
  add(accuracy, {"each step", train_color, PlotStyle::raw}, curves.steps, &StepCurve::top1);
  add(accuracy, {"train", train_color}, curves.epochs, &EpochCurve::train_top1);
  add(accuracy, {val + " top-5", val_color, PlotStyle::dashed}, curves.epochs,
      &EpochCurve::val_top5);
  add(accuracy, {val + " top-1", val_color}, curves.epochs, &EpochCurve::val_top1);
  add(accuracy, {val + " top-1, averaged weights", ema_color}, curves.epochs,
      &EpochCurve::ema_top1);

  std::string subtitle =
      detail::text_of(curves.epochs.size(), curves.epochs.size() == 1 ? " epoch, " : " epochs, ",
                      curves.steps.size(), curves.steps.size() == 1 ? " step" : " steps");
  const EpochCurve* best = nullptr;
  for (const EpochCurve& epoch : curves.epochs)
    if (epoch.metric() >= 0 && epoch.metric() <= 1 && (!best || epoch.metric() > best->metric()))
      best = &epoch;
  if (best)
    subtitle += detail::text_of(", best ", val, " top-1 ", fixed_decimals(100 * best->metric(), 1),
                                "% after epoch ", fixed_decimals(best->epoch, 0));
  return {curves.title, subtitle, {std::move(loss), std::move(accuracy)}};
}

// The curves of a run from its steps.csv and results.csv; columns that are not there stay unknown.
inline TrainingCurves training_curves(const io::CsvTable& steps, const io::CsvTable& results,
                                      std::string title, std::string val_name) {
  TrainingCurves curves{.title = std::move(title), .val_name = std::move(val_name)};
  const auto fill = [](const io::CsvTable& table, auto& rows, const std::string& column,
                       auto member) {
    const std::vector<double> values = table.column(column);
    rows.resize(table.rows.size());
    for (std::size_t i = 0; i < values.size(); ++i) rows[i].*member = values[i];
  };
  fill(steps, curves.steps, "epoch", &StepCurve::epoch);
  fill(steps, curves.steps, "train/loss", &StepCurve::loss);
  fill(steps, curves.steps, "train/top1", &StepCurve::top1);
  fill(results, curves.epochs, "epoch", &EpochCurve::epoch);
  fill(results, curves.epochs, "train/loss", &EpochCurve::train_loss);
  fill(results, curves.epochs, "train/top1", &EpochCurve::train_top1);
  fill(results, curves.epochs, "val/loss", &EpochCurve::val_loss);
  fill(results, curves.epochs, "val/top1", &EpochCurve::val_top1);
  fill(results, curves.epochs, "val/top5", &EpochCurve::val_top5);
  fill(results, curves.epochs, "val_ema/loss", &EpochCurve::ema_loss);
  fill(results, curves.epochs, "val_ema/top1", &EpochCurve::ema_top1);
  return curves;
}

// Writes the chart to a file, atomically. Throws Error with the file's name and the reason.
inline void write_training_curves(const std::filesystem::path& path, const TrainingCurves& curves) {
  io::write_file_atomically(path, PlotWriter::svg(training_plot(curves)));
}

}  // namespace anther::inline v0_1::report
