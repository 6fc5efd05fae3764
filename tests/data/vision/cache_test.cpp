// The cache: the same bits as without, whatever it holds, and never more than its limit.
#include "anther/data/vision/cache.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "anther/data/loader.hpp"
#include "anther/data/vision/transforms.hpp"
#include "test_files.hpp"
#include "test_pictures.hpp"

namespace {

using namespace anther;
using namespace anther::detail;
using namespace anther::data;
using namespace anther::vision;

// Pictures of several sizes; one is damaged. Counts how often each is decoded.
class Pictures final : public ImageSet {
 public:
  std::int64_t size() const override { return 40; }
  int label(std::int64_t index) const override { return static_cast<int>(index % 3); }
  std::string name(std::int64_t index) const override { return std::to_string(index) + ".png"; }
  const std::vector<std::string>& class_names() const override { return names_; }
  Image image(std::int64_t index) const override {
    decoded[static_cast<std::size_t>(index)].fetch_add(1);
    check(index != 13, name(index), ": truncated");
    std::this_thread::sleep_for(std::chrono::microseconds(index % 4 * 30));
    Image image =
        test_pictures::pattern(30 + static_cast<int>(index), 20 + 3 * static_cast<int>(index));
    image.pixels[0] = static_cast<std::uint8_t>(index);
    return image;
  }
  mutable std::vector<std::atomic<int>> decoded = std::vector<std::atomic<int>>(40);

 private:
  std::vector<std::string> names_ = {"a", "b", "c"};
};

std::int64_t all_bytes() {
  std::int64_t bytes = 0;
  const Pictures pictures;
  for (std::int64_t i = 0; i < 40; ++i)
    if (i != 13) bytes += std::ssize(pictures.image(i).pixels);
  return bytes;
}

TEST_CASE("images are the same bits, kept or not, and decoded once where there is room") {
  const std::int64_t all = all_bytes();
  for (const std::int64_t limit : {std::int64_t{0}, all / 3, all}) {
    const auto base = std::make_shared<const Pictures>();
    const CachedImages cache(base, {.max_bytes = limit});
    CHECK(cache.size() == 40);
    CHECK(cache.label(5) == 2);
    CHECK(cache.name(5) == "5.png");
    CHECK(cache.class_names() == base->class_names());
    const Pictures fresh;
    for (int pass = 0; pass < 3; ++pass)
      for (std::int64_t i = 0; i < 40; ++i)
        if (i != 13) CHECK(cache.image(i) == fresh.image(i));
    CHECK(cache.bytes() <= limit);
    std::int64_t once = 0;
    for (const auto& count : base->decoded) once += count == 1;
    CHECK(once == cache.images());
    CHECK(cache.images() == (limit == 0 ? 0 : limit == all ? 39 : once));
    if (limit == all / 3) CHECK((once > 5 && once < 39));
    if (limit == all) CHECK(cache.bytes() == all);
  }
}

TEST_CASE("several threads: the same bits, and never more than the limit") {
  const std::int64_t all = all_bytes();
  for (const std::int64_t limit : {all / 2, all}) {
    const auto base = std::make_shared<const Pictures>();
    const CachedImages cache(base, {.max_bytes = limit});
    std::atomic<int> wrong{0}, above{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        const Pictures fresh;
        for (std::int64_t n = 0; n < 120; ++n) {
          const std::int64_t i = (n * (t % 2 == 0 ? 1 : 7)) % 40;
          if (i == 13) continue;
          if (cache.image(i) != fresh.image(i)) ++wrong;
          if (cache.bytes() > limit) ++above;
        }
      });
    for (std::thread& thread : threads) thread.join();
    CHECK(wrong == 0);
    CHECK(above == 0);
    if (limit == all) CHECK(cache.images() == 39);
    // What is kept counts once, although several threads may have decoded it.
    std::int64_t kept = 0;
    for (std::int64_t i = 0; i < 40; ++i) {
      if (i == 13) continue;
      const int before = base->decoded[static_cast<std::size_t>(i)];
      const Image image = cache.image(i);
      if (base->decoded[static_cast<std::size_t>(i)] == before) kept += std::ssize(image.pixels);
    }
    CHECK(kept == cache.bytes());
  }
}

TEST_CASE("with a short side, images come resized, kept or not") {
  const Pictures fresh;
  const auto expected = [&](std::int64_t i) {
    Image image = fresh.image(i);
    if (std::min(image.width, image.height) <= 40) return image;
    const auto [width, height] = size_of_short_side(image, 40);
    CHECK(std::min(width, height) == 40);
    return resize_antialias(image, width, height);
  };
  std::int64_t bytes = 0;
  for (std::int64_t i = 0; i < 40; ++i)
    if (i != 13) bytes += std::ssize(expected(i).pixels);
  CHECK(bytes < all_bytes() * 3 / 4);
  for (const std::int64_t limit : {std::int64_t{0}, bytes / 2, bytes}) {
    const CachedImages cache(std::make_shared<const Pictures>(),
                             {.max_bytes = limit, .short_side = 40});
    for (int pass = 0; pass < 2; ++pass)
      for (std::int64_t i = 0; i < 40; ++i)
        if (i != 13) CHECK(cache.image(i) == expected(i));
    CHECK(cache.bytes() <= limit);
    if (limit == bytes) CHECK(cache.images() == 39);
  }
}

TEST_CASE("batches are the same bits with a cache, for any number of workers") {
  const std::int64_t all = all_bytes();
  const auto epochs = [&](ImageSetPointer data, int workers) {
    Loader loader(prepared(std::move(data), Preprocess{.image_size = 16}),
                  {.batch_size = 7, .shuffle = true, .workers = workers, .skip_bad = true});
    std::vector<float> seen;
    Batch batch;
    for (const int epoch : {0, 1, 2}) {
      loader.start_epoch(epoch);
      while (loader.next(batch)) seen.insert(seen.end(), batch.inputs.begin(), batch.inputs.end());
      CHECK(loader.skipped() == 1);
      CHECK(loader.first_skipped() == "13.png: truncated");
    }
    return seen;
  };
  const std::vector<float> plain = epochs(std::make_shared<const Pictures>(), 1);
  for (const int workers : {0, 1, 4})
    for (const std::int64_t limit : {all / 2, all})
      CHECK(epochs(std::make_shared<const CachedImages>(std::make_shared<const Pictures>(),
                                                        CacheOptions{.max_bytes = limit}),
                   workers) == plain);
}

TEST_CASE("a damaged image is an error each time, and takes no room") {
  const CachedImages cache(std::make_shared<const Pictures>(), {.max_bytes = 1 << 30});
  for (int i = 0; i < 2; ++i)
    CHECK(test_files::error_of([&] { cache.image(13); }) == "13.png: truncated");
  CHECK(cache.images() == 0);
}

TEST_CASE("options that make no sense are errors") {
  const auto error = [](ImageSetPointer data, const CacheOptions& options) {
    return test_files::error_of([&] { const CachedImages cache(std::move(data), options); });
  };
  const auto base = std::make_shared<const Pictures>();
  CHECK(error(nullptr, {}) == "cache: expected a data set, got none");
  CHECK(error(base, {.max_bytes = -1}) == "cache: expected a limit of at least 0 bytes, got -1");
  CHECK(error(base, {.short_side = -1}).starts_with("cache: expected a short side"));
}

}  // namespace
