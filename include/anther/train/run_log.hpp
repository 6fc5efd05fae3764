// What a training run leaves behind and shows, as callbacks of fit(): a progress bar, results.csv
// and steps.csv, curves.svg, and weights/.
#pragma once

#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "anther/train/checkpoint.hpp"
#include "anther/train/csv.hpp"
#include "anther/train/curves.hpp"
#include "anther/train/fit.hpp"
#include "anther/train/progress.hpp"
#include "anther/train/run_folder.hpp"

namespace anther::inline v0_1 {

// A bar for each epoch and evaluation; after the first steps, a forecast of the whole run.
class ProgressCallback : public Callback {
 public:
  // epochs: of the whole run. evaluation_images: of one evaluation, for the forecast.
  ProgressCallback(std::int64_t epochs, std::int64_t evaluation_images,
                   const ProgressOptions& options = {})
      : progress_(options), epochs_(epochs), evaluation_images_(evaluation_images) {}

  void on_epoch_begin(std::int64_t epoch, std::int64_t steps, std::int64_t images) override {
    epoch_images_ = images;
    progress_.start(text_of("Epoch ", epoch, "/", epochs_), steps, images);
  }
  void on_step(const StepReport& report) override {
    progress_.update({.steps = report.step,
                      .images = report.images,
                      .loss = report.loss,
                      .accuracy = report.top1});
    if (report.step == forecast_step && !forecast_given_) forecast(report);
    if (report.step == report.steps) progress_.finish();
  }
  void on_evaluation_begin(std::int64_t steps, std::int64_t images) override {
    progress_.start("  Evaluating", steps, images);
  }
  void on_evaluation_step(const StepReport& report) override {
    progress_.update({.steps = report.step,
                      .images = report.images,
                      .loss = report.mean_loss,
                      .accuracy = report.top1});
    if (report.step == report.steps) progress_.finish();
  }

 private:
  static constexpr std::int64_t forecast_step = 3;

  // An evaluated image costs about a third of one that is trained on.
  void forecast(const StepReport& report) {
    forecast_given_ = true;
    const double rate = progress_.images_per_second();
    if (!(rate > 0)) return;
    const auto left = static_cast<double>(epochs_ - report.epoch + 1);
    const double images =
        left * (static_cast<double>(epoch_images_) + static_cast<double>(evaluation_images_) / 3) -
        static_cast<double>(report.images);
    progress_.print(text_of("Forecast: ", format_duration(images / rate), " for the remaining ",
                            epochs_ - report.epoch + 1,
                            epochs_ == report.epoch ? " epoch" : " epochs"));
  }

  Progress progress_;
  std::int64_t epochs_, evaluation_images_, epoch_images_ = 0;
  bool forecast_given_ = false;
};

// results.csv (a row an epoch), steps.csv (a row a step) and curves.svg in a run's folder.
// Accuracies are fractions; time is in seconds since the run began, over all its parts.
class LogCallback : public Callback {
 public:
  // last_epoch, last_step: done already, where the run goes on; what the files have after them is
  // dropped.
  LogCallback(const RunFolder& folder, std::string title, std::string val_name,
              std::int64_t last_epoch = 0, std::int64_t last_step = 0)
      : folder_(folder),
        title_(std::move(title)),
        val_name_(std::move(val_name)),
        results_(CsvWriter::resume(folder / "results.csv",
                                   {"epoch", "time", "train/loss", "train/top1", "val/loss",
                                    "val/top1", "val/top5", "lr", "images_per_s", "stall_s"},
                                   last_epoch)),
        steps_(CsvWriter::resume(folder / "steps.csv",
                                 {"step", "epoch", "train/loss", "train/top1", "lr"}, last_step)) {
    const std::vector<double> time = read_csv(folder / "results.csv").column("time");
    const double before = time.empty() ? 0 : time.back();
    begin_ = std::chrono::steady_clock::now() -
             std::chrono::duration_cast<std::chrono::steady_clock::duration>(
                 std::chrono::duration<double>(before));
  }

  void on_step(const StepReport& report) override {
    const double done = static_cast<double>(report.images) / static_cast<double>(report.all_images);
    steps_.row(report.all_steps, static_cast<double>(report.epoch - 1) + done, report.loss,
               report.top1, report.lr);
  }
  void on_epoch_end(const EpochReport& report) override {
    const double seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
    results_.row(report.epoch, std::round(seconds * 10) / 10, report.train_loss, report.train_top1,
                 report.val_loss, report.val_top1, report.val_top5, report.lr,
                 report.images_per_second, report.stall_seconds);
    write_curves();
  }

 private:
  void write_curves() const {
    TrainingCurves curves{.title = title_, .val_name = val_name_};
    const CsvTable steps = read_csv(folder_ / "steps.csv"),
                   epochs = read_csv(folder_ / "results.csv");
    const auto epoch = steps.column("epoch"), loss = steps.column("train/loss"),
               top1 = steps.column("train/top1");
    for (std::size_t i = 0; i < epoch.size(); ++i)
      curves.steps.push_back({epoch[i], loss[i], top1[i]});
    const auto number = epochs.column("epoch"), train_loss = epochs.column("train/loss"),
               train_top1 = epochs.column("train/top1"), val_loss = epochs.column("val/loss"),
               val_top1 = epochs.column("val/top1"), val_top5 = epochs.column("val/top5");
    for (std::size_t i = 0; i < number.size(); ++i)
      curves.epochs.push_back(
          {number[i], train_loss[i], train_top1[i], val_loss[i], val_top1[i], val_top5[i]});
    write_training_curves(folder_ / "curves.svg", curves);
  }

  const RunFolder& folder_;
  std::string title_, val_name_;
  CsvWriter results_, steps_;
  std::chrono::steady_clock::time_point begin_;
};

// weights/last.safetensors after each epoch, weights/best.safetensors where the evaluation was the
// best so far, and weights/last.state.safetensors to go on from. Each is replaced at once: a run
// that is killed leaves whole files.
template <class T>
class CheckpointCallback : public Callback {
 public:
  CheckpointCallback(const RunFolder& folder, const Optimizer<T>& optimizer, ModelCard card,
                     double best = -1)
      : folder_(folder), optimizer_(optimizer), card_(std::move(card)), best_(best) {}

  void on_epoch_end(const EpochReport& report) override {
    const ParameterStore<T>& store = optimizer_.parameters();
    card_.notes["epoch"] = std::to_string(report.epoch);
    card_.notes["val_top1"] = csv_cell(report.val_top1);
    card_.notes["val_loss"] = csv_cell(report.val_loss);
    const auto metadata = to_metadata(card_);
    const auto save = [&](const char* name) {
      save_weights<T>(folder_.weights() / name, store, store.values(), metadata,
                      {.batches = report.all_steps});
    };
    save("last.safetensors");
    if (report.val_top1 > best_) {
      best_ = report.val_top1;
      save("best.safetensors");
    }
    save_state(folder_.weights() / "last.state.safetensors", optimizer_,
               {{"epoch", report.epoch}, {"best", best_}});
  }

 private:
  const RunFolder& folder_;
  const Optimizer<T>& optimizer_;
  ModelCard card_;
  double best_;
};

}  // namespace anther::inline v0_1
