// Image sets as data sets.
#include "anther/data/vision/image_set.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "anther/data/loader.hpp"
#include "test_files.hpp"

namespace {

using namespace anther;
using namespace anther::data;
using namespace anther::vision;
using test_files::error_of;

// Images whose pixels are their number.
class Numbers final : public ImageSet {
 public:
  std::int64_t size() const override { return 3; }
  int label(std::int64_t index) const override { return static_cast<int>(index % 2); }
  std::string name(std::int64_t index) const override { return std::to_string(index) + ".jpg"; }
  const std::vector<std::string>& class_names() const override { return names_; }
  Image image(std::int64_t index) const override {
    Image image(2, 2);
    std::fill(image.pixels.begin(), image.pixels.end(), static_cast<std::uint8_t>(index));
    return image;
  }

 private:
  std::vector<std::string> names_ = {"even", "odd"};
};

TEST_CASE("images are prepared as Preprocess says") {
  const DatasetPointer data =
      prepared(std::make_shared<const Numbers>(),
               Preprocess{.image_size = 4, .mean = {0, .5f, 0}, .std = {1, 1, 2}});
  CHECK(data->size() == 3);
  CHECK(data->input_shape() == Shape{4, 4, 3});
  CHECK(data->target() == classes());
  CHECK(data->name(1) == "1.jpg");
  CHECK(data->class_names()[1] == "odd");
  Loader loader(data, {.batch_size = 2});
  Batch batch;
  loader.start_epoch(0);
  CHECK(loader.next(batch));
  CHECK(batch.inputs.shape() == Shape{2, 4, 4, 3});
  CHECK(batch.labels == std::vector<std::int32_t>{0, 1});
  CHECK(batch.inputs[48] == doctest::Approx(1 / 255.0));
  CHECK(batch.inputs[49] == doctest::Approx(1 / 255.0 - .5));
  CHECK(batch.inputs[50] == doctest::Approx(1 / 510.0));
}

TEST_CASE("an image set that is none, or images of no size, are refused") {
  CHECK(error_of([] { prepared(nullptr, Preprocess{}); }) ==
        "images: expected an image set, got none");
  CHECK(error_of([] { prepared(std::make_shared<const Numbers>(), 0, 4, {}); }) ==
        "images: expected at least 1 x 1 pixels, got 0 x 4");
}

}  // namespace
