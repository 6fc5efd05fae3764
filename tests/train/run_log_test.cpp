// What a run shows and writes down: its progress line, and the columns of results.csv.
#include "anther/train/run_log.hpp"

#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "anther/io/file.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

using namespace anther;
using namespace anther::io;

TEST_CASE("run log: the progress line says how long training waited, within 80 columns") {
  char* memory = nullptr;
  std::size_t size = 0;
  std::FILE* out = ::open_memstream(&memory, &size);
  double now = 0;
  {
    ProgressCallback progress(
        20, 1020, {.out = out, .terminal = true, .columns = 80, .clock = [&] { return now; }});
    progress.on_epoch_begin(3, 49, 6149);
    for (int step = 1; step <= 12; ++step) {
      now += 3.45;
      progress.on_step({.step = step,
                        .steps = 49,
                        .images = 128 * step,
                        .loss = 3.99112,
                        .top1 = 0.0815,
                        .stall_seconds = 0.3 * step});
    }
  }
  std::fclose(out);
  std::string text(memory, size);
  std::free(memory);
  text = text.substr(text.rfind('\r') + 1);
  text = text.substr(0, text.find('\x1b'));
  CHECK(text == "Epoch 3/20 12/49 [=>........] loss 3.9911 acc 8.2% 37.1 img/s stall 4s ETA 2:04");
  CHECK(text.size() < 80);
}

TEST_CASE("run log: an epoch that ends early keeps its line") {
  char* memory = nullptr;
  std::size_t size = 0;
  std::FILE* out = ::open_memstream(&memory, &size);
  {
    ProgressCallback progress(20, 1020, {.out = out, .terminal = true, .columns = 80});
    progress.on_epoch_begin(3, 4, 64);
    progress.on_step({.step = 1, .steps = 4, .images = 16});
    progress.on_evaluation_begin(2, 64);  // as where the time is up
    progress.on_evaluation_step({.step = 1, .steps = 2, .images = 32});
    progress.on_progress({});  // as where the run is stopped
    std::fputs("Stopped", out);
  }
  std::fclose(out);
  const std::string text(memory, size);
  std::free(memory);
  CHECK(count_of(text, "\n") == 2);
  CHECK(text.find("\n") < text.find("Evaluating"));
  CHECK(text.ends_with("\nStopped"));
}

TEST_CASE("run log: damaged images that were left out are said after each epoch") {
  char* memory = nullptr;
  std::size_t size = 0;
  std::FILE* out = ::open_memstream(&memory, &size);
  {
    ProgressCallback progress(2, 8, {.out = out, .terminal = false, .clock = [] { return 0.0; }});
    // Of three batches the last has no image that can be decoded; the epoch has its line all the
    // same.
    progress.on_epoch_begin(1, 3, 12);
    for (int step = 1; step <= 2; ++step)
      progress.on_step({.step = step, .steps = 3, .images = 4 * step, .loss = 1, .top1 = 0.5});
    progress.on_evaluation_begin(1, 8);
    progress.on_evaluation_step({.step = 1, .steps = 1, .images = 8, .mean_loss = 1, .top1 = 0.5});
    progress.on_epoch_end({.skipped = 4, .first_skipped = "a.jpg: truncated"});
    progress.on_epoch_end({.skipped = 1, .first_skipped = "b.jpg: truncated"});
    progress.on_epoch_end({});
  }
  std::fclose(out);
  const std::string text(memory, size);
  std::free(memory);
  CHECK(count_of(text, "Epoch 1/2  2/3  loss 1.0000  acc 50.0%  stall 0s  time 0s\n") == 1);
  CHECK(
      text.ends_with("  Left out: 4 damaged images (the first: a.jpg: truncated)\n"
                     "  Left out: 1 damaged image (the first: b.jpg: truncated)\n"));
}

TEST_CASE("run log: a step's accuracy is that of its batch") {
  const TemporaryFolder temporary;
  const RunFolder folder({.output = temporary / "run"});
  LogCallback log(folder, "title", "test");
  log.on_step({.epoch = 2,
               .all_steps = 7,
               .images = 64,
               .all_images = 256,
               .loss = 2,
               .batch_top1 = 0.25,
               .mean_loss = 3,
               .top1 = 0.125,
               .lr = 0.001});
  CHECK(read_text_file(folder / "steps.csv") ==
        "step,epoch,train/loss,train/top1,lr\n7,1.25,2,0.25,0.001\n");
}

TEST_CASE("run log: the columns of results.csv") {
  const TemporaryFolder temporary;
  for (const bool averaged : {false, true}) {
    const RunFolder folder({.output = temporary / (averaged ? "averaged" : "plain")});
    LogCallback log(folder, "title", "test", 0, 0, averaged);
    log.on_epoch_end({.epoch = 1,
                      .train_loss = 4,
                      .train_top1 = 0.25,
                      .val_loss = 5,
                      .val_top1 = 0.125,
                      .val_top5 = 0.5,
                      .ema_loss = 6,
                      .ema_top1 = 0.375,
                      .ema_top5 = 0.75,
                      .lr = 0.001,
                      .images_per_second = 32,
                      .stall_seconds = 1.5,
                      .image_size = 96,
                      .time = 20.04});
    const std::string more = averaged ? ",val_ema/loss,val_ema/top1,val_ema/top5" : "";
    CHECK(read_text_file(folder / "results.csv") ==
          "epoch,time,train/loss,train/top1,val/loss,val/top1,val/top5,lr,images_per_s,stall_s,"
          "img_size" +
              more + "\n1,20,4,0.25,5,0.125,0.5,0.001,32,1.5,96" +
              (averaged ? ",6,0.375,0.75" : "") + "\n");
    // What was evaluated has its own name in the figure.
    CHECK(contains(read_text_file(folder / "curves.svg"), "best test top-1"));
  }
}

}  // namespace
