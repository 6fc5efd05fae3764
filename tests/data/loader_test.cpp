// The loader: the same batches for any number of threads, from any batch on; damaged images; an end
// at any time.
#include "anther/data/loader.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <new>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "vision/test_files.hpp"

namespace {

using namespace anther;
using namespace anther::detail;
using namespace anther::data;
using test_files::contains;
using test_files::error_of;

// Samples of three numbers: their own, one of the sample's key, and 1. Some are damaged; slow where
// asked to be.
class Numbers final : public Dataset {
 public:
  explicit Numbers(std::int64_t size, std::set<std::int64_t> bad = {})
      : size_(size), bad_(std::move(bad)) {}
  std::int64_t size() const override { return size_; }
  Shape input_shape() const override { return {1, 1, 3}; }
  TargetSpec target() const override { return classes(); }
  std::string name(std::int64_t index) const override {
    return "image_" + std::to_string(index) + ".jpg";
  }
  void load(std::int64_t index, RandomKey key, const Sample& sample) const override {
    calls.fetch_add(1);
    if (index % 3 == 0) std::this_thread::sleep_for(std::chrono::microseconds(50 * (index % 5)));
    check(!bad_.contains(index),
          index % 2 == 0 ? name(index) + ": truncated" : std::string("truncated"));
    if (index == out_of_memory) throw std::bad_alloc();
    sample.input[0] = static_cast<float>(index);
    sample.input[1] = static_cast<float>(uniform(key, 0));
    sample.input[2] = 1;
    sample.classes[0] = static_cast<std::int32_t>(index % 7);
  }
  mutable std::atomic<int> calls{0};
  std::int64_t out_of_memory = -1;

