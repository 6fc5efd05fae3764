// All parameters of a model in one buffer, and all its other state in another.
//
// A ParameterStore lays every parameter out as a slice of one 64-byte-aligned buffer. Gradients, an
// optimiser's moments and averaged weights have the same layout, so a step, clipping and a
// checkpoint are one pass each. It also keeps what the modules of the model say about themselves.
//
// Reading never changes anything. To write, ask for an edit, which lasts as long as it is held:
//
//   auto edit = store.edit();
//   edit.value(parameter.number)[0] = 1;
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "anther/autograd/parameter.hpp"
#include "anther/core/parallel_for.hpp"
#include "anther/core/random.hpp"
#include "anther/core/tensor.hpp"
#include "anther/kernels/packed_weight.hpp"

namespace anther::inline v0_1 {

// Which product a packed weight is for.
enum class PackUse { forward, input_gradient };

template <class T>
class ParameterStore {
 public:
  ParameterStore() = default;
  ParameterStore(const ParameterStore&) = delete;
  ParameterStore& operator=(const ParameterStore&) = delete;

  // Adds a parameter (learned) or a buffer (kept, not learned) to the module with this path, and
  // returns its number. Its name is the path and the given name; names are unique. The values are
  // undefined until initialize() or an edit sets them.
  int add_parameter(std::string_view module, std::string_view name,
                    const ParameterOptions& options) {
    return add(parameters_, parameters_size_, module, name, options);
  }
  int add_parameter(std::string_view name, const ParameterOptions& options) {
    return add_parameter({}, name, options);
  }
  int add_buffer(std::string_view module, std::string_view name, const ParameterOptions& options) {
    return add(buffers_, buffers_size_, module, name, options);
  }
  int add_buffer(std::string_view name, const ParameterOptions& options) {
    return add_buffer({}, name, options);
  }
  // Adds the name of a counter of batches (PyTorch's num_batches_tracked). Files contain it;
  // nothing computes with it.
  void add_counter(std::string_view module, std::string_view name) {
    counters_.push_back(name_in(module, name));
  }
  // Called by the constructor of Module.
  void add_module(ModuleInfo module) { modules_.push_back(std::move(module)); }

  const std::vector<ParameterInfo>& parameters() const { return parameters_; }
  const std::vector<ParameterInfo>& buffers() const { return buffers_; }
  const std::vector<std::string>& counters() const { return counters_; }
  // In the order in which they were made: a module comes after those that contain it.
  const std::vector<ModuleInfo>& modules() const { return modules_; }

  // Whether the samples of a batch see each other in training. Then a batch cannot be cut. A layer
  // whose statistics are frozen uses these instead of the batch's.
  bool couples_samples() const {
    for (const ModuleInfo& module : modules_)
      if (module.traits.couples_samples && !has_frozen_buffers(module.path)) return true;
    return false;
  }

  // The number of learned values, without padding.
  std::int64_t parameter_count() const {
    std::int64_t count = 0;
    for (const ParameterInfo& info : parameters_) count += info.size;
    return count;
  }

  // All parameters in their order, with padding (zeros) between them; and a single one.
  std::span<const T> values() const {
    allocate();
    return std::as_const(values_).span();
  }
  std::span<const T> value(int parameter) const { return slice(values(), parameters_, parameter); }
  std::span<const T> buffer_values() const {
    allocate();
    return std::as_const(buffer_values_).span();
  }
  std::span<const T> buffer(int number) const { return slice(buffer_values(), buffers_, number); }

  // The right to write to parameters and buffers, for as long as this object lives. No pass may run
  // meanwhile. When it ends, packed copies of the weights are out of date and its spans are
  // invalid.
  class Edit {
   public:
    explicit Edit(ParameterStore& store) : store_(store) {
      store.allocate();
      store.editing_.fetch_add(1);
    }
    ~Edit() {
      store_.version_.fetch_add(1, std::memory_order_release);
      store_.has_values_.store(true);
      store_.editing_.fetch_sub(1);
    }
    Edit(const Edit&) = delete;
    Edit& operator=(const Edit&) = delete;

    std::span<T> values() const { return store_.values_.span(); }
    std::span<T> value(int parameter) const {
      return slice(values(), store_.parameters_, parameter);
    }
    std::span<T> buffer_values() const { return store_.buffer_values_.span(); }
    std::span<T> buffer(int number) const {
      return slice(buffer_values(), store_.buffers_, number);
    }

   private:
    ParameterStore& store_;
  };
  Edit edit() { return Edit(*this); }

  // Throws unless a pass may read the parameters: they have values, and nobody is editing them.
  void check_readable() const {
    detail::check(has_values_.load() || parameters_.empty(),
                  "parameters: they have no values yet; call initialize(seed), or load weights");
    detail::check(editing_.load() == 0,
                  "parameters: they are being edited; a pass needs the end of the edit first");
  }

