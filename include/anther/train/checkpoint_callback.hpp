// A callback of fit() that writes the files of weights/: weights to use, and the state to go on
// from.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "anther/core/once.hpp"
#include "anther/io/csv.hpp"
#include "anther/io/json_members.hpp"
#include "anther/train/checkpoint.hpp"
#include "anther/train/fit.hpp"
#include "anther/train/run_folder.hpp"

namespace anther::inline v0_1 {

// A number of a run's state. JSON has none that are infinite or NaN: these are text, "inf".
ANTHER_ONCE nlohmann::json state_number(double value) {
  if (std::isfinite(value)) return value;
  return io::csv_cell(value);
}
ANTHER_ONCE double number_of_state(const nlohmann::json& json) {
  constexpr double infinity = std::numeric_limits<double>::infinity();
  constexpr double none = std::numeric_limits<double>::quiet_NaN();
  if (json.is_null()) return none;  // in older files
  for (const double value : {infinity, -infinity, none})
    if (json == state_number(value)) return value;
  return json.get<double>();
}

// FitProgress as a run's state holds it.
ANTHER_ONCE nlohmann::json to_json(const FitProgress& p) {
  nlohmann::json metric_sums = nlohmann::json::object();
  for (const auto& [name, sums] : p.metric_sums) {
    nlohmann::json& to = metric_sums[name] = nlohmann::json::array();
    for (const double sum : sums) to.push_back(state_number(sum));
  }
  return {{"epochs", p.epochs},
          {"batches", p.batches},
          {"batch_size", p.batch_size},
          {"steps_per_epoch", p.steps_per_epoch},
          {"schedule_offset", p.schedule_offset},
          {"step", p.epoch.step},
          {"samples", p.epoch.samples},
          {"loss", state_number(p.epoch.loss)},
          {"mean_loss", state_number(p.epoch.mean_loss)},
          {"metric_sums", std::move(metric_sums)},
          {"lr", p.epoch.lr},
          {"stall_seconds", p.epoch.stall_seconds},
          {"all_steps", p.epoch.all_steps},
          {"epoch_begin", p.epoch_begin},
          {"epoch_seconds", p.epoch_seconds},
          {"seconds", p.seconds},
          {"best", state_number(p.best)},
          {"best_epoch", p.best_epoch},
          {"finished", p.finished}};
}
// Also reads files from before metrics were of any kind, which have "images", "top1" and "top5".
ANTHER_ONCE FitProgress fit_progress_from_json(const nlohmann::json& json) {
  FitProgress p;
  // nlohmann-json would take a float for a whole number, whatever its size.
  const auto read = [&](const char* name, std::int64_t& value) {
    io::JsonMember<std::int64_t>::from(name, json.at(name), value);
  };
  try {
    read("epochs", p.epochs);
    read("batches", p.batches);
    if (json.contains("batch_size")) read("batch_size", p.batch_size);
    if (json.contains("steps_per_epoch")) read("steps_per_epoch", p.steps_per_epoch);
    if (json.contains("schedule_offset")) read("schedule_offset", p.schedule_offset);
    read("step", p.epoch.step);
    read(json.contains("samples") ? "samples" : "images", p.epoch.samples);
    p.epoch.loss = number_of_state(json.at("loss"));
    p.epoch.mean_loss = number_of_state(json.at("mean_loss"));
    if (json.contains("metric_sums")) {
      std::map<std::string, std::vector<nlohmann::json>> all;
      json.at("metric_sums").get_to(all);
      for (const auto& [name, sums] : all)
        std::ranges::transform(sums, std::back_inserter(p.metric_sums[name]), number_of_state);
    } else {
      const auto samples = static_cast<double>(p.epoch.samples);
      for (const char* name : {"top1", "top5"})
        p.metric_sums[name] = {std::round(json.at(name).get<double>() * samples), samples};
    }
    json.at("lr").get_to(p.epoch.lr);
    json.at("stall_seconds").get_to(p.epoch.stall_seconds);
    read("all_steps", p.epoch.all_steps);
    json.at("epoch_begin").get_to(p.epoch_begin);
    json.at("epoch_seconds").get_to(p.epoch_seconds);
    json.at("seconds").get_to(p.seconds);
    p.best = number_of_state(json.at("best"));
    read("best_epoch", p.best_epoch);
    json.at("finished").get_to(p.finished);
  } catch (const nlohmann::json::exception& error) {
    detail::fail("state: expected the progress of a run: ", error.what());
  } catch (const Error& error) {
    detail::fail("state: expected the progress of a run: ", error.what());
  }
  return p;
}

// Writes weights/last.safetensors after each epoch, weights/best.safetensors if the evaluation was
// the best so far, and weights/last.state.safetensors to go on from, first before the first step.
// With an average of the weights it also writes weights/last_ema.safetensors, and the best weights
// are averaged ones. Each file is replaced at once: a run that is killed leaves complete files.
template <class T>
class CheckpointCallback : public Callback {
 public:
  // states: how many states are kept, the last one and those before it (earlier_state).
  CheckpointCallback(const RunFolder& folder, const Optimizer<T>& optimizer, ModelCard card,
                     ModelEma<T>* ema = nullptr, int states = 2)
      : folder_(folder), optimizer_(optimizer), card_(std::move(card)), ema_(ema), states_(states) {
    detail::check(states >= 1, "checkpoints: expected at least 1 state to keep, got ", states);
    to_metadata(card_);  // fails now, not after an epoch, if it cannot be written
  }

  // A run whose first steps already fail can go on from its beginning, with other options.
  void on_epoch_begin(std::int64_t /*epoch*/, std::int64_t /*steps*/,
                      std::int64_t /*samples*/) override {
    if (!std::filesystem::exists(folder_.weights() / "last.state.safetensors"))
      on_progress(progress_);
  }
  void on_epoch_end(const EpochReport& report) override {
    save("last.safetensors", report, report.val_loss, report.val_metrics);
    if (!ema_) {
      if (report.best) save("best.safetensors", report, report.val_loss, report.val_metrics);
      return;
    }
    const AveragedWeights<T> averaged(*ema_);
    save("last_ema.safetensors", report, report.ema_loss, report.ema_metrics);
    if (report.best) save("best.safetensors", report, report.ema_loss, report.ema_metrics);
  }
  void on_progress(const FitProgress& progress) override {
    progress_ = progress;
    save_state(folder_.weights() / "last.state.safetensors", optimizer_, to_json(progress), ema_,
               states_);
  }
  // The progress that was saved last.
  const FitProgress& progress() const { return progress_; }

 private:
  void save(const char* name, const EpochReport& report, double loss,
            const std::vector<MetricValue>& metrics) {
    const ParameterStore<T>& store = optimizer_.store();
    card_.notes["epoch"] = std::to_string(report.epoch);
    for (const MetricValue& metric : metrics)
      card_.notes["val_" + metric.info.name] = io::csv_cell(metric.value);
    card_.notes["val_loss"] = io::csv_cell(loss);
    save_weights<T>(folder_.weights() / name, store, store.values(), to_metadata(card_),
                    {.batches = report.all_steps});
  }

  const RunFolder& folder_;
  const Optimizer<T>& optimizer_;
  ModelCard card_;
  ModelEma<T>* ema_;
  int states_;
  FitProgress progress_;
};

ANTHER_ONCE_FOR(class CheckpointCallback<float>)

}  // namespace anther::inline v0_1
