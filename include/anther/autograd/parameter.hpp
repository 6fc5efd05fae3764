// Parameters: what is learned (and BatchNorm's running statistics), all of a model in one buffer.
//
// A ParameterStore lays every parameter of a model out as a slice of one 64-byte-aligned buffer.
// Gradients, the optimiser's moments and averaged weights have the same layout, so that a step, a
// clipping or a checkpoint is one pass. Each parameter states its PyTorch name, shape and
// permutation once; files, initialisers and the summary all use that.
#pragma once

#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/random.hpp"
#include "anther/core/shape.hpp"
#include "anther/core/tensor.hpp"
#include "anther/kernels/packed_weight.hpp"

namespace anther::inline v0_1 {

// How a parameter starts.
struct Init {
  enum class Kind { constant, uniform, normal, truncated_normal };
  Kind kind = Kind::constant;
  double value = 0;  // the constant, the bound of the uniform distribution, or the deviation

  static constexpr Init constant(double value) { return {Kind::constant, value}; }
  // Uniform in [-bound, bound).
  static constexpr Init uniform(double bound) { return {Kind::uniform, bound}; }
  static constexpr Init normal(double deviation) { return {Kind::normal, deviation}; }
  // Normal, drawn again while beyond +-2 (PyTorch's trunc_normal_ with its default cuts).
  static constexpr Init truncated_normal(double deviation) {
    return {Kind::truncated_normal, deviation};
  }
};

// What a layer says of one of its parameters.
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
  std::int64_t offset = 0;  // in the store's buffer, in elements
  std::int64_t size = 0;    // elements
  bool trainable = true;    // false: frozen

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

// Which product a packed weight is for.
enum class PackUse { forward, input_gradient };

template <class T>
class ParameterStore {
 public:
  ParameterStore() = default;
  ParameterStore(const ParameterStore&) = delete;
  ParameterStore& operator=(const ParameterStore&) = delete;

  // Adds a parameter (learned) or a buffer (kept, not learned); returns its number. Names are
  // unique. The values start as zeros; initialize() gives them their start.
  int add_parameter(std::string name, const ParameterOptions& options) {
    return add(parameters_, parameters_size_, std::move(name), options);
  }
  int add_buffer(std::string name, const ParameterOptions& options) {
    return add(buffers_, buffers_size_, std::move(name), options);
  }

  const std::vector<ParameterInfo>& parameters() const { return parameters_; }
  const std::vector<ParameterInfo>& buffers() const { return buffers_; }

  // The number of learned values, padding not counted.
  std::int64_t parameter_count() const {
    std::int64_t count = 0;
    for (const ParameterInfo& info : parameters_) count += info.size;
    return count;
  }

  // All parameters in their order, with padding (zeros) between them. Ask anew for every change:
  // asking is what makes the packed copies of the weights out of date.
  std::span<T> values() {
    allocate();
    version_.fetch_add(1, std::memory_order_release);
    return values_.span();
  }
  std::span<const T> values() const {
    allocate();
    return std::as_const(values_).span();
  }
  std::span<T> value(int parameter) { return slice(values(), parameters_, parameter); }
  std::span<const T> value(int parameter) const { return slice(values(), parameters_, parameter); }
  std::span<T> buffer_values() {
    allocate();
    return buffer_values_.span();
  }
  std::span<const T> buffer_values() const {
    allocate();
    return std::as_const(buffer_values_).span();
  }
  std::span<T> buffer(int number) { return slice(buffer_values(), buffers_, number); }
  std::span<const T> buffer(int number) const { return slice(buffer_values(), buffers_, number); }

  // The part of a buffer of the store's layout (gradients, moments) that belongs to a parameter.
  template <class U>
  std::span<U> slice_of(std::span<U> all, int parameter) const {
    return slice(all, parameters_, parameter);
  }

  // The same of a buffer of buffer_values()' layout.
  template <class U>
  std::span<U> buffer_slice_of(std::span<U> all, int number) const {
    return slice(all, buffers_, number);
  }

  // The length of values(), and of everything that has its layout.
  std::int64_t size() const { return parameters_size_; }

  void set_trainable(int parameter, bool trainable) {
    parameters_[static_cast<std::size_t>(parameter)].trainable = trainable;
  }

  // Gives every parameter and buffer its start. A value depends on the seed, the parameter's name
  // and its place in PyTorch's order alone.
  void initialize(std::uint64_t seed) {
    const RandomKey key = RandomKey(seed).fold("initialize");
    const std::span<T> all = values();
    for (const ParameterInfo& info : parameters_) initialize(info, all, key);
    for (const ParameterInfo& info : buffers_) initialize(info, buffer_values(), key);
  }

