// Mixup and cutmix: what comes of two images and of their labels.
#include "anther/data/vision/mix.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "anther/data/loader.hpp"
#include "anther/data/table.hpp"
#include "anther/data/vision/image_set.hpp"
#include "test_files.hpp"
#include "test_pictures.hpp"

namespace {

using namespace anther;
using namespace anther::detail;
using namespace anther::data;
using namespace anther::vision;

// Image i has the level i, and the label i.
class Levels final : public ImageSet {
 public:
  explicit Levels(std::int64_t size, std::set<std::int64_t> bad = {})
      : size_(size), bad_(std::move(bad)) {}
  std::int64_t size() const override { return size_; }
  int label(std::int64_t index) const override { return static_cast<int>(index); }
  std::string name(std::int64_t index) const override { return std::to_string(index) + ".jpg"; }
  const std::vector<std::string>& class_names() const override { return names_; }
  Image image(std::int64_t index) const override {
    check(!bad_.contains(index), name(index), ": truncated");
    const int level = static_cast<int>(index);
    return test_pictures::plain(16, 16, level, level, level);
  }

 private:
  std::int64_t size_;
  std::set<std::int64_t> bad_;
  std::vector<std::string> names_ = std::vector<std::string>(256, "class");
};

struct Mixed {
  std::vector<float> images, lambda;
  std::vector<std::int32_t> labels, labels2;
  std::vector<std::int64_t> indices;
  friend bool operator==(const Mixed&, const Mixed&) = default;

