// Every op of the table with shapes and attributes that somebody may give by mistake: an error, or
// the right answer, never a crash. What is drawn follows from a seed.
//
// The test draws a few thousand calls. For more, under the sanitizers:
//   ANTHER_FUZZ_CALLS=1000000 ANTHER_FUZZ_SEED=2 ops_tests --test-case='any shapes*'
#include <doctest/doctest.h>
#include <sys/resource.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <map>
#include <new>
#include <string>
#include <vector>

#include "tests/op_numerics.hpp"

#if defined(__SANITIZE_ADDRESS__)
#define ANTHER_TEST_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ANTHER_TEST_ADDRESS_SANITIZER 1
#endif
#endif

namespace {

using namespace anther;
using namespace op_tests;

// While it lives, the process may take little more memory than it has: what asks for more throws
// std::bad_alloc, instead of being filled with numbers for minutes. AddressSanitizer has an option
// of its own for that, max_allocation_size_mb.
class LimitedMemory {
 public:
  explicit LimitedMemory(std::uint64_t more) {
#ifdef ANTHER_TEST_ADDRESS_SANITIZER
    static_cast<void>(more);
#else
    std::uint64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    ::getrlimit(RLIMIT_AS, &old_);
    rlimit limit = old_;
    if (pages > 0) limit.rlim_cur = pages * 4096 + more;
    ::setrlimit(RLIMIT_AS, &limit);
#endif
  }
  LimitedMemory(const LimitedMemory&) = delete;
  LimitedMemory& operator=(const LimitedMemory&) = delete;
  ~LimitedMemory() {
#ifndef ANTHER_TEST_ADDRESS_SANITIZER
    ::setrlimit(RLIMIT_AS, &old_);
#endif
  }

 private:
  rlimit old_{};
};

class Draw {
 public:
  explicit Draw(RandomKey key) : key_(key) {}
  // From 0 to below - 1.
  std::int64_t number(std::int64_t below) { return uniform_below(key_, next_++, below); }
  bool one_in(std::int64_t n) { return number(n) == 0; }
  template <class T>
  const T& of(const std::vector<T>& list) {
    return list[static_cast<std::size_t>(number(std::ssize(list)))];
  }

