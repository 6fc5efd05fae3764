// The curves of a training run: loss on the left, metrics on the right.
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
#include "anther/core/once.hpp"
#include "anther/io/atomic_file.hpp"
#include "anther/io/csv.hpp"
#include "anther/report/plot.hpp"
#include "anther/train/metrics.hpp"

namespace anther::inline v0_1::report {

// What one training step saw. Shares here and below are fractions of 1. NaN: not known.
struct StepCurve {
  // How many epochs were done after it: step 12 of the 49 steps of the third epoch is at 2.245.
  double epoch = 0;
  double loss = std::numeric_limits<double>::quiet_NaN();
  double metric = std::numeric_limits<double>::quiet_NaN();  // the first
};

struct EpochCurve {
  double epoch = 0;  // from 1
  double train_loss = std::numeric_limits<double>::quiet_NaN();
  double train_metric = std::numeric_limits<double>::quiet_NaN();  // the first
  double val_loss = std::numeric_limits<double>::quiet_NaN();
  double ema_loss = std::numeric_limits<double>::quiet_NaN();  // of the averaged weights
  std::vector<double> val_metrics = {}, ema_metrics = {};      // empty, or one for each metric
};

struct TrainingCurves {
  std::string title = "Training";
  std::string val_name = "val";          // the split that was evaluated on: "test", "valid"
  std::vector<MetricInfo> metrics = {};  // the first says what is best; none: the loss
  std::vector<StepCurve> steps = {};
  std::vector<EpochCurve> epochs = {};

  // Whether an epoch had an evaluation.
  static bool evaluated(const EpochCurve& epoch) {
    return !std::isnan(epoch.val_loss) || !std::isnan(metric_of(epoch.val_metrics, 0)) ||
           !std::isnan(epoch.ema_loss) || !std::isnan(metric_of(epoch.ema_metrics, 0));
  }
  static double metric_of(const std::vector<double>& metrics, std::size_t i) {
    return i < metrics.size() ? metrics[i] : std::numeric_limits<double>::quiet_NaN();
  }
  // What decides which epoch is the best, as in EpochReport.
  double best_by(const EpochCurve& epoch) const {
    if (metrics.empty()) return std::isnan(epoch.ema_loss) ? epoch.val_loss : epoch.ema_loss;
    const double averaged = metric_of(epoch.ema_metrics, 0);
    return std::isnan(averaged) ? metric_of(epoch.val_metrics, 0) : averaged;
  }
};

// Builds the panels of training_plot.
class CurvePanels {
 public:
  explicit CurvePanels(const TrainingCurves& curves) : c_(curves) {}

  PlotPanel loss() const {
    PlotPanel panel{.title = "Loss", .x_label = "epoch", .x_end = 1};
    add_steps(panel, &StepCurve::loss);
    add(panel, {"train", train_color}, [](const EpochCurve& e) { return e.train_loss; });
    add(panel, {c_.val_name, val_color}, [](const EpochCurve& e) { return e.val_loss; });
    add(panel, {c_.val_name + ", averaged weights", ema_color},
        [](const EpochCurve& e) { return e.ema_loss; });
    return panel;
  }

  // Of the first metric, and of the others that share its scale.
  PlotPanel metrics() const {
    const MetricInfo& first = c_.metrics.front();
    PlotPanel panel{.title = first.is_share ? "Accuracy" : first.label,
                    .x_label = "epoch",
                    .x_end = 1,
                    .percent = first.is_share};
    add_steps(panel, &StepCurve::metric);
    add(panel, {"train", train_color}, [](const EpochCurve& e) { return e.train_metric; });
    for (std::size_t i = first.is_share ? c_.metrics.size() - 1 : 0; i > 0; --i)
      if (c_.metrics[i].is_share)
        add(panel, {c_.val_name + " " + c_.metrics[i].label, val_color, PlotStyle::dashed},
            [i](const EpochCurve& e) { return TrainingCurves::metric_of(e.val_metrics, i); });
    add(panel, {c_.val_name + " " + first.label, val_color},
        [](const EpochCurve& e) { return TrainingCurves::metric_of(e.val_metrics, 0); });
    add(panel, {c_.val_name + " " + first.label + ", averaged weights", ema_color},
        [](const EpochCurve& e) { return TrainingCurves::metric_of(e.ema_metrics, 0); });
    return panel;
  }

 private:
  static constexpr const char* train_color = "#2563eb";
  static constexpr const char* val_color = "#ea580c";
  static constexpr const char* ema_color = "#16a34a";