  std::size_t size() const { return labels.size(); }
  // Levels of an image.
  std::vector<long> levels(std::size_t n) const {
    std::vector<long> found;
    for (std::size_t i = 0; i < 16 * 16 * 3; i += 3)
      found.push_back(std::lround(images[n * 16 * 16 * 3 + i] * 255));
    return found;
  }
};

Mixed epoch(const MixOptions& options, LoaderOptions loader_options = {.batch_size = 20},
            std::int64_t number = 0, std::set<std::int64_t> bad = {}) {
  loader_options.mix = mixing(options);
  Loader loader(
      prepared(std::make_shared<const Levels>(200, std::move(bad)), Preprocess{.image_size = 16}),
      loader_options);
  Mixed mixed;
  Batch batch;
  loader.start_epoch(number);
  while (loader.next(batch)) {
    const auto add = [](auto& to, const auto& from) {
      to.insert(to.end(), from.begin(), from.end());
    };
    add(mixed.images, batch.inputs);
    add(mixed.lambda, batch.lambda);
    add(mixed.labels, batch.labels);
    add(mixed.labels2, batch.labels2);
    add(mixed.indices, batch.indices);
  }
  return mixed;
}

TEST_CASE("without mixing a batch has no second labels") {
  const Mixed plain = epoch({});
  CHECK(plain.size() == 200);
  CHECK(plain.lambda.empty());
  CHECK(plain.labels2.empty());
}

TEST_CASE("mixup: an image is lambda of its first label's and the rest of its second's") {
  for (const std::int64_t number : {0, 1}) {
    const Mixed mixed =
        epoch({.mixup = 0.8}, {.batch_size = 20, .shuffle = true, .seed = 3}, number);
    for (std::size_t n = 0; n < mixed.size(); ++n) {
      const std::size_t partner = n ^ 1;
      CHECK(mixed.lambda[n] >= 0.5f);
      CHECK(mixed.lambda[n] == mixed.lambda[partner]);
      CHECK(mixed.labels2[n] == mixed.labels[partner]);
      const std::set<std::int64_t> labels = {mixed.labels[n], mixed.labels2[n]};
      CHECK(labels == std::set{mixed.indices[n], mixed.indices[partner]});
      const float expected = (mixed.lambda[n] * static_cast<float>(mixed.labels[n]) +
                              (1 - mixed.lambda[n]) * static_cast<float>(mixed.labels2[n])) /
                             255;
      for (std::size_t i = 0; i < 16 * 16 * 3; ++i)
        REQUIRE(mixed.images[n * 16 * 16 * 3 + i] == doctest::Approx(expected).epsilon(1e-4));
    }
  }
}

TEST_CASE("the weight of an image's own label is from Beta(alpha, alpha), whichever comes first") {
  for (const double alpha : {0.2, 0.8, 2.0}) {
    CAPTURE(alpha);
    double sum = 0, squares = 0;
    int count = 0;
    for (std::int64_t number = 0; number < 30; ++number) {
      const Mixed mixed = epoch({.mixup = alpha}, {.batch_size = 20}, number);
      for (std::size_t n = 0; n < mixed.size(); n += 2, ++count) {
        const auto lambda = static_cast<double>(mixed.lambda[n]);
        const double own = mixed.labels[n] == mixed.indices[n] ? lambda : 1 - lambda;
        sum += own;
        squares += (own - 0.5) * (own - 0.5);
      }
    }
    CHECK(sum / count == doctest::Approx(0.5).epsilon(0.05));
    CHECK(squares / count == doctest::Approx(1 / (4 * (2 * alpha + 1))).epsilon(0.08));
  }
}

TEST_CASE("cutmix: each pixel is of one of the two, lambda counts them, the rest is a box") {
  double cut = 0;
  for (std::int64_t number = 0; number < 5; ++number) {
    const Mixed mixed =
        epoch({.cutmix = 1}, {.batch_size = 20, .shuffle = true, .seed = 3}, number);
    for (std::size_t n = 0; n < mixed.size(); ++n) {
      const std::vector<long> levels = mixed.levels(n);
      const auto first = std::count(levels.begin(), levels.end(), mixed.labels[n]);
      const auto second = std::count(levels.begin(), levels.end(), mixed.labels2[n]);
      CHECK(first + second == 256);
      CHECK(static_cast<double>(first) / 256 == doctest::Approx(mixed.lambda[n]));
      // What is the partner's is a rectangle.
      const std::vector<long> own(levels.begin(), levels.end());
      int left = 16, right = -1, top = 16, bottom = -1, pixels = 0;
      for (int i = 0; i < 256; ++i) {
        if (own[static_cast<std::size_t>(i)] == mixed.indices[n]) continue;
        ++pixels;
        left = std::min(left, i % 16);
        right = std::max(right, i % 16);
        top = std::min(top, i / 16);
        bottom = std::max(bottom, i / 16);
      }
      CHECK(pixels == std::max(right - left + 1, 0) * std::max(bottom - top + 1, 0));
      cut += pixels / 256.0;
    }
  }
  CHECK(cut / 1000 > 0.25);  // a half, less what lies outside
  CHECK(cut / 1000 < 0.5);
}

TEST_CASE("the box of cutmix has the area asked, but for what lies outside") {
  for (const double lambda : {0.0, 0.3, 0.75, 1.0}) {
    CAPTURE(lambda);
    std::int64_t most = 0;
    double middle = 0;
    for (std::uint64_t i = 0; i < 1000; ++i) {
      const Box box = cutmix_box(64, 100, lambda, RandomKey(i));
      CHECK((box.x >= 0 && box.y >= 0 && box.width >= 0 && box.height >= 0));
      CHECK((box.x + box.width <= 100 && box.y + box.height <= 64));
      most = std::max(most, std::int64_t{box.width} * box.height);
      middle += box.x + box.width / 2.0;
    }
    CHECK(static_cast<double>(most) / 6400 <= 1 - lambda + 1e-9);
    CHECK(static_cast<double>(most) / 6400 >= (1 - lambda) * 0.85);  // sides are whole and even
    CHECK(middle / 1000 == doctest::Approx(50).epsilon(0.1));
  }
}

TEST_CASE("how an epoch is cut into batches does not matter") {
  const MixOptions both{.mixup = 0.4, .cutmix = 1, .prob = 0.8};
  const auto cut = [&](std::int64_t size, int workers = 1) {
    return epoch(both, {.batch_size = size, .shuffle = true, .seed = 7, .workers = workers}, 2);
  };
  const Mixed whole = cut(200);
  for (const std::int64_t size : {2, 4, 10, 100}) CHECK(cut(size) == whole);
  for (const int workers : {0, 3}) CHECK(cut(10, workers) == whole);
  CHECK(epoch(both, {.batch_size = 10, .shuffle = true, .seed = 8}, 2).lambda != whole.lambda);
  CHECK(epoch(both, {.batch_size = 10, .shuffle = true, .seed = 7}, 3).lambda != whole.lambda);
}

TEST_CASE("a last image without a partner stays, with or without damaged ones") {
  const Mixed odd = epoch({.mixup = 1}, {.batch_size = 5});
  for (std::size_t n = 4; n < odd.size(); n += 5) {
    CHECK(odd.lambda[n] == 1);
    CHECK(odd.labels2[n] == odd.labels[n]);
    CHECK(odd.levels(n)[0] == odd.indices[n]);
  }
  const Mixed less = epoch({.mixup = 1}, {.batch_size = 200, .skip_bad = true}, 0, {0, 7, 50});
  CHECK(less.size() == 197);
  CHECK(less.labels2.size() == 197);
  CHECK(less.labels[196] == 199);
  CHECK(less.lambda[196] == 1);
}

TEST_CASE("prob and switch_prob") {
  const auto counts = [](const MixOptions& options) {
    int none = 0, cut = 0, blended = 0;
    for (std::int64_t number = 0; number < 20; ++number) {
      const Mixed mixed = epoch(options, {.batch_size = 20}, number);
      for (std::size_t n = 0; n < mixed.size(); n += 2) {
        const std::vector<long> levels = mixed.levels(n);
        const bool one = std::count(levels.begin(), levels.end(), levels[0]) == 256;
        if (mixed.lambda[n] == 1)
          ++none;
        else
          ++(one ? blended : cut);
      }
    }
    return std::vector<int>{none, cut, blended};
  };
  // Of 2,000 pairs; a box of cutmix may be empty, which counts as none.
  const std::vector<int> seldom = counts({.mixup = 2, .prob = 0.25});
  CHECK(std::abs(seldom[0] - 1500) < 70);
  CHECK(seldom[1] == 0);
  const std::vector<int> both = counts({.mixup = 2, .cutmix = 4, .switch_prob = 0.3});
  CHECK(std::abs(both[1] - 600) < 80);
  CHECK(std::abs(both[2] - 1400) < 80);
  CHECK(counts({.mixup = 2, .cutmix = 4, .switch_prob = 0})[1] == 0);
  CHECK(counts({.mixup = 2, .cutmix = 4, .switch_prob = 1})[2] == 0);
  CHECK(counts({.cutmix = 4, .switch_prob = 0})[2] == 0);  // the only one that is on
}

TEST_CASE("images of any number of channels are mixed, and nothing beside them") {
  for (const std::int64_t channels : {1, 2, 3, 5})
    for (const MixOptions& options : {MixOptions{.mixup = 1}, MixOptions{.cutmix = 1}}) {
      CAPTURE(channels);
      const std::int64_t count = 6 * 8 * channels;
      Tensor<float> inputs({5, 6, 8, channels});
      for (std::int64_t i = 0; i < inputs.size(); ++i) inputs[i] = static_cast<float>(i / count);
      const auto table = std::make_shared<const Table>(std::move(inputs),
                                                       std::vector<std::int32_t>{0, 1, 2, 3, 4});
      Loader loader(table, {.batch_size = 5, .workers = 0, .mix = mixing(options)});
      Batch batch;
      loader.start_epoch(0);
      REQUIRE(loader.next(batch));
      for (std::int64_t n = 0; n < 5; ++n) {
        const auto at = static_cast<std::size_t>(n);
        double sum = 0;
        for (std::int64_t i = 0; i < count; ++i)
          sum += static_cast<double>(batch.inputs[n * count + i]);
        const auto lambda = static_cast<double>(batch.lambda[at]);
        CHECK(sum / static_cast<double>(count) ==
              doctest::Approx(lambda * batch.labels[at] + (1 - lambda) * batch.labels2[at]));
      }
    }
}

TEST_CASE("only images with one class each are mixed") {
  const auto error = [](const Table& table) {
    return test_files::error_of([&] {
      Loader loader(std::make_shared<const Table>(table),
                    {.batch_size = 4, .workers = 0, .mix = mixing({.mixup = 1})});
      Batch batch;
      loader.start_epoch(0);
      loader.next(batch);
    });
  };
  const std::vector<std::int32_t> labels(4), maps(16);
  CHECK(error({Tensor<float>({4, 6}), labels}) ==
        "mix: expected 4 images (N, H, W, C), got inputs (4, 6)");
  CHECK(error({Tensor<float>({4, 2, 2, 3}), maps, {2, 2}}) ==
        "mix: expected one class for each of 4 images as target, got 16 classes and 0 numbers");
  CHECK(error({Tensor<float>({4, 2, 2, 3}), Tensor<float>({4, 5})}) ==
        "mix: expected one class for each of 4 images as target, got 0 classes and 20 numbers");
}

TEST_CASE("options that make no sense are errors that name them") {
  const auto error = [](const MixOptions& options) {
    return test_files::error_of([&] { epoch(options); });
  };
  CHECK(error({.mixup = -0.1}).starts_with("mixup:"));
  CHECK(error({.mixup = NAN}).starts_with("mixup:"));
  CHECK(error({.cutmix = INFINITY}).starts_with("cutmix:"));
  CHECK(error({.mixup = 1, .prob = 1.5}) == "mixup_prob: expected 0 to 1, got 1.5");
  CHECK(error({.mixup = 1, .switch_prob = NAN}).starts_with("mixup_switch_prob"));
}

}  // namespace