 private:
  RandomKey key_;
  std::uint64_t next_ = 0;
};

constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
const std::vector<std::int64_t> extents = {0, 0, 1, 1, 2, 3, 4, 5, 7, 16, 17, 33};
const std::vector<std::int64_t> usual_integers = {0, 1, 1, 2, 3, 4, 5, -1, -2};
const std::vector<std::int64_t> odd_integers = {
    6,         17,        100,       -100,         INT32_MAX, INT32_MIN, 1LL << 31, 1LL << 32,
    1LL << 40, 1LL << 61, 1LL << 62, -(1LL << 62), most,      most - 1,  -most,     -most - 1};
const std::vector<double> odd_numbers = {0, -1, 1, 2, -0.5, 1e-300, 1e300, -1e300, 1e-5};

// Attributes that only some rows of an op give.
const std::map<std::string, std::vector<const char*>> more_attributes = {
    {"conv2d", {"stride", "padding", "dilation", "groups"}},
    {"conv1d", {"stride", "padding", "dilation", "groups"}},
    {"conv_transpose2d", {"stride", "padding", "output_padding", "dilation", "groups"}},
    {"max_pool2d", {"kernel_size", "stride", "padding", "dilation"}},
    {"avg_pool2d", {"kernel_size", "stride", "padding"}},
    {"adaptive_avg_pool2d", {"output_size"}},
    {"interpolate", {"size"}},
    {"subsample", {"stride"}},
    {"scaled_dot_product_attention", {"num_heads"}},
    {"group_norm", {"num_groups"}},
    {"narrow", {"dim", "start", "length"}},
    {"chunk", {"chunks", "dim"}},
    {"topk", {"k", "dim"}},
    {"embedding", {"padding_idx"}},
    {"cross_entropy", {"ignore_index"}},
    {"pixel_shuffle", {"upscale_factor"}},
    {"var", {"dim", "correction"}},
};

// One call: a row of the table with some of it changed.
struct Drawn {
  OpCase row;
  bool odd = false;  // whether numbers are so large that float and double may differ
};

void change_shapes(OpCase& row, Draw& draw) {
  if (draw.one_in(2)) {  // all extents of one size, so that the inputs still fit each other
    const Shape& shape = draw.of(row.inputs).shape;
    if (shape.rank() > 0) {
      const std::int64_t old = shape[static_cast<int>(draw.number(shape.rank()))];
      const std::int64_t changed = draw.of(extents);
      for (CaseInput& input : row.inputs)
        for (int axis = 0; axis < input.shape.rank(); ++axis)
          if (input.shape[axis] == old) input.shape[axis] = changed;
    }
  }
  if (draw.one_in(3)) {  // one extent of one input
    Shape& shape = row.inputs[static_cast<std::size_t>(draw.number(std::ssize(row.inputs)))].shape;
    if (shape.rank() > 0) shape[static_cast<int>(draw.number(shape.rank()))] = draw.of(extents);
  }
  if (draw.one_in(6)) {  // another rank
    Shape& shape = row.inputs[static_cast<std::size_t>(draw.number(std::ssize(row.inputs)))].shape;
    Shape changed;
    const int rank = static_cast<int>(draw.number(Shape::max_rank));
    for (int axis = 0; axis < rank; ++axis)
      changed.push_back(axis < shape.rank() ? shape[axis] : draw.of(extents));
    shape = changed;
  }
}

void change_number(nlohmann::json& value, Draw& draw, bool& odd) {
  if (value.is_boolean()) {
    value = draw.one_in(2);
  } else if (value.is_number_integer()) {
    if (draw.one_in(3)) {
      odd = true;
      value = draw.of(odd_integers);
    } else {
      value = draw.of(usual_integers);
    }
  } else if (value.is_number_float()) {
    odd = true;
    value = draw.of(odd_numbers);
  }
}

Drawn drawn(RandomKey key) {
  Draw draw(key);
  Drawn result{.row = draw.of(op_cases())};
  OpCase& row = result.row;
  change_shapes(row, draw);
  nlohmann::json attributes = nlohmann::json::parse(row.attributes);
  if (const auto more = more_attributes.find(row.op); more != more_attributes.end())
    if (draw.one_in(3)) attributes[draw.of(more->second)] = 1;
  if (!draw.one_in(3))
    for (nlohmann::json& value : attributes) {
      if (!draw.one_in(2)) continue;
      if (value.is_array() && !value.empty())
        change_number(value[static_cast<std::size_t>(draw.number(std::ssize(value)))], draw,
                      result.odd);
      else
        change_number(value, draw, result.odd);
    }
  row.attributes = attributes.dump();
  if (draw.one_in(8)) row.classes = static_cast<int>(draw.of(odd_integers));
  if (draw.one_in(4)) row.training = !row.training;
  if (draw.one_in(16)) {
    row.low = -3e38;
    row.high = 3e38;
    result.odd = true;
  }
  return result;
}

std::vector<double> joined(const OpResults& results) {
  std::vector<double> all = results.values;
  for (const std::vector<double>& each : results.gradients)
    all.insert(all.end(), each.begin(), each.end());
  return all;
}

// How far the two are apart, relative to the greatest number. Numbers may be infinite or none.
double distance(const OpResults& got, const OpResults& expected) {
  const std::vector<double> a = joined(got), b = joined(expected);
  if (a.size() != b.size()) return std::numeric_limits<double>::infinity();
  double greatest = 1e-3, apart = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    if (a[i] == b[i]) continue;
    greatest = std::max(greatest, std::abs(b[i]));
    apart = std::max(apart, std::abs(a[i] - b[i]));
    if (std::isnan(a[i] - b[i])) return std::numeric_limits<double>::infinity();
  }
  return apart / greatest;
}

std::int64_t number_of(const char* variable, std::int64_t otherwise) {
  const char* text = std::getenv(variable);
  return text ? std::atoll(text) : otherwise;
}

}  // namespace

TEST_CASE("any shapes and attributes: an error, or what double says") {
  const std::int64_t calls = number_of("ANTHER_FUZZ_CALLS", 4000);
  const RandomKey seed(static_cast<std::uint64_t>(number_of("ANTHER_FUZZ_SEED", 1)));
  const LimitedMemory limit(std::uint64_t{256} << 20);
  std::int64_t answers = 0, errors = 0, without_memory = 0;
  for (std::int64_t i = number_of("ANTHER_FUZZ_FIRST", 0); i < calls; ++i) {
    const Drawn draw = drawn(seed.fold(static_cast<std::uint64_t>(i)));
    std::string inputs;
    for (const CaseInput& input : draw.row.inputs) inputs += input.name + to_string(input.shape);
    CAPTURE(i);
    CAPTURE(draw.row.name());
    CAPTURE(inputs);
    if (std::getenv("ANTHER_FUZZ_VERBOSE")) MESSAGE(i, ": ", draw.row.name(), " ", inputs);
    try {
      CaseArguments<float> arguments(draw.row);
      const OpResults results = results_of(draw.row, arguments);
      ++answers;
      if (draw.odd) continue;
      CaseArguments<double> doubles(draw.row);
      CHECK(distance(results, results_of(draw.row, doubles)) < 1e-3);
    } catch (const Error& error) {
      CHECK(std::string(error.what()).size() > 10);
      ++errors;
    } catch (const std::bad_alloc&) {
      ++without_memory;
    } catch (const nlohmann::json::exception&) {
      continue;  // not an argument that a program could give
    }
  }
  MESSAGE(answers, " answers, ", errors, " errors, ", without_memory, " without memory");
  CHECK(answers > calls / 10);
  CHECK(errors > calls / 10);
}
