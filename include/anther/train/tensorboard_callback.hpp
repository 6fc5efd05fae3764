// A run's events for TensorBoard, as a callback of fit(): `tensorboard --logdir runs` shows runs
// side by side.
#pragma once

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <string_view>
#include <utility>
#include <vector>

#include "anther/data/vision/png.hpp"
#include "anther/io/tensorboard.hpp"
#include "anther/train/fit.hpp"

namespace anther::inline v0_1 {

// step/... for each optimiser step, and the columns of results.csv for each epoch; all by the
// number of optimiser steps done, so that curves lie over one another. Accuracies are fractions.
// What is not known (NaN) is left out.
class TensorBoardCallback : public Callback {
 public:
  // last_step: done already, where the run goes on; what earlier files have after it is not shown.
  explicit TensorBoardCallback(const std::filesystem::path& folder, std::int64_t last_step = 0)
      : events_(folder, {.first_step = last_step > 0 ? last_step + 1 : 0}), step_(last_step) {}

  void on_step(const StepReport& report) override {
    step_ = report.all_steps;
    write({{"step/loss", report.loss}, {"step/top1", report.batch_top1}, {"step/lr", report.lr}});
  }
  void on_epoch_end(const EpochReport& report) override {
    step_ = report.all_steps;
    write({{"epoch", static_cast<double>(report.epoch)},
           {"train/loss", report.train_loss},
           {"train/top1", report.train_top1},
           {"val/loss", report.val_loss},
           {"val/top1", report.val_top1},
           {"val/top5", report.val_top5},
           {"val_ema/loss", report.ema_loss},
           {"val_ema/top1", report.ema_top1},
           {"val_ema/top5", report.ema_top5},
           {"lr", report.lr},
           {"images_per_s", report.images_per_second},
           {"stall_s", report.stall_seconds}});
  }

  // A picture (the images of a batch, say) and text (the arguments), at the step that is done.
  void add_image(std::string_view tag, const vision::Image& image) {
    events_.image(step_, tag, image.width, image.height, vision::encode_png(image));
  }
  void add_text(std::string_view tag, std::string_view text) { events_.text(step_, tag, text); }

 private:
  void write(std::initializer_list<io::EventWriter::Scalar> values) {
    known_.clear();
    for (const io::EventWriter::Scalar& value : values)
      if (!std::isnan(value.second)) known_.push_back(value);
    events_.scalars(step_, known_);
  }

  io::EventWriter events_;
  std::int64_t step_;
  std::vector<io::EventWriter::Scalar> known_;
};

}  // namespace anther::inline v0_1