  // The part that belongs to a parameter, of a buffer with the store's layout (gradients, moments).
  template <class U>
  std::span<U> slice_of(std::span<U> all, int parameter) const {
    return slice(all, parameters_, parameter);
  }
  // The same for a buffer with the layout of buffer_values().
  template <class U>
  std::span<U> buffer_slice_of(std::span<U> all, int number) const {
    return slice(all, buffers_, number);
  }

  // The length of values(), and of everything that has its layout.
  std::int64_t size() const { return parameters_size_; }

  // Frozen parameters get no gradient and take no step. Throws if there is no parameter of this
  // number.
  void set_trainable(int parameter, bool trainable) {
    detail::check(parameter >= 0 && parameter < std::ssize(parameters_),
                  "set_trainable: expected a parameter of 0 to ", std::ssize(parameters_) - 1,
                  ", got ", parameter);
    parameters_[static_cast<std::size_t>(parameter)].trainable = trainable;
  }
  // The same for a buffer: a frozen one is used in training as in evaluation, and stays as it is.
  void set_buffer_trainable(int number, bool trainable) {
    detail::check(number >= 0 && number < std::ssize(buffers_),
                  "set_buffer_trainable: expected a buffer of 0 to ", std::ssize(buffers_) - 1,
                  ", got ", number);
    buffers_[static_cast<std::size_t>(number)].trainable = trainable;
  }

  // Initialises every parameter and buffer. A value depends only on the seed, the parameter's name
  // and its place in PyTorch's order.
  void initialize(std::uint64_t seed) {
    const RandomKey key = RandomKey(seed).fold("initialize");
    discard_buffers();
    const Edit edit(*this);
    parallel_for(std::ssize(parameters_), 50 * parameters_size_, [&](std::int64_t i) {
      initialize(parameters_[static_cast<std::size_t>(i)], edit.values(), key);
    });
    for (const ParameterInfo& info : buffers_) initialize(info, edit.buffer_values(), key);
  }

  // It expires with the store: for what refers to the store, and may live longer.
  std::weak_ptr<const void> life() const { return life_; }
  // It moves whenever values are changed by edit().
  std::uint64_t version() const { return version_.load(std::memory_order_acquire); }

  // What training passes of a part of a batch make of a buffer, until commit_buffers(). It begins
  // as the buffer is, or as an earlier pass of that part has left it. Parts may be under way at
  // once.
  std::span<T> pending_buffer(int number, int part = 0) {
    allocate();
    const std::lock_guard lock(mutex_);
    while (std::ssize(pending_) <= part)
      pending_.push_back({AlignedBuffer<T>(buffers_size_), std::vector<char>(buffers_.size(), 0)});
    Pending& of_part = pending_[static_cast<std::size_t>(part)];
    const std::span<T> values = slice(of_part.values.span(), buffers_, number);
    char& has = of_part.has[static_cast<std::size_t>(number)];
    if (!has) {
      const std::span<const T> before = buffer(number);
      std::copy(before.begin(), before.end(), values.begin());
    }
    has = 1;
    any_pending_ = true;
    return values;
  }
  // Whether a pass of this part has made something of a buffer since the last commit.
  bool has_pending(int number, int part) const {
    const std::lock_guard lock(mutex_);
    return part < std::ssize(pending_) &&
           pending_[static_cast<std::size_t>(part)].has[static_cast<std::size_t>(number)];
  }
  // Gives the buffers the values that training passes have made since the last commit: the mean
  // over the parts, in their order.
  void commit_buffers() {
    const std::lock_guard lock(mutex_);
    if (!any_pending_) return;
    for (int i = 0; i < std::ssize(buffers_); ++i) {
      const std::span<T> to = slice(buffer_values_.span(), buffers_, i);
      std::int64_t parts = 0;
      for (const Pending& part : pending_) {
        if (!part.has[static_cast<std::size_t>(i)]) continue;
        const std::span<const T> from = slice(part.values.span(), buffers_, i);
        if (parts++ == 0)
          std::copy(from.begin(), from.end(), to.begin());
        else
          for (std::size_t k = 0; k < to.size(); ++k) to[k] += from[k];
      }
      if (parts > 1)
        for (T& value : to) value /= static_cast<T>(parts);
    }
    forget_pending();
  }
  // Discards those values instead, when the step that they belong to is not made.
  void discard_buffers() {
    const std::lock_guard lock(mutex_);
    if (any_pending_) forget_pending();
  }

