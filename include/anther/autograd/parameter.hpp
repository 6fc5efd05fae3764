// What a layer says about its parameters: names, shapes and initial values. Each parameter states
// its PyTorch name, shape and permutation once; files, initialisers and the summary all use them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "anther/core/check.hpp"
#include "anther/core/shape.hpp"

namespace anther::inline v0_1 {

// How a parameter is initialised.
struct Init {
  enum class Kind { constant, uniform, normal, truncated_normal };
  Kind kind = Kind::constant;
  double value = 0;  // the constant, the bound of the uniform distribution, or the deviation
  std::int64_t zero_row = -1;  // a row of the first axis that is zeros all the same

  static constexpr Init constant(double value) { return {Kind::constant, value}; }
  // Uniform in [-bound, bound).
  static constexpr Init uniform(double bound) { return {Kind::uniform, bound}; }
  static constexpr Init normal(double deviation) { return {Kind::normal, deviation}; }
  // Normal; values beyond +-2 are drawn again (PyTorch's trunc_normal_ with its default cuts).
  static constexpr Init truncated_normal(double deviation) {
    return {Kind::truncated_normal, deviation};
  }
};

// What a layer says about one of its parameters.
struct ParameterOptions {
  Shape shape;                         // as Anther keeps it: channels last
  std::array<int, 4> torch_axes = {};  // PyTorch's axis i is Anther's axis torch_axes[i]; unless
  bool torch_order = true;             // the two orders are the same
  Init init = {};
  bool decay = true;  // whether weight decay applies: to weights, not to norms and biases
};

// One parameter (or buffer) of a store.
struct ParameterInfo : ParameterOptions {
  std::string name;         // PyTorch's: stages.0.1.ffn.expand.weight
  std::string module;       // the path of the module that has it: stages.0.1.ffn.expand
  std::int64_t offset = 0;  // in the store's buffer, in elements
  std::int64_t size = 0;    // elements
  bool trainable = true;    // false: frozen; of a buffer, training leaves it as it is

  // PyTorch's shape of it.
  Shape torch_shape() const {
    if (torch_order) return shape;
    Shape permuted;
    for (int i = 0; i < shape.rank(); ++i)
      permuted.push_back(shape[torch_axes[static_cast<std::size_t>(i)]]);
    return permuted;
  }
};

// Copies between Anther's order and PyTorch's: visit(torch_index, index) for every element.
template <class Visit>
void for_each_torch_index(const ParameterInfo& info, const Visit& visit) {
  const int rank = info.shape.rank();
  std::array<std::int64_t, Shape::max_rank> stride{}, extent{}, index{};
  for (int i = 0; i < rank; ++i) {
    const int axis = info.torch_order ? i : info.torch_axes[static_cast<std::size_t>(i)];
    std::int64_t step = 1;
    for (int after = axis + 1; after < rank; ++after) step *= info.shape[after];
    stride[static_cast<std::size_t>(i)] = step;
    extent[static_cast<std::size_t>(i)] = info.shape[axis];
  }
  std::int64_t position = 0;
  for (std::int64_t n = 0; n < info.size; ++n) {
    visit(n, position);
    for (int i = rank - 1; i >= 0; --i) {
      const auto at = static_cast<std::size_t>(i);
      position += stride[at];
      if (++index[at] < extent[at]) break;
      position -= stride[at] * extent[at];
      index[at] = 0;
    }
  }
}

// What a module says about itself to code that walks over the parts of a model.
struct ModuleTraits {
  bool couples_samples = false;  // samples of a batch see each other's statistics in training
  bool container = false;        // only calls other modules; a summary leaves it out
  bool stage = false;            // one of the parts that a model consists of, from input to output
  bool head = false;             // what is replaced when a model learns other classes
};
struct ModuleInfo {
  std::string path;  // stages.0.1; empty for the model itself
  std::string type;  // Conv2d
  ModuleTraits traits;
};

// Whether a module or a parameter is the one with this path, or is inside it.
inline bool is_within(std::string_view name, std::string_view path) {
  return path.empty() ||
         (name.starts_with(path) && (name.size() == path.size() || name[path.size()] == '.'));
}

template <class T>
class ParameterStore;

// A layer's handle to one parameter of a store; an empty one stands for an absent bias.
template <class T>
struct Parameter {
  ParameterStore<T>* store = nullptr;
  int number = -1;

  explicit operator bool() const { return store != nullptr; }
  const ParameterInfo& info() const {
    return store->parameters()[static_cast<std::size_t>(number)];
  }
};

// The same for a buffer: state that is kept beside the parameters and not learned, like BatchNorm's
// running statistics.
template <class T>
struct Buffer {
  ParameterStore<T>* store = nullptr;
  int number = -1;

  explicit operator bool() const { return store != nullptr; }
  const ParameterInfo& info() const { return store->buffers()[static_cast<std::size_t>(number)]; }
};

}  // namespace anther::inline v0_1
