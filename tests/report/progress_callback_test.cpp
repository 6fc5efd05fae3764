// What fit() shows of a run in the terminal.
#include "anther/report/progress_callback.hpp"

#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/io/temporary_folder.hpp"

namespace {

using namespace anther;
using namespace anther::report;

TEST_CASE("progress callback: the progress line says how long training waited, within 80 columns") {
  char* memory = nullptr;
  std::size_t size = 0;
  std::FILE* out = ::open_memstream(&memory, &size);
  double now = 0;
  {
    ProgressCallback progress(
        20, 1020,
        {.out = out, .terminal = true, .columns = 80, .clock = [&] { return now; }, .unit = "img"});
    progress.on_epoch_begin(3, 49, 6149);
    for (int step = 1; step <= 12; ++step) {
      now += 3.45;
      progress.on_step({.step = step,
                        .steps = 49,
                        .samples = 128 * step,
                        .loss = 3.99112,
                        .mean_loss = 3.99112,
                        .metrics = {{top_k(1)->info(), 0.0815}},
                        .stall_seconds = 0.3 * step});
    }
  }
  std::fclose(out);
  std::string text(memory, size);
  std::free(memory);
  text = text.substr(text.rfind('\r') + 1);
  text = text.substr(0, text.find('\x1b'));
  CHECK(text == "Epoch 3/20 12/49 [>.......] loss 3.9911 top-1 8.2% 37.1 img/s stall 4s ETA 2:04");
  CHECK(text.size() < 80);
}

TEST_CASE("progress callback: an epoch that ends early keeps its line") {
  char* memory = nullptr;
  std::size_t size = 0;
  std::FILE* out = ::open_memstream(&memory, &size);
  {
    ProgressCallback progress(20, 1020, {.out = out, .terminal = true, .columns = 80});
    progress.on_epoch_begin(3, 4, 64);
    progress.on_step({.step = 1, .steps = 4, .samples = 16});
    progress.on_evaluation_begin(2, 64);  // as where the time is up
    progress.on_evaluation_step({.step = 1, .steps = 2, .samples = 32});
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

TEST_CASE("progress callback: the loss is the epoch's; a run that ends early says so") {
  char* memory = nullptr;
  std::size_t size = 0;
  std::FILE* out = ::open_memstream(&memory, &size);
  {
    ProgressCallback progress(20, 0, {.out = out, .terminal = true, .columns = 80});
    progress.on_epoch_begin(9, 2, 64);
    progress.on_step({.step = 2, .steps = 2, .samples = 64, .loss = 7.5, .mean_loss = 2.25});
    progress.on_epoch_end({});
    progress.on_progress({.epochs = 9, .best_epoch = 5, .finished = true});
    progress.on_progress({.epochs = 4, .finished = true});
    progress.on_progress({.epochs = 20, .best_epoch = 5, .finished = true});
  }
  std::fclose(out);
  const std::string text(memory, size);
  std::free(memory);
  CHECK(text.find("loss 2.2500") != std::string::npos);
  CHECK(text.find("7.5") == std::string::npos);
  CHECK(text.find("Ended after epoch 9 of 20; the best was epoch 5\n") != std::string::npos);
  CHECK(text.ends_with("Ended after epoch 4 of 20; no evaluation gave a number\n"));
}

TEST_CASE("progress callback: damaged samples that were left out are said after each epoch") {
  char* memory = nullptr;
  std::size_t size = 0;
  std::FILE* out = ::open_memstream(&memory, &size);
  {
    ProgressCallback progress(2, 8, {.out = out, .terminal = false, .clock = [] { return 0.0; }});
    // Of three batches the last has no sample that can be read; the epoch has its line all the
    // same.
    const std::vector<MetricValue> half = {{top_k(1)->info(), 0.5}};
    progress.on_epoch_begin(1, 3, 12);
    for (int step = 1; step <= 2; ++step)
      progress.on_step({.step = step,
                        .steps = 3,
                        .samples = 4 * step,
                        .loss = 1,
                        .mean_loss = 1,
                        .metrics = half});
    progress.on_evaluation_begin(1, 8);
    progress.on_evaluation_step(
        {.step = 1, .steps = 1, .samples = 8, .mean_loss = 1, .metrics = half});
    progress.on_epoch_end({.skipped = 4, .first_skipped = "a.jpg: truncated"});
    progress.on_epoch_end({.skipped = 1, .first_skipped = "b.jpg: truncated"});
    progress.on_epoch_end({});
  }
  std::fclose(out);
  const std::string text(memory, size);
  std::free(memory);
  CHECK(count_of(text, "Epoch 1/2  2/3  loss 1.0000  top-1 50.0%  stall 0s  time 0s\n") == 1);
  CHECK(
      text.ends_with("  Left out: 4 damaged samples (the first: a.jpg: truncated)\n"
                     "  Left out: 1 damaged sample (the first: b.jpg: truncated)\n"));
}

TEST_CASE("progress callback: a metric that is no share is shown as a number, none is left out") {
  char* memory = nullptr;
  std::size_t size = 0;
  std::FILE* out = ::open_memstream(&memory, &size);
  {
    ProgressCallback progress(0, 0, {.out = out, .terminal = false, .clock = [] { return 0.0; }});
    progress.on_epoch_begin(1, 1, 4);
    progress.on_step({.step = 1,
                      .steps = 1,
                      .samples = 4,
                      .loss = 2,
                      .mean_loss = 2,
                      .metrics = {{mean_absolute_error()->info(), 0.125}}});
    progress.on_epoch_begin(2, 1, 4);
    progress.on_step({.step = 1, .steps = 1, .samples = 4, .loss = 2, .mean_loss = 2});
  }
  std::fclose(out);
  const std::string text(memory, size);
  std::free(memory);
  CHECK(text ==
        "Epoch 1  1/1  loss 2.0000  mean absolute error 0.1250  stall 0s  time 0s\n"
        "Epoch 2  1/1  loss 2.0000  stall 0s  time 0s\n");
}

}  // namespace
