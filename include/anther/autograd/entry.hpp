// What a tape records: calls of ops, and calls of layers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "anther/autograd/op.hpp"
#include "anther/core/check.hpp"
#include "anther/core/shape.hpp"

namespace anther::inline v0_1 {

// A call of an op. It is data: its memory is the tape's, and nothing runs when it is dropped.
template <class T>
struct TapeEntry {
  const Op<T>* op;
  const void* attributes;
  std::span<const int> inputs;   // numbers of values, -1 for an absent one
  std::span<const int> outputs;  // the results, then what forward keeps for backward
  int results = 1;
  std::string_view layer;  // the path of the innermost layer
  int lazy = -1;           // the entry whose rows it computes in place of input 0, or -1
  // An op that takes_add, with the addition that follows it: forward adds the value `add` and
  // writes the sum to the value `into`, in place of its own result. The addition is then `merged`:
  // its own forward has nothing left to do.
  int add = -1, into = -1;
  bool merged = false;
  // In a planned pass, an op that applies_rows: the last of the lazy ops that follow, which is
  // computed in the place of the op's result, `into`. Those lazy ops are `applied`.
  int after = -1;
  bool applied = false;

  // The number of an input, or -1 if the input is absent. Throws if the op has no such input.
  int input(int i) const {
    detail::check(i >= 0 && i < std::ssize(inputs), "expected an input of 0 to ",
                  std::ssize(inputs) - 1, ", got ", i);
    return inputs[static_cast<std::size_t>(i)];
  }
  // "stages.0.0.conv: conv2d", for messages.
  std::string where() const { return detail::text_of(layer, layer.empty() ? "" : ": ", op->name); }
};

// What a tape holds memory for, in bytes.
struct TapeMemory {
  std::int64_t values = 0;               // results, and what forward keeps: maps
  std::int64_t gradients = 0;            // of those
  std::int64_t scratch = 0;              // of the op that runs
  std::int64_t parameter_gradients = 0;  // where they are the tape's own
  std::int64_t entries = 0;

  std::int64_t total() const {
    return values + gradients + scratch + parameter_gradients + entries;
  }
  void add(const TapeMemory& other) {
    values += other.values;
    gradients += other.gradients;
    scratch += other.scratch;
    parameter_gradients += other.parameter_gradients;
    entries += other.entries;
  }
};

// A call of a layer; calls are recorded in the order in which they end.
struct LayerCall {
  std::string_view path;
  std::string_view type;
  bool container = false;  // only calls other layers
  bool stage = false;      // one of the parts that the model consists of
  bool is_block = false;   // recompute has backward compute its values again
  int depth = 0;
  int first_entry = 0, last_entry = 0;
  Shape input, output;
};

}  // namespace anther::inline v0_1