 private:
  std::int64_t size_;
  std::set<std::int64_t> bad_;
};

Loader make(std::shared_ptr<const Dataset> data, const LoaderOptions& options) {
  return Loader(std::move(data), options);
}

struct Seen {
  std::vector<std::int64_t> sizes, indices;
  std::vector<std::int32_t> labels;
  std::vector<float> pixels;
  friend bool operator==(const Seen&, const Seen&) = default;
};
void add(Seen& seen, const Batch& batch) {
  CHECK(batch.inputs.shape() == Shape{batch.size(), 1, 1, 3});
  CHECK(batch.indices.size() == batch.labels.size());
  seen.sizes.push_back(batch.size());
  seen.indices.insert(seen.indices.end(), batch.indices.begin(), batch.indices.end());
  seen.labels.insert(seen.labels.end(), batch.labels.begin(), batch.labels.end());
  seen.pixels.insert(seen.pixels.end(), batch.inputs.begin(), batch.inputs.end());
}
Seen see(Loader& loader, std::int64_t epoch, std::int64_t first_batch = 0) {
  Seen seen;
  Batch batch;
  loader.start_epoch(epoch, first_batch);
  while (loader.next(batch)) add(seen, batch);
  return seen;
}

TEST_CASE("batches are the same for any number of workers and any prefetch") {
  const auto data = std::make_shared<const Numbers>(103);
  for (const bool shuffle : {false, true}) {
    Loader serial = make(data, {.batch_size = 8, .shuffle = shuffle, .seed = 4, .workers = 0});
    const Seen first = see(serial, 0), second = see(serial, 1);
    CHECK(first.sizes == std::vector<std::int64_t>{8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 7});
    CHECK((first.indices == second.indices) == !shuffle);
    CHECK(first.pixels != second.pixels);  // the samples' keys differ from epoch to epoch
    for (std::size_t i = 0; i < 103; ++i) {
      CHECK(first.labels[i] == first.indices[i] % 7);
      CHECK(first.pixels[3 * i] == static_cast<float>(first.indices[i]));
    }
    CHECK(std::set<std::int64_t>(first.indices.begin(), first.indices.end()).size() == 103);
    for (const int workers : {1, 2, 3, 7})
      for (const int prefetch : {1, 2, 5}) {
        Loader loader = make(data, {.batch_size = 8,
                                    .shuffle = shuffle,
                                    .seed = 4,
                                    .workers = workers,
                                    .prefetch = prefetch});
        CHECK(see(loader, 1) == second);
        CHECK(see(loader, 0) == first);
      }
  }
}

TEST_CASE("a sample's key is its own, whatever the batch size") {
  const auto data = std::make_shared<const Numbers>(20);
  Loader small = make(data, {.batch_size = 3, .shuffle = true, .seed = 1, .workers = 2});
  Loader large = make(data, {.batch_size = 20, .shuffle = true, .seed = 1, .workers = 2});
  CHECK(see(small, 2).pixels == see(large, 2).pixels);
  Loader other = make(data, {.batch_size = 20, .shuffle = true, .seed = 2, .workers = 2});
  CHECK(see(other, 2).indices != see(large, 2).indices);

  // Nor does it depend on where in the epoch the sample comes.
  Loader in_order = make(data, {.batch_size = 4, .seed = 1, .workers = 2});
  const Seen shuffled = see(large, 2), ordered = see(in_order, 2);
  for (std::size_t i = 0; i < 20; ++i) {
    const std::size_t index = static_cast<std::size_t>(shuffled.indices[i]);
    CHECK(shuffled.pixels[3 * i + 1] == ordered.pixels[3 * index + 1]);
  }
}

TEST_CASE("an epoch can be entered at any batch, and left at any batch") {
  const auto data = std::make_shared<const Numbers>(50);
  for (const int workers : {0, 3}) {
    Loader loader = make(data, {.batch_size = 8, .shuffle = true, .workers = workers});
    const Seen whole = see(loader, 3);
    for (std::int64_t first = 0; first <= loader.batches(); ++first) {
      const Seen rest = see(loader, 3, first);
      CHECK(std::equal(rest.indices.begin(), rest.indices.end(),
                       whole.indices.begin() + std::min<std::int64_t>(8 * first, 50),
                       whole.indices.end()));
      Batch batch;  // leave it in the middle
      loader.start_epoch(7, first);
      loader.next(batch);
    }
    CHECK(see(loader, 3) == whole);
    CHECK_THROWS_AS(loader.start_epoch(0, 8), Error);
    CHECK_THROWS_AS(loader.start_epoch(-1), Error);
  }
}

TEST_CASE("limit takes the first images, drop_last leaves out the rest of a batch") {
  const auto data = std::make_shared<const Numbers>(50);
  Loader limited = make(data, {.batch_size = 8, .shuffle = true, .limit = 20, .workers = 2});
  const Seen seen = see(limited, 0);
  CHECK(seen.sizes == std::vector<std::int64_t>{8, 8, 4});
  CHECK(*std::max_element(seen.indices.begin(), seen.indices.end()) == 19);
  Loader dropped = make(data, {.batch_size = 8, .shuffle = true, .drop_last = true, .workers = 2});
  CHECK(dropped.batches() == 6);
  CHECK(dropped.samples() == 48);
  std::set<std::int64_t> ever;
  for (int epoch = 0; epoch < 6; ++epoch) {
    const Seen each = see(dropped, epoch);
    CHECK(each.sizes == std::vector<std::int64_t>(6, 8));
    ever.insert(each.indices.begin(), each.indices.end());
  }
  CHECK(ever.size() == 50);  // not always the same ones are left out
  Loader one = make(data, {.batch_size = 128, .limit = 5});
  CHECK(see(one, 0).sizes == std::vector<std::int64_t>{5});
}

// The numbers of samples of an epoch's batches.
std::vector<std::int64_t> sizes_of(Loader& loader, std::int64_t epoch) {
  std::vector<std::int64_t> sizes;
  loader.start_epoch(epoch);
  for (Batch batch; loader.next(batch);) sizes.push_back(batch.size());
  return sizes;
}

TEST_CASE("a batch of fewer samples than least_batch is left out: the last, or of damaged ones") {
  using Sizes = std::vector<std::int64_t>;
  const auto sizes = [](std::int64_t samples, LoaderOptions options,
                        std::set<std::int64_t> bad = {}) {
    const std::int64_t damaged = std::ssize(bad);
    Loader loader(std::make_shared<Numbers>(samples, std::move(bad)), options);
    CHECK(loader.samples() == samples_of_epoch(samples, options));
    const Sizes seen = sizes_of(loader, 0);
    CHECK(loader.skipped() == damaged);
    return seen;
  };
  CHECK(sizes(9, {.batch_size = 4}) == Sizes{4, 4, 1});
  CHECK(sizes(9, {.batch_size = 4, .least_batch = 2}) == Sizes{4, 4});
  CHECK(sizes(10, {.batch_size = 4, .least_batch = 2}) == Sizes{4, 4, 2});
  CHECK(sizes(1, {.batch_size = 4, .least_batch = 2}) == Sizes{1});  // else there is none
  CHECK(sizes(3, {.batch_size = 1, .least_batch = 2}) == Sizes{1, 1, 1});
  CHECK(sizes(10, {.batch_size = 4, .least_batch = 2, .skip_bad = true}, {9}) == Sizes{4, 4});
  CHECK(sizes(10, {.batch_size = 4, .least_batch = 2, .skip_bad = true}, {0, 1, 2}) == Sizes{4, 2});
  // Where the batches are parts of larger ones, of four here.
  CHECK(sizes(11, {.batch_size = 2, .drop_last = true, .whole_batch = 4}) == Sizes{2, 2, 2, 2});
  CHECK(sizes(13, {.batch_size = 4, .whole_batch = 8}) == Sizes{4, 4, 4, 1});
  CHECK(sizes(13, {.batch_size = 4, .whole_batch = 8, .least_batch = 2}) == Sizes{4, 4, 4});
  CHECK(sizes(14, {.batch_size = 4, .whole_batch = 8, .least_batch = 2}) == Sizes{4, 4, 4, 2});
  CHECK(sizes(13, {.batch_size = 4, .whole_batch = 8, .least_batch = 6}) == Sizes{4, 4});
  CHECK(sizes(9, {.batch_size = 1, .whole_batch = 4, .least_batch = 2}) ==
        Sizes{1, 1, 1, 1, 1, 1, 1, 1});
  CHECK(sizes(11, {.batch_size = 2, .drop_last = true}) == Sizes{2, 2, 2, 2, 2});
  CHECK(contains(error_of([] {
                   Loader(std::make_shared<Numbers>(3), {.drop_last = true, .whole_batch = 64});
                 }),
                 "a batch size of 64 and drop_last leave none of 3 samples"));
}

TEST_CASE("another sample is left out in each epoch") {
  Loader loader(std::make_shared<Numbers>(9), {.batch_size = 4, .shuffle = true, .least_batch = 2});
  std::set<std::int64_t> seen;
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    loader.start_epoch(epoch);
    for (Batch batch; loader.next(batch);) seen.insert(batch.indices.begin(), batch.indices.end());
  }
  CHECK(seen.size() == 9);
}