  // A weight packed for a matrix product, packed again after the values have changed. Safe to call
  // from several threads. Of each precision only the first way of packing that was asked for is
  // kept; the result is null for any other, and after keep_packed(false).
  const T* packed(int parameter, PackUse use, const kernels::PackOptions& pack) const {
    if (!keeps_packed_.load(std::memory_order_relaxed)) return nullptr;
    allocate();
    Packed& entry =
        packed_[static_cast<std::size_t>(parameter)]
               [2 * static_cast<std::size_t>(use) + static_cast<std::size_t>(pack.bf16)];
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

  // Bytes of the packed weights that are kept.
  std::int64_t packed_bytes() const {
    std::int64_t size = 0;
    for (const auto& of_parameter : packed_)
      for (const Packed& entry : of_parameter) size += entry.data.size();
    return size * static_cast<std::int64_t>(sizeof(T));
  }

  // Whether packed weights are kept. They take as much memory again as the weights, and a program
  // that makes only one pass does not need them. Does not change any result.
  void keep_packed(bool keep) const { keeps_packed_.store(keep, std::memory_order_relaxed); }

 private:
  struct Pending {
    AlignedBuffer<T> values;
    std::vector<char> has;  // for each buffer, whether `values` has it
  };
  struct Packed {
    AlignedBuffer<T> data;
    kernels::PackOptions pack;
    std::atomic<std::uint64_t> version{0};
    std::mutex mutex;
  };

  static std::string name_in(std::string_view module, std::string_view name) {
    return module.empty() ? std::string(name) : detail::text_of(module, ".", name);
  }

  int add(std::vector<ParameterInfo>& list, std::int64_t& size, std::string_view module,
          std::string_view own_name, const ParameterOptions& options) {
    const std::string name = name_in(module, own_name);
    detail::check(!allocated_.load(), "parameter ", name,
                  ": the store is in use already; make all layers before the first pass, "
                  "initialize() or edit");
    for (const auto* known : {&parameters_, &buffers_})
      for (const ParameterInfo& info : *known)
        detail::check(info.name != name, "parameter ", name,
                      ": the model has another of that name");
    ParameterInfo info;
    static_cast<ParameterOptions&>(info) = options;
    info.name = name;
    info.module = module;
    info.size = options.shape.numel();
    info.offset = size;
    constexpr std::int64_t unit = static_cast<std::int64_t>(alignment / sizeof(T));
    size += (info.size + unit - 1) / unit * unit;
    list.push_back(std::move(info));
    return static_cast<int>(list.size()) - 1;
  }

  bool has_frozen_buffers(std::string_view module) const {
    bool any = false;
    for (const ParameterInfo& info : buffers_) {
      if (info.module != module) continue;
      if (info.trainable) return false;
      any = true;
    }
    return any;
  }

  // Allocates the memory at the first use, once all parameters are known.
  void allocate() const {
    if (allocated_.load(std::memory_order_acquire)) return;
    const std::lock_guard lock(mutex_);
    if (allocated_.load(std::memory_order_relaxed)) return;
    values_ = AlignedBuffer<T>(parameters_size_);
    buffer_values_ = AlignedBuffer<T>(buffers_size_);
    packed_ = std::vector<std::array<Packed, 4>>(parameters_.size());
    allocated_.store(true, std::memory_order_release);
  }

  void forget_pending() {
    for (Pending& part : pending_) std::fill(part.has.begin(), part.has.end(), char{0});
    any_pending_ = false;
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
    if (const std::int64_t row = info.init.zero_row; row >= 0 && row < info.shape[0])
      std::fill_n(to + row * (info.size / info.shape[0]), info.size / info.shape[0], T(0));
  }

  std::shared_ptr<const char> life_ = std::make_shared<char>();
  std::vector<ParameterInfo> parameters_, buffers_;
  std::vector<std::string> counters_;
  std::vector<ModuleInfo> modules_;
  std::int64_t parameters_size_ = 0, buffers_size_ = 0;
  mutable AlignedBuffer<T> values_, buffer_values_;
  std::vector<Pending> pending_;  // of the parts of a batch
  bool any_pending_ = false;
  mutable std::vector<std::array<Packed, 4>> packed_;
  mutable std::atomic<bool> allocated_{false};
  mutable std::atomic<bool> keeps_packed_{true};
  mutable std::mutex mutex_;
  std::atomic<std::uint64_t> version_{1};
  std::atomic<bool> has_values_{false};
  std::atomic<int> editing_{0};
};

// The numbers of the parameters of the module with this path, and of all modules in it.
template <class T>
std::vector<int> parameters_within(const ParameterStore<T>& store, std::string_view path) {
  std::vector<int> numbers;
  for (std::size_t i = 0; i < store.parameters().size(); ++i)
    if (is_within(store.parameters()[i].module, path)) numbers.push_back(static_cast<int>(i));
  return numbers;
}

}  // namespace anther::inline v0_1