  // A weight packed for a matrix product, made anew after the values have changed. Safe to call
  // from several threads. Kept for the first way of packing that was asked for; null for another.
  const T* packed(int parameter, PackUse use, const kernels::PackOptions& pack) const {
    allocate();
    Packed& entry = packed_[static_cast<std::size_t>(parameter)][static_cast<std::size_t>(use)];
    const std::uint64_t current = version_.load(std::memory_order_acquire);
    if (entry.version.load(std::memory_order_acquire) != current) {
      const std::lock_guard lock(entry.mutex);
      if (entry.version.load(std::memory_order_relaxed) != current) {
        if (entry.data.size() == 0) {
          entry.data = AlignedBuffer<T>(kernels::packed_size<T>(pack));
          entry.pack = pack;
        }
        kernels::pack_weight(entry.data.data(), value(parameter).data(), entry.pack);
        entry.version.store(current, std::memory_order_release);
      }
    }
    return entry.pack == pack ? entry.data.data() : nullptr;
  }

 private:
  struct Packed {
    AlignedBuffer<T> data;
    kernels::PackOptions pack;
    std::atomic<std::uint64_t> version{0};
    std::mutex mutex;
  };

  int add(std::vector<ParameterInfo>& list, std::int64_t& size, std::string name,
          const ParameterOptions& options) {
    detail::check(!allocated_.load(), "parameter ", name, ": the store is in use already");
    for (const auto* known : {&parameters_, &buffers_})
      for (const ParameterInfo& info : *known)
        detail::check(info.name != name, "parameter ", name,
                      ": the model has another of that name");
    ParameterInfo info;
    static_cast<ParameterOptions&>(info) = options;
    info.name = std::move(name);
    info.size = options.shape.numel();
    info.offset = size;
    constexpr std::int64_t unit = static_cast<std::int64_t>(alignment / sizeof(T));
    size += (info.size + unit - 1) / unit * unit;
    list.push_back(std::move(info));
    return static_cast<int>(list.size()) - 1;
  }

  // Takes the memory, once all parameters are known: at the first use.
  void allocate() const {
    if (allocated_.load(std::memory_order_acquire)) return;
    const std::lock_guard lock(mutex_);
    if (allocated_.load(std::memory_order_relaxed)) return;
    values_ = AlignedBuffer<T>(parameters_size_);
    buffer_values_ = AlignedBuffer<T>(buffers_size_);
    packed_ = std::vector<std::array<Packed, 2>>(parameters_.size());
    allocated_.store(true, std::memory_order_release);
  }

  template <class U>
  static std::span<U> slice(std::span<U> all, const std::vector<ParameterInfo>& list, int number) {
    const ParameterInfo& info = list[static_cast<std::size_t>(number)];
    return all.subspan(static_cast<std::size_t>(info.offset), static_cast<std::size_t>(info.size));
  }

  static void initialize(const ParameterInfo& info, std::span<T> all, RandomKey seed_key) {
    const RandomKey key = seed_key.fold(info.name);
    T* to = all.data() + info.offset;
    for_each_torch_index(info, [&](std::int64_t torch_index, std::int64_t index) {
      const auto i = static_cast<std::uint64_t>(torch_index);
      double value = info.init.value;
      switch (info.init.kind) {
        case Init::Kind::constant:
          break;
        case Init::Kind::uniform:
          value *= 2 * uniform(key, i) - 1;
          break;
        case Init::Kind::normal:
          value *= normal(key, i);
          break;
        case Init::Kind::truncated_normal: {
          double drawn = value * normal(key, i);
          for (std::uint64_t again = 1; std::abs(drawn) > 2; ++again)
            drawn = value * normal(key.fold(again), i);
          value = drawn;
          break;
        }
      }
      to[index] = static_cast<T>(value);
    });
  }

  std::vector<ParameterInfo> parameters_, buffers_;
  std::int64_t parameters_size_ = 0, buffers_size_ = 0;
  mutable AlignedBuffer<T> values_, buffer_values_;
  mutable std::vector<std::array<Packed, 2>> packed_;
  mutable std::atomic<bool> allocated_{false};
  mutable std::mutex mutex_;
  std::atomic<std::uint64_t> version_{1};
};

// A layer's handle to one parameter of the store.
template <class T>
struct Parameter {
  ParameterStore<T>* store = nullptr;
  int number = -1;

  explicit operator bool() const { return store != nullptr; }
  const ParameterInfo& info() const {
    return store->parameters()[static_cast<std::size_t>(number)];
  }
};

}  // namespace anther::inline v0_1
