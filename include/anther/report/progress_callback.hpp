// A bar for each epoch and evaluation of fit(), and after the first steps a forecast of the run:
//
//   fit(model, optimizer, train, val, options, {report::progress_bar()});
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "anther/report/progress.hpp"
#include "anther/train/fit.hpp"

namespace anther::inline v0_1::report {

class ProgressCallback : public Callback {
 public:
  // epochs: of the whole run; 0: not known. evaluation_samples: of the evaluations after an epoch,
  // for the forecast.
  explicit ProgressCallback(std::int64_t epochs = 0, std::int64_t evaluation_samples = 0,
                            const ProgressOptions& options = {})
      : progress_(options), epochs_(epochs), evaluation_samples_(evaluation_samples) {}

  void on_epoch_begin(std::int64_t epoch, std::int64_t steps, std::int64_t samples) override {
    epoch_samples_ = samples;
    evaluations_ = 0;
    progress_.start(epochs_ > 0 ? detail::text_of("Epoch ", epoch, "/", epochs_)
                                : detail::text_of("Epoch ", epoch),
                    steps, samples);
  }
  void on_resume(const StepReport& done) override {
    progress_.skip(done.step, done.samples);
    forecast_step_ = done.step + 3;
  }
  void on_step(const StepReport& report) override {
    const std::string stall = "stall " + format_duration(report.stall_seconds);
    progress_.update({.steps = report.step,
                      .samples = report.samples,
                      .loss = report.mean_loss,
                      .metric = text_of(report.metrics),
                      .note = stall});
    if (report.step == forecast_step_ && !forecast_given_ && epochs_ > 0) forecast(report);
    if (report.step == report.steps) progress_.finish();
  }
  void on_evaluation_begin(std::int64_t steps, std::int64_t samples) override {
    progress_.finish();  // where time is up, or no image of the last batch could be decoded
    progress_.start(evaluations_++ == 0 ? "  Evaluating" : "  Evaluating average", steps, samples);
  }
  void on_evaluation_step(const StepReport& report) override {
    progress_.update({.steps = report.step,
                      .samples = report.samples,
                      .loss = report.mean_loss,
                      .metric = text_of(report.metrics)});
    if (report.step == report.steps) progress_.finish();
  }
  void on_epoch_end(const EpochReport& report) override {
    progress_.finish();
    if (const std::int64_t skipped = report.skipped + report.val_skipped; skipped > 0)
      progress_.print(detail::text_of("  Left out: ", skipped, " damaged ",
                                      skipped == 1 ? "sample" : "samples",
                                      " (the first: ", report.first_skipped, ")"));
  }
  void on_progress(const FitProgress& progress) override {
    progress_.leave();  // stopped within a part
    if (progress.finished && progress.epochs < epochs_)
      progress_.print(detail::text_of(
          "Ended after epoch ", progress.epochs, " of ", epochs_,
          progress.best_epoch > 0 ? detail::text_of("; the best was epoch ", progress.best_epoch)
                                  : "; no evaluation gave a number"));
  }

 private:
  // The first metric: "top-1 8.2%", "mean absolute error 0.3214".
  static std::string text_of(const std::vector<MetricValue>& metrics) {
    if (metrics.empty()) return {};
    const auto& [info, value] = metrics.front();
    return info.label + " " +
           (info.is_share ? formatted("%.1f%%", 100 * value) : format_loss(value));
  }

  // An evaluated sample costs about a third of one that is trained on.
  void forecast(const StepReport& report) {
    forecast_given_ = true;
    const double rate = progress_.samples_per_second();
    if (!(rate > 0)) return;
    const auto left = static_cast<double>(epochs_ - report.epoch + 1);
    const double samples = left * (static_cast<double>(epoch_samples_) +
                                   static_cast<double>(evaluation_samples_) / 3) -
                           static_cast<double>(report.samples);
    progress_.print(detail::text_of("Forecast: ", format_duration(samples / rate),
                                    " for the remaining ", epochs_ - report.epoch + 1,
                                    epochs_ == report.epoch ? " epoch" : " epochs"));
  }

  Progress progress_;
  std::int64_t epochs_, evaluation_samples_, epoch_samples_ = 0;
  std::int64_t evaluations_ = 0;  // of this epoch
  std::int64_t forecast_step_ = 3;
  bool forecast_given_ = false;
};

inline std::shared_ptr<Callback> progress_bar(std::int64_t epochs = 0) {
  return std::make_shared<ProgressCallback>(epochs);
}

}  // namespace anther::inline v0_1::report
