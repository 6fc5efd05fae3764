// The columns of results.csv and steps.csv, and the chart that goes with them.
#include "anther/train/run_log.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "anther/io/file.hpp"
#include "anther/report/curves_callback.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

using namespace anther;
using namespace anther::io;

const Metrics metrics = {top_k(1), top_k(5)};

std::vector<MetricValue> values(double top1, double top5) {
  return {{top_k(1)->info(), top1}, {top_k(5)->info(), top5}};
}

StepReport step_report() {
  return {.epoch = 2,
          .all_steps = 100'000,
          .samples = 64,
          .all_samples = 256,
          .loss = 2,
          .mean_loss = 3,
          .batch_metrics = values(0.25, 0.5),
          .metrics = values(0.125, 0.75),
          .lr = 0.001};
}

EpochReport epoch_report() {
  return {.epoch = 1,
          .train_loss = 4,
          .val_loss = 5,
          .ema_loss = 6,
          .train_metrics = values(0.25, 0.5),
          .val_metrics = values(0.125, 0.5),
          .ema_metrics = values(0.375, 0.75),
          .lr = 0.001,
          .samples_per_second = 32,
          .stall_seconds = 1.5,
          .input_shape = {96, 96, 3},
          .time = 20.04};
}

TEST_CASE("run log: a step's metric is that of its batch") {
  const TemporaryFolder temporary;
  const RunFolder folder({.output = temporary / "run"});
  LogCallback log(folder, {.metrics = metrics});
  log.on_step(step_report());
  CHECK(read_text_file(folder / "steps.csv") ==
        "step,epoch,train/loss,train/top1,lr\n100000,1.25,2,0.25,0.001\n");
}

TEST_CASE("run log: the columns of results.csv") {
  const TemporaryFolder temporary;
  for (const bool averaged : {false, true}) {
    const RunFolder folder({.output = temporary / (averaged ? "averaged" : "plain")});
    LogCallback log(folder, {.metrics = metrics,
                             .averaged = averaged,
                             .unit = "images",
                             .columns = {{"img_size", [](const EpochReport& r) {
                                            return static_cast<double>(r.input_shape[0]);
                                          }}}});
    log.on_epoch_end(epoch_report());
    const std::string more = averaged ? ",val_ema/loss,val_ema/top1,val_ema/top5" : "";
    CHECK(read_text_file(folder / "results.csv") ==
          "epoch,time,train/loss,train/top1,val/loss,val/top1,val/top5,lr,images_per_s,stall_s,"
          "img_size" +
              more + "\n1,20,4,0.25,5,0.125,0.5,0.001,32,1.5,96" +
              (averaged ? ",6,0.375,0.75" : "") + "\n");
  }
}

TEST_CASE("run log: without metrics there are the losses") {
  const TemporaryFolder temporary;
  const RunFolder folder({.output = temporary / "run"});
  LogCallback log(folder, {});
  log.on_step(step_report());
  log.on_epoch_end(epoch_report());
  CHECK(read_text_file(folder / "steps.csv") == "step,epoch,train/loss,lr\n100000,1.25,2,0.001\n");
  CHECK(read_text_file(folder / "results.csv") ==
        "epoch,time,train/loss,val/loss,lr,samples_per_s,stall_s\n1,20,4,5,0.001,32,1.5\n");
}

TEST_CASE("curves callback: the chart of a run, and of one that goes on") {
  const TemporaryFolder temporary;
  const auto run = [&](const char* name, bool resumed) {
    const RunFolder folder({.output = temporary / name});
    for (int epoch = 1; epoch <= 2;) {
      LogCallback log(folder,
                      {.metrics = metrics, .last_epoch = epoch - 1, .last_step = epoch - 1});
      report::CurvesCallback curves(folder, "A run", "test", metrics);
      for (bool more = true; more && epoch <= 2; ++epoch, more = !resumed) {
        StepReport step = step_report();
        step.epoch = step.all_steps = epoch;
        EpochReport end = epoch_report();
        end.epoch = epoch;
        end.ema_loss = EpochReport::none;
        end.ema_metrics.clear();
        end.val_metrics = values(0.125 * epoch, 0.5);
        for (Callback* callback : {static_cast<Callback*>(&log), static_cast<Callback*>(&curves)}) {
          callback->on_step(step);
          callback->on_epoch_end(end);
        }
      }
    }
    return read_text_file(folder / "curves.svg");
  };
  const std::string whole = run("whole", false);
  // What was evaluated has its own name in the figure.
  CHECK(contains(whole, "2 epochs, 2 steps, best test top-1 25.0% after epoch 2"));
  CHECK(run("resumed", true) == whole);
}

}  // namespace
