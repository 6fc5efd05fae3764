#include "anther/autograd/gradient_slots.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "anther/core/random.hpp"

using namespace anther;

namespace {

struct Taken {
  std::int64_t first, size;
};

// Parts must not overlap, and lie within the run.
bool are_apart(const std::vector<Taken>& all, std::int64_t length) {
  for (const Taken& a : all) {
    if (a.first < 0 || a.first + a.size > length) return false;
    for (const Taken& b : all)
      if (&a != &b && a.first < b.first + b.size && b.first < a.first + a.size) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("gradient slots: parts of a run never overlap, and free neighbours become one") {
  FreeParts parts;
  std::vector<Taken> all;
  for (std::uint64_t i = 0; i < 2000; ++i) {
    const double what = uniform(RandomKey(1), 2 * i), which = uniform(RandomKey(1), 2 * i + 1);
    if (what < 0.55 || all.empty()) {
      const std::int64_t size = 1 + static_cast<std::int64_t>(which * 100);
      all.push_back({parts.take(size), size});
    } else {
      const auto at =
          all.begin() + static_cast<std::ptrdiff_t>(which * static_cast<double>(all.size()));
      parts.release(at->first, at->size);
      all.erase(at);
    }
    if (i % 100 == 0) REQUIRE(are_apart(all, parts.length()));
  }
  CHECK(are_apart(all, parts.length()));
  for (const Taken& part : all) parts.release(part.first, part.size);
  const std::int64_t length = parts.length();
  CHECK(parts.take(length) == 0);
  CHECK(parts.length() == length);
}

TEST_CASE("gradient slots: a free end of the run is made longer, not left behind") {
  FreeParts parts;
  parts.take(10);
  parts.release(parts.take(5), 5);
  CHECK(parts.take(8) == 10);
  CHECK(parts.length() == 18);
}

TEST_CASE("gradient slots: the smallest part that is large enough is taken") {
  FreeParts parts;
  for (const std::int64_t size : {8, 1, 4, 1, 6, 1}) parts.take(size);
  parts.release(0, 8), parts.release(9, 4), parts.release(14, 6);
  CHECK(parts.take(5) == 14);
  CHECK(parts.take(1) == 19);
  CHECK(parts.take(4) == 9);
}

TEST_CASE("gradient slots: a backward pass holds two gradients of a chain at a time") {
  constexpr std::int64_t unit = 1 << 12;
  constexpr int layers = 40;
  GradientSlots<float> slots;
  std::vector<float*> before;
  for (int pass = 0; pass < 3; ++pass) {
    std::vector<float*> now;
    std::int64_t most = 0;
    int last = slots.take(unit);
    for (int layer = 2; layer <= layers; ++layer) {  // each gradient larger than the one after it
      const int next = slots.take(layer * unit);
      std::fill_n(slots.data(next), layer * unit, float(layer));
      std::fill_n(slots.data(last), (layer - 1) * unit, 0.f);
      CHECK(slots.data(next)[0] == float(layer));
      CHECK(slots.data(next)[layer * unit - 1] == float(layer));
      most = std::max(most, slots.memory_bytes());
      now.push_back(slots.data(next));
      slots.release(last);
      last = next;
    }
    const std::int64_t two = 2 * layers * unit * static_cast<std::int64_t>(sizeof(float));
    CHECK(most <= two * 3 / 2);
    if (pass == 2) CHECK(now == before);  // the same memory from the second pass on
    before = now;
    slots.reset();
  }
}

TEST_CASE("gradient slots: a shared slot is free when its last user has released it") {
  GradientSlots<double> slots;
  const int slot = slots.take(100);
  slots.share(slot);
  CHECK(slots.is_shared(slot));
  slots.release(slot);
  CHECK(!slots.is_shared(slot));
  const int other = slots.take(100);
  CHECK(slots.data(other) != slots.data(slot));
}
