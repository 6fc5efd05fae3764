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