TEST_CASE("a damaged image stops the epoch at its batch, with its file's name, again and again") {
  const auto data = std::make_shared<const Numbers>(40, std::set<std::int64_t>{20, 23});
  for (const int workers : {0, 1, 4}) {
    Loader loader = make(data, {.batch_size = 8, .workers = workers});
    Batch batch;
    loader.start_epoch(0);
    CHECK(loader.next(batch));
    CHECK(loader.next(batch));
    CHECK(error_of([&] { loader.next(batch); }) == "image_20.jpg: truncated");
    CHECK(error_of([&] { loader.next(batch); }) == "image_20.jpg: truncated");
    loader.start_epoch(0, 3);  // past it
    CHECK(loader.next(batch));
    CHECK(batch.indices[0] == 24);
  }
  const auto odd = std::make_shared<const Numbers>(8, std::set<std::int64_t>{5});
  Loader loader = make(odd, {.batch_size = 8});
  CHECK(error_of([&] { see(loader, 0); }) ==
        "image_5.jpg: truncated");  // the name is added where it is missing
}

TEST_CASE("skip_bad leaves damaged images out, whatever the number of workers, and counts them") {
  const auto data = std::make_shared<const Numbers>(
      40, std::set<std::int64_t>{1, 2, 16, 17, 18, 19, 20, 21, 22, 23, 39});
  for (const int workers : {0, 1, 4}) {
    Loader loader = make(data, {.batch_size = 8, .workers = workers, .skip_bad = true});
    for (int epoch = 0; epoch < 2; ++epoch) {
      const Seen seen = see(loader, epoch);
      CHECK(seen.sizes == std::vector<std::int64_t>{6, 8, 8, 7});  // a batch of none is left out
      CHECK(std::vector<std::int64_t>(seen.indices.begin(), seen.indices.begin() + 3) ==
            std::vector<std::int64_t>{0, 3, 4});
      for (std::size_t i = 0; i < seen.indices.size(); ++i)
        CHECK(seen.pixels[3 * i] == static_cast<float>(seen.indices[i]));
      CHECK(loader.skipped() == 11);
      CHECK(loader.first_skipped() == "image_1.jpg: truncated");
    }
  }
  const auto none = std::make_shared<const Numbers>(3, std::set<std::int64_t>{0, 1, 2});
  Loader loader = make(none, {.batch_size = 2, .skip_bad = true});
  CHECK(error_of([&] { see(loader, 0); }) ==
        "3 of 3 samples could not be read, which leaves no batch; the first: image_0.jpg: "
        "truncated");
  // A batch of one, which least_batch leaves out, is not damaged.
  Loader few = make(std::make_shared<const Numbers>(2, std::set<std::int64_t>{0}),
                    {.batch_size = 2, .least_batch = 2, .skip_bad = true});
  CHECK(contains(error_of([&] { see(few, 0); }), "1 of 2 samples could not be read"));
}

