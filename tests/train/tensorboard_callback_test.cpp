#include "anther/train/tensorboard_callback.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tests/io/temporary_folder.hpp"

namespace {

using namespace anther;
using namespace anther::io;

std::string all_events(const TemporaryFolder& folder) {
  std::string text;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path()))
    text += read_text_file(entry.path());
  return text;
}

TEST_CASE("tensorboard callback: scalars for every step and epoch, what is unknown left out") {
  const TemporaryFolder folder;
  TensorBoardCallback callback(folder.path(), 0, "images");
  const std::vector<MetricValue> values = {{top_k(1)->info(), 0.5}, {top_k(5)->info(), 0}};
  for (int step = 1; step <= 5; ++step)
    callback.on_step({.all_steps = step, .loss = 1, .batch_metrics = values, .lr = 1e-3});
  callback.on_epoch_end({.epoch = 1, .all_steps = 5, .train_loss = 1, .train_metrics = values});
  std::string text = all_events(folder);
  for (const char* tag : {"step/loss", "step/top1", "step/lr"}) CHECK(count_of(text, tag) == 5);
  for (const char* tag : {"train/loss", "train/top1", "images_per_s", "stall_s", "epoch"})
    CHECK(count_of(text, tag) == 1);
  CHECK(count_of(text, "val/") == 0);

  callback.on_epoch_end({.epoch = 2, .all_steps = 10, .val_loss = 1, .val_metrics = values});
  const std::vector<std::uint8_t> png = {0x89, 'P', 'N', 'G'};
  callback.add_png("train_batch0", 4, 3, png);
  callback.add_text("arguments", "--lr 0.1");
  text = all_events(folder);
  CHECK(count_of(text, "val/") == 3);
  CHECK(count_of(text, "train_batch0") == 1);
  CHECK(count_of(text, "\x89PNG") == 1);
  CHECK(count_of(text, "--lr 0.1") == 1);
}

TEST_CASE("tensorboard callback: a run that goes on writes where it starts") {
  const TemporaryFolder folder;
  const TensorBoardCallback first(folder.path()), resumed(folder.path(), 7);
  CHECK(folder.entries() == 2);
  CHECK(count_of(all_events(folder), "\x10\x08\x3a\x02\x08\x01") == 1);  // a start at step 8
}

}  // namespace
