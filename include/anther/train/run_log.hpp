// The tables that a training run leaves behind, as a callback of fit(): results.csv and steps.csv.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "anther/io/csv.hpp"
#include "anther/train/fit.hpp"
#include "anther/train/run_folder.hpp"

namespace anther::inline v0_1 {

struct LogOptions {
  Metrics metrics = {};  // fit()'s: each has columns
  // Whether there are averaged weights, which have their own columns.
  bool averaged = false;
  std::string unit = "samples";  // what is counted a second: images, say
  // More columns of results.csv: a name, and a function that gives the value of an epoch.
  std::vector<std::pair<std::string, std::function<double(const EpochReport&)>>> columns = {};
  // How many were done before, if the run goes on. What the files have after them is dropped.
  std::int64_t last_epoch = 0, last_step = 0;
};

// Writes results.csv (a row for each epoch) and steps.csv (a row for each step) to a run's folder:
// the loss, the first metric of training, all metrics of the evaluation. Shares are fractions of 1;
// those of a step are of its batch. time is in seconds since the run began, over all its parts;
// stall_s is how long training waited for samples in the epoch. val is the split that was
// evaluated, whichever that is.
class LogCallback : public Callback {
 public:
  LogCallback(const RunFolder& folder, const LogOptions& options)
      : names_(names_of(options.metrics)),
        averaged_(options.averaged),
        columns_(options.columns),
        results_(io::CsvWriter::resume(folder / "results.csv", result_columns(options, names_),
                                       options.last_epoch)),
        steps_(
            io::CsvWriter::resume(folder / "steps.csv", step_columns(names_), options.last_step)) {}

  void on_step(const StepReport& report) override {
    const double done =
        static_cast<double>(report.samples) / static_cast<double>(report.all_samples);
    cells_.clear();
    add(report.all_steps);
    add(static_cast<double>(report.epoch - 1) + done);
    add(report.loss);
    add_first(report.batch_metrics);
    add(report.lr);
    steps_.row(cells_);
  }
  void on_epoch_end(const EpochReport& report) override {
    cells_.clear();
    add(report.epoch);
    add(std::round(report.time * 10) / 10);
    add(report.train_loss);
    add_first(report.train_metrics);
    add_all(report.val_loss, report.val_metrics);
    add(report.lr);
    add(report.samples_per_second);
    add(report.stall_seconds);
    for (const auto& [name, value] : columns_) add(value(report));
    if (averaged_) add_all(report.ema_loss, report.ema_metrics);
    results_.row(cells_);
  }

 private:
  static std::vector<std::string> names_of(const Metrics& metrics) {
    std::vector<std::string> names;
    for (const MetricPointer& metric : metrics) names.push_back(metric->info().name);
    return names;
  }
  static std::vector<std::string> step_columns(const std::vector<std::string>& names) {
    std::vector<std::string> all = {"step", "epoch", "train/loss"};
    if (!names.empty()) all.push_back("train/" + names.front());
    all.push_back("lr");
    return all;
  }
  static std::vector<std::string> result_columns(const LogOptions& options,
                                                 const std::vector<std::string>& names) {
    std::vector<std::string> all = {"epoch", "time", "train/loss"};
    if (!names.empty()) all.push_back("train/" + names.front());
    const auto evaluation = [&](const std::string& part) {
      all.push_back(part + "/loss");
      for (const std::string& name : names) all.push_back(part + "/" + name);
    };
    evaluation("val");
    all.insert(all.end(), {"lr", options.unit + "_per_s", "stall_s"});
    for (const auto& [name, value] : options.columns) all.push_back(name);
    if (options.averaged) evaluation("val_ema");
    return all;
  }

  template <class Number>
  void add(Number value) {
    cells_.push_back(io::csv_cell(value));
  }
  void add_first(const std::vector<MetricValue>& metrics) {
    if (!names_.empty()) add(value_of(metrics, names_.front()));
  }
  void add_all(double loss, const std::vector<MetricValue>& metrics) {
    add(loss);
    for (const std::string& name : names_) add(value_of(metrics, name));
  }

  std::vector<std::string> names_;
  bool averaged_;
  std::vector<std::pair<std::string, std::function<double(const EpochReport&)>>> columns_;
  io::CsvWriter results_, steps_;
  std::vector<std::string> cells_;
};

}  // namespace anther::inline v0_1