TEST_CASE("skip_bad: a rest of an epoch, or some of its batches, may be damaged altogether") {
  const auto data = std::make_shared<const Numbers>(12, std::set<std::int64_t>{2, 3, 6, 7, 10, 11});
  for (const int workers : {0, 2}) {
    Loader loader = make(data, {.batch_size = 2, .workers = workers, .skip_bad = true});
    CHECK(see(loader, 0).sizes == std::vector<std::int64_t>{2, 2, 2});
    CHECK(see(loader, 0, 5).sizes.empty());  // as where a run goes on there
    CHECK(loader.skipped() == 2);
    Batch batch;
    loader.start_epoch(0, 1, 2);  // as one of two ranks evaluates
    CHECK_FALSE(loader.next(batch));
    CHECK(loader.skipped() == 6);
  }
}

TEST_CASE("a data set whose names throw loses the names alone") {
  struct Nameless final : Dataset {
    std::int64_t size() const override { return 4; }
    Shape input_shape() const override { return {1}; }
    TargetSpec target() const override { return classes(); }
    std::string name(std::int64_t) const override { throw Error("no names"); }
    void load(std::int64_t, RandomKey, const Sample&) const override { throw Error("damaged"); }
  };
  for (const int workers : {0, 2}) {
    Loader loader = make(std::make_shared<const Nameless>(), {.batch_size = 2, .workers = workers});
    Batch batch;
    loader.start_epoch(0);
    CHECK(error_of([&] { loader.next(batch); }) == "damaged");
  }
}

TEST_CASE("what changes an epoch's samples ends the one under way") {
  const auto data = std::make_shared<const Numbers>(9);
  for (const int workers : {0, 2}) {
    Loader loader = make(data, {.batch_size = 2, .workers = workers});
    const Seen whole = see(loader, 0);
    Batch batch;
    for (const bool smaller : {false, true}) {
      loader.start_epoch(0);
      loader.next(batch);
      if (smaller)
        loader.leave_out_smaller(2);
      else
        loader.share({});
      CHECK(contains(error_of([&] { loader.next(batch); }), "call start_epoch before next"));
      if (!smaller) CHECK(see(loader, 0) == whole);
    }
    CHECK(see(loader, 0).sizes == std::vector<std::int64_t>{2, 2, 2, 2});
  }
}

TEST_CASE("a lack of memory is never skipped") {
  auto data = std::make_shared<Numbers>(10);
  data->out_of_memory = 4;
  Loader loader = make(data, {.batch_size = 4, .workers = 2, .skip_bad = true});
  CHECK_THROWS_AS(see(loader, 0), std::bad_alloc);
}

TEST_CASE("memory is used again: the batches stand in the same few places") {
  const auto data = std::make_shared<const Numbers>(45);
  Loader loader = make(data, {.batch_size = 8, .workers = 2, .prefetch = 3});
  Batch batch;
  std::set<const float*> places;
  for (int epoch = 0; epoch < 6; ++epoch) {
    loader.start_epoch(epoch);
    while (loader.next(batch)) places.insert(batch.inputs.data());
  }
  CHECK(places.size() <= 3 + 2);  // the slots', the caller's, and that of the last batch
}

TEST_CASE("inputs that are moved out of a batch are the caller's, and the next ones are right") {
  const auto data = std::make_shared<const Numbers>(45);
  for (const int workers : {0, 2}) {
    Loader loader = make(data, {.batch_size = 8, .workers = workers});
    for (int epoch = 0; epoch < 2; ++epoch) {
      const Seen whole = see(loader, epoch);
      std::vector<float> pixels;
      Batch batch;
      loader.start_epoch(epoch);
      while (loader.next(batch)) {
        const Tensor<float> kept = std::move(batch.inputs);
        CHECK(kept.shape() == Shape{batch.size(), 1, 1, 3});
        pixels.insert(pixels.end(), kept.begin(), kept.end());
      }
      CHECK(pixels == whole.pixels);
    }
  }
}

TEST_CASE("it ends cleanly at any time") {
  const auto data = std::make_shared<const Numbers>(200);
  for (int taken = 0; taken < 12; ++taken) {
    Loader loader = make(data, {.batch_size = 5, .shuffle = true, .workers = 4, .prefetch = 3});
    if (taken == 11) continue;  // not even begun
    loader.start_epoch(0);
    Batch batch;
    for (int i = 0; i < taken; ++i) loader.next(batch);
    if (taken % 2 == 1) loader.start_epoch(1, 3);
  }
  CHECK(true);
}

