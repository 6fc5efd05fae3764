#include "anther/core/arena.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "tests/io/temporary_folder.hpp"

namespace {

using anther::Arena;

// Takes memory as a pass with these sizes does, writes to all of it, and checks that no piece
// overlaps another.
void take(Arena& arena, const std::vector<std::int64_t>& sizes) {
  std::vector<std::int32_t*> pieces;
  for (const std::int64_t size : sizes) {
    std::int32_t* piece = arena.allocate<std::int32_t>(size);
    CHECK(reinterpret_cast<std::uintptr_t>(piece) % anther::alignment == 0);
    std::fill_n(piece, size, static_cast<std::int32_t>(pieces.size()));
    pieces.push_back(piece);
  }
  for (std::size_t i = 0; i < pieces.size(); ++i)
    CHECK(std::count(pieces[i], pieces[i] + sizes[i], static_cast<std::int32_t>(i)) == sizes[i]);
}

TEST_CASE("arena: aligned pieces that stay in place while it grows") {
  Arena arena;
  CHECK(arena.capacity() == 0);
  take(arena, {1, 15, 16, 17, 0, 3, 1000, 100'000, 5, 2'000'000, 7});
  CHECK(arena.used() >= 4 * 2'101'064);
  CHECK(arena.capacity() >= arena.used());
}

TEST_CASE("arena: after a reset that follows growth, one block has room for all") {
  Arena arena;
  const std::vector<std::int64_t> sizes = {20'000, 30'000, 40'000, 100, 50'000};
  take(arena, sizes);
  const std::int64_t used = arena.used();
  arena.reset();
  CHECK(arena.used() == 0);
  const std::int64_t kept = arena.capacity();
  CHECK(kept >= used);

  // In one block: the same pieces now follow one another, and nothing is taken any more.
  const auto* first = arena.allocate<std::byte>(64);
  const auto* last = arena.allocate<std::byte>(kept / 64 * 64 - 64);
  CHECK(last == first + 64);
  for (int pass = 0; pass < 3; ++pass) {
    arena.reset();
    CHECK(arena.allocate<std::byte>(64) == first);
    arena.reset();
    take(arena, sizes);
    CHECK(arena.used() == used);
    CHECK(arena.capacity() == kept);
  }
}

TEST_CASE("arena: a size that memory cannot have is refused") {
  Arena arena;
  // As bytes it would be 0, and a writer would run into what follows.
  CHECK(contains(error_of([&] { arena.allocate<double>(std::int64_t{1} << 61); }), "size"));
  CHECK(contains(error_of([&] { arena.allocate<std::byte>(INT64_MAX); }), "size"));
  CHECK(contains(error_of([&] { arena.allocate<float>(-1); }), "size"));
  take(arena, {10, 20});
}

}  // namespace
