// What a training run leaves behind and shows, as callbacks of fit(): a progress bar, results.csv
// and steps.csv, curves.svg, and weights/.
#pragma once

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "anther/io/csv.hpp"
#include "anther/report/curves.hpp"
#include "anther/report/progress.hpp"
#include "anther/train/checkpoint.hpp"
#include "anther/train/fit.hpp"
#include "anther/train/run_folder.hpp"

namespace anther::inline v0_1 {

// FitProgress as a run's state holds it.
inline nlohmann::json to_json(const FitProgress& p) {
  return {{"epochs", p.epochs},
          {"batches", p.batches},
          {"step", p.epoch.step},
          {"images", p.epoch.images},
          {"loss", p.epoch.loss},
          {"mean_loss", p.epoch.mean_loss},
          {"top1", p.epoch.top1},
          {"top5", p.epoch.top5},
          {"lr", p.epoch.lr},
          {"stall_seconds", p.epoch.stall_seconds},
          {"all_steps", p.epoch.all_steps},
          {"epoch_begin", p.epoch_begin},
          {"epoch_seconds", p.epoch_seconds},
          {"seconds", p.seconds},
          {"best", p.best},
          {"best_epoch", p.best_epoch},
          {"finished", p.finished}};
}
inline FitProgress fit_progress_from_json(const nlohmann::json& json) {
  FitProgress p;
  try {
    json.at("epochs").get_to(p.epochs);
    json.at("batches").get_to(p.batches);
    json.at("step").get_to(p.epoch.step);
    json.at("images").get_to(p.epoch.images);
    json.at("loss").get_to(p.epoch.loss);
    json.at("mean_loss").get_to(p.epoch.mean_loss);
    json.at("top1").get_to(p.epoch.top1);
    json.at("top5").get_to(p.epoch.top5);
    json.at("lr").get_to(p.epoch.lr);
    json.at("stall_seconds").get_to(p.epoch.stall_seconds);
    json.at("all_steps").get_to(p.epoch.all_steps);
    json.at("epoch_begin").get_to(p.epoch_begin);
    json.at("epoch_seconds").get_to(p.epoch_seconds);
    json.at("seconds").get_to(p.seconds);
    json.at("best").get_to(p.best);
    json.at("best_epoch").get_to(p.best_epoch);
    json.at("finished").get_to(p.finished);
  } catch (const nlohmann::json::exception& error) {
    detail::fail("state: expected the progress of a run: ", error.what());
  }
  return p;
}

// A bar for each epoch and evaluation; after the first steps, a forecast of the whole run.
class ProgressCallback : public Callback {
 public:
  // epochs: of the whole run; 0: not known. evaluation_images: of the evaluations after an epoch,
  // for the forecast.
  ProgressCallback(std::int64_t epochs, std::int64_t evaluation_images,
                   const report::ProgressOptions& options = {})
      : progress_(options), epochs_(epochs), evaluation_images_(evaluation_images) {}

  void on_epoch_begin(std::int64_t epoch, std::int64_t steps, std::int64_t images) override {
    epoch_images_ = images;
    evaluations_ = 0;
    progress_.start(epochs_ > 0 ? detail::text_of("Epoch ", epoch, "/", epochs_)
                                : detail::text_of("Epoch ", epoch),
                    steps, images);
  }
  void on_resume(const StepReport& done) override {
    progress_.skip(done.step, done.images);
    forecast_step_ = done.step + 3;
  }
  void on_step(const StepReport& report) override {
    const std::string stall = "stall " + report::format_duration(report.stall_seconds);
    progress_.update({.steps = report.step,
                      .images = report.images,
                      .loss = report.loss,
                      .accuracy = report.top1,
                      .note = stall});
    if (report.step == forecast_step_ && !forecast_given_ && epochs_ > 0) forecast(report);
    if (report.step == report.steps) progress_.finish();
  }
  void on_evaluation_begin(std::int64_t steps, std::int64_t images) override {
    progress_.finish();  // where time is up, or no image of the last batch could be decoded
    progress_.start(evaluations_++ == 0 ? "  Evaluating" : "  Evaluating average", steps, images);
  }
  void on_evaluation_step(const StepReport& report) override {
    progress_.update({.steps = report.step,
                      .images = report.images,
                      .loss = report.mean_loss,
                      .accuracy = report.top1});
    if (report.step == report.steps) progress_.finish();
  }
  void on_epoch_end(const EpochReport& report) override {
    progress_.finish();
    if (const std::int64_t skipped = report.skipped + report.val_skipped; skipped > 0)
      progress_.print(detail::text_of("  Left out: ", skipped, " damaged ",
                                      skipped == 1 ? "image" : "images",
                                      " (the first: ", report.first_skipped, ")"));
  }
  void on_progress(const FitProgress&) override { progress_.leave(); }  // stopped within a part

 private:
  // An evaluated image costs about a third of one that is trained on.
  void forecast(const StepReport& report) {
    forecast_given_ = true;
    const double rate = progress_.images_per_second();
    if (!(rate > 0)) return;
    const auto left = static_cast<double>(epochs_ - report.epoch + 1);
    const double images =
        left * (static_cast<double>(epoch_images_) + static_cast<double>(evaluation_images_) / 3) -
        static_cast<double>(report.images);
    progress_.print(detail::text_of("Forecast: ", report::format_duration(images / rate),
                                    " for the remaining ", epochs_ - report.epoch + 1,
                                    epochs_ == report.epoch ? " epoch" : " epochs"));
  }

