// curves.svg in a run's folder, drawn anew after each epoch of fit().
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "anther/io/csv.hpp"
#include "anther/report/curves.hpp"
#include "anther/report/draw_or_tell.hpp"
#include "anther/train/fit.hpp"
#include "anther/train/run_folder.hpp"

namespace anther::inline v0_1::report {

// The values are kept in memory. If a run goes on, the earlier values are read once, from the files
// that LogCallback writes: make this callback after that one.
class CurvesCallback : public Callback {
 public:
  CurvesCallback(const RunFolder& folder, std::string title, std::string val_name,
                 const Metrics& metrics)
      : path_(folder / "curves.svg") {
    const auto steps = folder / "steps.csv", results = folder / "results.csv";
    if (std::filesystem::exists(steps) && std::filesystem::exists(results))
      draw_or_tell(
          [&] { curves_ = training_curves(io::read_csv(steps), io::read_csv(results), "", ""); });
    curves_.title = std::move(title);
    curves_.val_name = std::move(val_name);
    curves_.metrics.clear();
    for (const MetricPointer& metric : metrics) curves_.metrics.push_back(metric->info());
  }

  void on_step(const StepReport& report) override {
    const double done =
        static_cast<double>(report.samples) / static_cast<double>(report.all_samples);
    StepCurve& step = curves_.steps.emplace_back();
    step.epoch = static_cast<double>(report.epoch - 1) + done;
    step.loss = report.loss;
    if (!report.batch_metrics.empty()) step.metric = report.batch_metrics.front().value;
  }
  void on_epoch_end(const EpochReport& report) override {
    EpochCurve& epoch = curves_.epochs.emplace_back();
    epoch.epoch = static_cast<double>(report.epoch);
    epoch.train_loss = report.train_loss;
    if (!report.train_metrics.empty()) epoch.train_metric = report.train_metrics.front().value;
    epoch.val_loss = report.val_loss;
    epoch.ema_loss = report.ema_loss;
    for (const MetricValue& metric : report.val_metrics) epoch.val_metrics.push_back(metric.value);
    for (const MetricValue& metric : report.ema_metrics) epoch.ema_metrics.push_back(metric.value);
    draw_or_tell([&] { write_training_curves(path_, curves_); });
  }

 private:
  std::filesystem::path path_;
  TrainingCurves curves_;
};

}  // namespace anther::inline v0_1::report
