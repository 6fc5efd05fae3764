#include "anther/data/vision/image_sizes.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "anther/painted/painted.hpp"
#include "tests/io/temporary_folder.hpp"

namespace {

using namespace anther;
using namespace anther::detail;
using namespace anther::data;
using namespace anther::painted;
using namespace anther::vision;

// The sizes of the epochs of a run.
std::vector<std::int64_t> sizes_of(const char* text, int epochs) {
  const ImageSizes sizes("--img-size", text);
  std::vector<std::int64_t> all;
  for (int epoch = 0; epoch < epochs; ++epoch)
    all.push_back(sizes.at(static_cast<double>(epoch) / epochs));
  return all;
}

TEST_CASE("image sizes: the size of each epoch") {
  using Sizes = std::vector<std::int64_t>;
  CHECK(sizes_of("224", 3) == Sizes{224, 224, 224});
  CHECK(sizes_of("96:128:160", 6) == Sizes{96, 96, 128, 128, 160, 160});
  CHECK(sizes_of("96:128:160", 4) == Sizes{96, 96, 128, 160});
  CHECK(sizes_of("96@3:128@1", 4) == Sizes{96, 96, 96, 128});
  CHECK(sizes_of("32:64", 1) == Sizes{32});
  // The boundary is exact for every number of epochs.
  for (int epochs = 2; epochs < 300; ++epochs)
    for (int first = 1; first < epochs; first += 7) {
      const auto all = sizes_of(text_of("32@", first, ":64@", epochs - first).c_str(), epochs);
      CHECK(all[static_cast<std::size_t>(first - 1)] == 32);
      CHECK(all[static_cast<std::size_t>(first)] == 64);
    }
  CHECK(ImageSizes("", "96:128").last() == 128);
  CHECK(ImageSizes("", "96:128").at(1) == 128);
}

TEST_CASE("image sizes: what is none is refused") {
  for (const char* wrong : {"", "a", "96:", ":96", "96@", "96@0:128@1", "96@-1:128@2", "-96",
                            "96.5", "96 ", "99999", "96@nan:128@1"})
    CHECK_MESSAGE(contains(error_of([&] { ImageSizes("--img-size", wrong); }),
                           "--img-size: expected sizes like"),
                  wrong);
  CHECK(contains(error_of([] { ImageSizes("--img-size", "100"); }), "a multiple of 32, got 100"));
  CHECK(
      contains(error_of([] { ImageSizes("--img-size", "96@1:128"); }), "of all sizes or of none"));
}

TEST_CASE("image sizes: one loader at a time, kept while the size stays") {
  std::vector<std::int64_t> made;
  LoaderBySize loaders(ImageSizes("", "32:64"), [&](std::int64_t size) {
    made.push_back(size);
    return std::make_unique<Loader>(
        prepared(std::make_shared<PaintedFlowers>(PaintedOptions{.size = 4, .image_size = 32}),
                 Preprocess{.image_size = size}),
        LoaderOptions{.batch_size = 2});
  });
  for (int epoch = 0; epoch < 4; ++epoch) {
    Loader& loader = loaders(epoch, epoch / 4.0);
    loader.start_epoch(epoch);
    Batch batch;
    CHECK(loader.next_batch() == 0);
    CHECK(loader.next(batch));
    CHECK(loader.next_batch() == 1);
    CHECK(batch.inputs.shape()[1] == (epoch < 2 ? 32 : 64));
  }
  CHECK(made == std::vector<std::int64_t>{32, 64});
}

}  // namespace