  report::Progress progress_;
  std::int64_t epochs_, evaluation_images_, epoch_images_ = 0;
  std::int64_t evaluations_ = 0;  // of this epoch
  std::int64_t forecast_step_ = 3;
  bool forecast_given_ = false;
};

// results.csv (a row an epoch), steps.csv (a row a step) and curves.svg in a run's folder.
// Accuracies are fractions, a step's is its batch's; time is in seconds since the run began,
// over all its parts; stall_s is what training waited for images in the epoch. val is the split
// that was evaluated, whichever that is: args.json has it as eval_split.
class LogCallback : public Callback {
 public:
  // last_epoch, last_step: done already, where the run goes on; what the files have after them is
  // dropped.
  // averaged: whether there are averaged weights, which have columns of their own.
  LogCallback(const RunFolder& folder, std::string title, std::string val_name,
              std::int64_t last_epoch = 0, std::int64_t last_step = 0, bool averaged = false)
      : folder_(folder),
        title_(std::move(title)),
        val_name_(std::move(val_name)),
        averaged_(averaged),
        results_(io::CsvWriter::resume(folder / "results.csv", columns(averaged), last_epoch)),
        steps_(io::CsvWriter::resume(
            folder / "steps.csv", {"step", "epoch", "train/loss", "train/top1", "lr"}, last_step)) {
  }

  void on_step(const StepReport& report) override {
    const double done = static_cast<double>(report.images) / static_cast<double>(report.all_images);
    steps_.row(report.all_steps, static_cast<double>(report.epoch - 1) + done, report.loss,
               report.batch_top1, report.lr);
  }
  void on_epoch_end(const EpochReport& report) override {
    const double time = std::round(report.time * 10) / 10;
    const auto row = [&](const auto&... more) {
      results_.row(report.epoch, time, report.train_loss, report.train_top1, report.val_loss,
                   report.val_top1, report.val_top5, report.lr, report.images_per_second,
                   report.stall_seconds, report.image_size, more...);
    };
    if (averaged_)
      row(report.ema_loss, report.ema_top1, report.ema_top5);
    else
      row();
    write_curves();
  }

 private:
  static std::vector<std::string> columns(bool averaged) {
    std::vector<std::string> all = {"epoch",        "time",     "train/loss", "train/top1",
                                    "val/loss",     "val/top1", "val/top5",   "lr",
                                    "images_per_s", "stall_s",  "img_size"};
    if (averaged) all.insert(all.end(), {"val_ema/loss", "val_ema/top1", "val_ema/top5"});
    return all;
  }
  void write_curves() const {
    report::write_training_curves(
        folder_ / "curves.svg",
        report::training_curves(io::read_csv(folder_ / "steps.csv"),
                                io::read_csv(folder_ / "results.csv"), title_, val_name_));
  }

  const RunFolder& folder_;
  std::string title_, val_name_;
  bool averaged_;
  io::CsvWriter results_, steps_;
};

// weights/last.safetensors after each epoch, weights/best.safetensors where the evaluation was the
// best so far, and weights/last.state.safetensors to go on from. With an average of the weights
// also weights/last_ema.safetensors, and the best ones are averaged. Each is replaced at once: a
// run that is killed leaves whole files.
template <class T>
class CheckpointCallback : public Callback {
 public:
  CheckpointCallback(const RunFolder& folder, const Optimizer<T>& optimizer, ModelCard card,
                     ModelEma<T>* ema = nullptr)
      : folder_(folder), optimizer_(optimizer), card_(std::move(card)), ema_(ema) {
    to_metadata(card_);  // what cannot be written is told before an epoch is spent on it
  }

  void on_epoch_end(const EpochReport& report) override {
    save("last.safetensors", report, report.val_loss, report.val_top1);
    if (!ema_) {
      if (report.best) save("best.safetensors", report, report.val_loss, report.val_top1);
      return;
    }
    const AveragedWeights<T> averaged(*ema_);
    save("last_ema.safetensors", report, report.ema_loss, report.ema_top1);
    if (report.best) save("best.safetensors", report, report.ema_loss, report.ema_top1);
  }
  void on_progress(const FitProgress& progress) override {
    progress_ = progress;
    save_state(folder_.weights() / "last.state.safetensors", optimizer_, to_json(progress), ema_);
  }
  // As it was saved last.
  const FitProgress& progress() const { return progress_; }

 private:
  void save(const char* name, const EpochReport& report, double loss, double top1) {
    const ParameterStore<T>& store = optimizer_.store();
    card_.notes["epoch"] = std::to_string(report.epoch);
    card_.notes["val_top1"] = io::csv_cell(top1);
    card_.notes["val_loss"] = io::csv_cell(loss);
    save_weights<T>(folder_.weights() / name, store, store.values(), to_metadata(card_),
                    {.batches = report.all_steps});
  }

  const RunFolder& folder_;
  const Optimizer<T>& optimizer_;
  ModelCard card_;
  ModelEma<T>* ema_;
  FitProgress progress_;
};

}  // namespace anther::inline v0_1