TEST_CASE("it prepares ahead, but no further than asked, and knows how long it was waited for") {
  const auto data = std::make_shared<const Numbers>(100);
  Loader loader = make(data, {.batch_size = 5, .workers = 2, .prefetch = 2});
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(data->calls == 0);  // nothing before start_epoch
  loader.start_epoch(0);
  Batch batch;
  loader.next(batch);
  for (int i = 0; i < 500 && data->calls < 15; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  CHECK(data->calls == 15);  // the batch taken, and two ahead
  CHECK(loader.stall_seconds() > 0);
  const double before = loader.stall_seconds();
  loader.next(batch);  // is ready
  CHECK(loader.stall_seconds() >= before);
}

TEST_CASE("targets of any kind, and gaps of damaged samples closed in all of them") {
  // Sample i has two numbers 10 i and 10 i + 1, and a map of classes (2, 1) of i and i + 1.
  struct Maps final : Dataset {
    explicit Maps(bool has_numbers) : numbers(has_numbers) {}
    std::int64_t size() const override { return 7; }
    Shape input_shape() const override { return {2}; }
    TargetSpec target() const override {
      return numbers ? data::numbers({2, 1}) : data::classes({2, 1});
    }
    void load(std::int64_t index, RandomKey, const Sample& sample) const override {
      check(index != 2, "damaged");
      for (int i = 0; i < 2; ++i) {
        sample.input[static_cast<std::size_t>(i)] = static_cast<float>(10 * index + i);
        CHECK(sample.classes.size() == (numbers ? 0 : 2));
        CHECK(sample.numbers.size() == (numbers ? 2 : 0));
        if (numbers)
          sample.numbers[static_cast<std::size_t>(i)] = static_cast<float>(index + i) / 2;
        else
          sample.classes[static_cast<std::size_t>(i)] = static_cast<std::int32_t>(index + i);
      }
    }
    bool numbers;
  };
  for (const bool numbers : {false, true})
    for (const int workers : {0, 2}) {
      Loader loader(std::make_shared<const Maps>(numbers),
                    {.batch_size = 4, .workers = workers, .skip_bad = true});
      for (int epoch = 0; epoch < 2; ++epoch) {
        loader.start_epoch(epoch);
        Batch batch;
        REQUIRE(loader.next(batch));
        CHECK(batch.indices == std::vector<std::int64_t>{0, 1, 3});
        CHECK(batch.inputs.shape() == Shape{3, 2});
        CHECK(batch.inputs[5] == 31);
        CHECK(batch.target_shape == Shape{2, 1});
        const std::vector<float> values = {0, 0.5f, 0.5f, 1, 1.5f, 2};
        CHECK(batch.values == (numbers ? values : std::vector<float>{}));
        const std::vector<std::int32_t> labels = {0, 1, 1, 2, 3, 4};
        CHECK(batch.labels == (numbers ? std::vector<std::int32_t>{} : labels));
        REQUIRE(loader.next(batch));
        CHECK(batch.size() == 3);
        CHECK(batch.labels.size() == (numbers ? 0 : 6));
        CHECK(loader.first_skipped() == "sample 2: damaged");
      }
    }
}

TEST_CASE("options that make no sense are errors") {
  const auto data = std::make_shared<const Numbers>(10);
  const auto error = [&](const LoaderOptions& options) {
    return error_of([&] { make(data, options); });
  };
  CHECK(error({.batch_size = 0}) == "batch size: expected at least 1, got 0");
  CHECK(contains(error({.limit = -1}), "limit"));
  CHECK(contains(error({.workers = -1}), "workers"));
  CHECK(contains(error({.prefetch = 0}), "prefetch"));
  CHECK(contains(error({.batch_size = 11, .drop_last = true}), "drop_last"));
  CHECK(contains(error_of([&] { make(std::make_shared<const Numbers>(0), {}); }), "no samples"));
  CHECK(contains(error_of([&] { make(nullptr, {}); }), "data set"));
  Loader loader = make(data, {});
  Batch batch;
  CHECK(contains(error_of([&] { loader.next(batch); }), "start_epoch"));
}

TEST_CASE("shuffling is even: every image comes about as often at every place") {
  std::vector<int> first(5);
  for (int epoch = 0; epoch < 5000; ++epoch)
    ++first[static_cast<std::size_t>(epoch_order(5, true, 1, epoch)[0])];
  for (const int count : first) CHECK(std::abs(count - 1000) < 150);
}

}  // namespace
