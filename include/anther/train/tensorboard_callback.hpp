// A run's events for TensorBoard, as a callback of fit(): `tensorboard --logdir runs` shows runs
// side by side.
#pragma once

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "anther/io/tensorboard.hpp"
#include "anther/train/fit.hpp"

namespace anther::inline v0_1 {

// step/... for each optimiser step, and the columns of results.csv for each epoch, all by the
// number of optimiser steps done, so that curves can be compared. Shares are fractions of 1. What
// is not known (NaN) is left out.
class TensorBoardCallback : public Callback {
 public:
  // last_step: the steps done before, if the run goes on; what earlier files have after them is not
  // shown. unit: what is counted per second.
  explicit TensorBoardCallback(const std::filesystem::path& folder, std::int64_t last_step = 0,
                               const std::string& unit = "samples")
      : events_(folder, {.first_step = last_step > 0 ? last_step + 1 : 0}),
        step_(last_step),
        rate_(unit + "_per_s") {}

  void on_step(const StepReport& report) override {
    step_ = report.all_steps;
    add("step/loss", report.loss);
    if (!report.batch_metrics.empty())
      add("step/" + report.batch_metrics[0].info.name, report.batch_metrics[0].value);
    add("step/lr", report.lr);
    write();
  }
  void on_epoch_end(const EpochReport& report) override {
    step_ = report.all_steps;
    add("epoch", static_cast<double>(report.epoch));
    add("train/loss", report.train_loss);
    if (!report.train_metrics.empty())
      add("train/" + report.train_metrics[0].info.name, report.train_metrics[0].value);
    add("val/loss", report.val_loss);
    for (const MetricValue& metric : report.val_metrics)
      add("val/" + metric.info.name, metric.value);
    add("val_ema/loss", report.ema_loss);
    for (const MetricValue& metric : report.ema_metrics)
      add("val_ema/" + metric.info.name, metric.value);
    add("lr", report.lr);
    add(rate_, report.samples_per_second);
    add("stall_s", report.stall_seconds);
    write();
  }

  // A picture of this many pixels as the bytes of a PNG file, and text (the arguments), at the step
  // that is done.
  void add_png(std::string_view tag, std::int64_t width, std::int64_t height,
               std::span<const std::uint8_t> png) {
    events_.image(step_, tag, width, height, png);
  }
  void add_text(std::string_view tag, std::string_view text) { events_.text(step_, tag, text); }

 private:
  void add(std::string tag, double value) {
    if (!std::isnan(value)) known_.emplace_back(std::move(tag), value);
  }
  void write() {
    scalars_.assign(known_.begin(), known_.end());
    events_.scalars(step_, scalars_);
    known_.clear();
  }

  io::EventWriter events_;
  std::int64_t step_;
  std::string rate_;
  std::vector<std::pair<std::string, double>> known_;
  std::vector<io::EventWriter::Scalar> scalars_;
};

}  // namespace anther::inline v0_1