  void add_steps(PlotPanel& panel, double StepCurve::*member) const {
    PlotSeries series{"each step", train_color, PlotStyle::raw};
    for (const StepCurve& step : c_.steps) series.points.push_back({step.epoch, step.*member});
    add(panel, std::move(series));
  }
  // An epoch without an evaluation is not a gap.
  template <class Value>
  void add(PlotPanel& panel, PlotSeries series, const Value& value) const {
    for (const EpochCurve& epoch : c_.epochs)
      if (!std::isnan(value(epoch)) || TrainingCurves::evaluated(epoch))
        series.points.push_back({epoch.epoch, value(epoch)});
    add(panel, std::move(series));
  }
  static void add(PlotPanel& panel, PlotSeries series) {
    for (const PlotPoint& point : series.points)
      if (std::isfinite(point.y)) return panel.series.push_back(std::move(series));
  }

  const TrainingCurves& c_;
};

// The chart; its subtitle has the best epoch. Series without any value are left out. A value that
// is not finite is a gap; an epoch without an evaluation is not.
ANTHER_ONCE Plot training_plot(const TrainingCurves& curves) {
  using detail::text_of;
  std::string subtitle =
      text_of(curves.epochs.size(), curves.epochs.size() == 1 ? " epoch, " : " epochs, ",
              curves.steps.size(), curves.steps.size() == 1 ? " step" : " steps");
  const MetricInfo by = curves.metrics.empty()
                            ? MetricInfo{.name = "loss", .label = "loss", .higher_is_better = false}
                            : curves.metrics.front();
  const EpochCurve* best = nullptr;
  for (const EpochCurve& epoch : curves.epochs) {
    const double value = curves.best_by(epoch);
    if (!std::isfinite(value) || (by.is_share && (value < 0 || value > 1))) continue;
    const double before = best ? curves.best_by(*best) : 0;
    if (!best || (by.higher_is_better ? value > before : value < before)) best = &epoch;
  }
  if (best) {
    const double value = curves.best_by(*best);
    subtitle += text_of(", best ", curves.val_name, " ", by.label, " ",
                        by.is_share ? fixed_decimals(100 * value, 1) + "%" : legend_number(value),
                        " after epoch ", fixed_decimals(best->epoch, 0));
  }
  const CurvePanels panels(curves);
  Plot plot{curves.title, subtitle, {panels.loss()}};
  if (!curves.metrics.empty()) plot.panels.push_back(panels.metrics());
  return plot;
}

// The curves of a run, from its steps.csv and results.csv. Missing columns stay unknown.
ANTHER_ONCE TrainingCurves training_curves(const io::CsvTable& steps, const io::CsvTable& results,
                                           std::string title, std::string val_name) {
  TrainingCurves curves{.title = std::move(title), .val_name = std::move(val_name)};
  for (const std::string& column : results.columns)
    if (column.starts_with("val/") && column != "val/loss")
      curves.metrics.push_back(metric_info(column.substr(4)));
  curves.steps.resize(steps.rows.size());
  curves.epochs.resize(results.rows.size());
  const auto fill = [](const io::CsvTable& table, const std::string& column, const auto& set) {
    const std::vector<double> values = table.column(column);
    for (std::size_t i = 0; i < values.size(); ++i) set(i, values[i]);
  };
  const auto step = [&](const std::string& column, double StepCurve::*member) {
    fill(steps, column, [&](std::size_t i, double value) { curves.steps[i].*member = value; });
  };
  const auto epoch = [&](const std::string& column, double EpochCurve::*member) {
    fill(results, column, [&](std::size_t i, double value) { curves.epochs[i].*member = value; });
  };
  const auto metric = [&](const std::string& column, std::vector<double> EpochCurve::*member) {
    fill(results, column,
         [&](std::size_t i, double value) { (curves.epochs[i].*member).push_back(value); });
  };
  step("epoch", &StepCurve::epoch);
  step("train/loss", &StepCurve::loss);
  epoch("epoch", &EpochCurve::epoch);
  epoch("train/loss", &EpochCurve::train_loss);
  epoch("val/loss", &EpochCurve::val_loss);
  epoch("val_ema/loss", &EpochCurve::ema_loss);
  if (curves.metrics.empty()) return curves;
  step("train/" + curves.metrics.front().name, &StepCurve::metric);
  epoch("train/" + curves.metrics.front().name, &EpochCurve::train_metric);
  for (const MetricInfo& info : curves.metrics) {
    metric("val/" + info.name, &EpochCurve::val_metrics);
    metric("val_ema/" + info.name, &EpochCurve::ema_metrics);
  }
  return curves;
}

// Writes the chart to a file, atomically. Throws Error with the file's name and the reason.
inline void write_training_curves(const std::filesystem::path& path, const TrainingCurves& curves) {
  io::write_file_atomically(path, PlotWriter::svg(training_plot(curves)));
}

}  // namespace anther::inline v0_1::report
