// The autograd tape: what a forward pass did, and its reversal.
//
//   tape.begin();
//   const Variable<float> loss = mse_loss(net(tape.input(x)), tape.input(y));
//   tape.zero_gradients();
//   tape.backward(loss);
//   optimizer.step(tape, 1e-3);
//
// An op computes at once and leaves an entry: data, not a closure. Backward goes through the
// entries in reverse. Values, gradients and entries live in memory that the tape keeps, so a step
// makes no heap allocation once the first one has run.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "anther/autograd/amp.hpp"
#include "anther/autograd/entry.hpp"
#include "anther/autograd/gradient_slots.hpp"
#include "anther/autograd/parameter_store.hpp"
#include "anther/autograd/profile.hpp"
#include "anther/autograd/variable.hpp"
#include "anther/core/arena.hpp"
#include "anther/core/check.hpp"
#include "anther/core/openmp.hpp"  // threads, whichever headers a program includes
#include "anther/core/random.hpp"
#include "anther/core/shape.hpp"
#include "anther/core/tensor.hpp"

namespace anther::inline v0_1 {

struct TapeOptions {
  bool training = true;  // dropout drops, BatchNorm uses the batch's statistics
  bool backward = true;  // keep what backward needs
  bool dry_run = false;  // shapes only: nothing is computed; constants are kept
  // Keeps of each stage (or of each layer of a Sequential that is one) only what enters and leaves
  // it; backward computes the rest again. Less memory for a third more time, and the same bits.
  bool recompute = false;
  // Mixed precision: products of operands rounded to bfloat16, in the ops that take such (linear
  // layers and convolutions); sums, and all else, are in float. For float alone: with double it
  // changes nothing.
  Amp amp = {};
  // What dropout draws from. Without a key, every pass of a tape has a different one.
  std::optional<RandomKey> random = {};
  std::int64_t first_sample = 0;  // the number of the micro-batch's first sample in its batch
  // Where BatchNorm's statistics are those of parts of a batch: the number of the pass's part. What
  // the parts make of running statistics is averaged when the optimiser has made its step. Without
  // a number the pass is a batch of its own, and the next pass, too, brings them into effect.
  std::optional<int> batch_part = {};
  Profile* profile = nullptr;  // gains the time of every op, where not null
};

template <class T>
class Tape {
 public:
  using Entry = TapeEntry<T>;

  Tape() = default;
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  // Forgets the last pass and starts another. Variables of the last pass are no longer valid. What
  // that pass has done to buffers (BatchNorm's running statistics) is committed.
  void begin(const TapeOptions& options = {}) {
    for (const StoreUse& use : stores_)
      if (use.trained && !options_.batch_part && !use.life.expired()) use.store->commit_buffers();
    reset();
    options_ = options;
    ++passes_;
    random_ = options.random ? *options.random : RandomKey(0).fold("pass").fold(passes_);
  }
  const TapeOptions& options() const { return options_; }
  // The key that the pass draws from.
  RandomKey random() const { return random_; }

  // A copy of values from outside: a batch, for example; in a dry run, a constant of the model's.
  Variable<T> input(const Shape& shape, std::span<const T> elements, bool wants_gradient = false) {
    check_size(shape, std::ssize(elements));
    const int id = add_value(shape, wants_gradient && options_.backward);
    at(id).data = keep(elements, values_memory_);
    return handle(id);
  }
  Variable<T> input(const Tensor<T>& tensor, bool wants_gradient = false) {
    return input(tensor.shape(), tensor.span(), wants_gradient);
  }
  // The same for integers: labels, indices. They have no gradient.
  Variable<T> integers(const Shape& shape, std::span<const std::int32_t> elements) {
    check_size(shape, std::ssize(elements));
    const int id = add_value(shape, false);
    at(id).holds_integers = true;
    at(id).integers = keep(elements, values_memory_);
    return handle(id);
  }
  // A value of which only the shape is known, for a dry run.
  Variable<T> input(const Shape& shape) {
    check(options_.dry_run, "input: a shape without elements needs a dry run");
    check(shape.can_be_counted(), "input: the number of elements of ", shape, " overflows");
    return handle(add_value(shape, false));
  }

  // A parameter as a value; an empty handle gives an empty variable (no bias). Throws unless the
  // parameters have values.
  Variable<T> parameter(const Parameter<T>& parameter);

  // The gradients of all parameters of a store, in its layout. Backward adds to them;
  // zero_gradients() sets them to zero. They are the tape's own, or memory of the caller
  // (use_gradients).
  std::span<T> gradients(const ParameterStore<T>& store);
  // The same, where the tape has used only one store.
  std::span<T> gradients();
  // From now on they are added to this memory. The tape's own, which gradients() gave, is freed.
  void use_gradients(ParameterStore<T>& store, std::span<T> gradients);
  void zero_gradients() {
    for (const StoreUse& use : stores_) std::fill(use.gradients.begin(), use.gradients.end(), T(0));
  }

  // Runs an op and records it. result: the shape of its result. kept: the shapes of what forward
  // keeps for backward. An empty variable among the inputs stands for an absent input. The
  // attributes are copied.
  template <class Attributes>
  Variable<T> apply(const Op<T>& op, const Attributes& attributes,
                    std::initializer_list<Variable<T>> inputs, const Shape& result,
                    std::initializer_list<Shape> kept = {}) {
    return apply_many(op, attributes, {inputs.begin(), inputs.size()}, {&result, 1},
                      {kept.begin(), kept.size()})[0];
  }
  // The same for any number of inputs and results. The handles last until the pass ends.
  template <class Attributes>
  std::span<const Variable<T>> apply_many(const Op<T>& op, const Attributes& attributes,
                                          std::span<const Variable<T>> inputs,
                                          std::span<const Shape> results,
                                          std::span<const Shape> kept = {}) {
    static_assert(
        std::is_trivially_destructible_v<Attributes> && std::is_trivially_copyable_v<Attributes>,
        "attributes are data: an entry is copied and dropped without running code");
    return record(op, keep(std::span<const Attributes>(&attributes, 1)), inputs, results, kept);
  }

  // The elements of x from number `first` on, as a value with another shape, without a copy. Its
  // gradient goes to the same place in the gradient of x. op: the name of the view on the tape; it
  // computes nothing.
  template <class Attributes>
  Variable<T> view(const Op<T>& op, const Attributes& attributes, const Variable<T>& x,
                   std::int64_t first, const Shape& shape) {
    static_assert(std::is_trivially_copyable_v<Attributes>, "attributes are data");
    return record_view(op, keep(std::span<const Attributes>(&attributes, 1)), x, first, shape);
  }

  // Computes the gradient of a scalar with respect to everything that it was computed from.
  void backward(const Variable<T>& loss);

  // Memory that lasts until the pass ends, for arrays in attributes, for example.
  template <class U>
  U* keep(std::span<const U> elements) {
    return keep(elements, entries_memory_);
  }

  // Throws unless ok, with the path of the layer in front of the message. The pass is then over.
  template <class... Parts>
  void check(bool ok, const Parts&... parts) {
    if (ok) [[likely]]
      return;
    std::string where(layer());
    abandon();
    if (!where.empty()) where += ": ";
    detail::fail(where, parts...);
  }

  // Used by Module: which layer the pass is in.
  std::string_view layer() const {
    return scopes_.empty() ? std::string_view{} : scopes_.back().path;
  }
  void enter(std::string_view path, std::string_view type, const ModuleTraits& traits,
             const Shape& input);
  // result: null where the layer has thrown.
  void leave(const Variable<T>* result);
  std::span<const LayerCall> layer_calls() const {
    return {layer_calls_.data(), layer_calls_.size()};
  }
  std::span<const Entry> entries() const { return {entries_.data(), entries_.size()}; }
  // A number of its own for each op of a pass that draws random numbers.
  std::uint64_t next_draw() { return draws_++; }

  // The number that entries use for a variable's value. Throws if the variable is no longer valid.
  int id_of(const Variable<T>& variable) const {
    detail::check(variable.tape_ == this, "variable: of another tape, or empty");
    detail::check(variable.generation_ == generation_,
                  "variable: of an earlier pass; a variable ends when its tape begins another");
    return variable.id_;
  }
  // The numbers of values are 0 to value_count() - 1.
  int value_count() const { return static_cast<int>(values_.size()); }
  const Shape& shape_of(int id) const { return at(id).shape; }
  bool holds_integers(int id) const { return at(id).holds_integers; }
  bool is_bf16(int id) const { return at(id).narrow; }  // stored as kernels/bf16_map.hpp has it
  // The elements of a value by its number; empty if it has none (in a dry run), or integers.
  std::span<const T> elements_of(int id) const {
    const Value& value = at(id);
    if (value.data == nullptr || value.narrow) return {};
    return {value.data, static_cast<std::size_t>(value.shape.numel())};
  }
  std::span<const std::uint16_t> bf16_elements_of(int id) const;  // the same where it is_bf16
  std::span<const std::int32_t> integers_of(int id) const {
    const Value& value = at(id);
    if (value.integers == nullptr) return {};
    return {value.integers, static_cast<std::size_t>(value.shape.numel())};
  }
  // The number of the entry that computes a value, or -1.
  int producer_of(int id) const { return at(id).producer; }
  // The parameter that a value is, or an empty handle.
  Parameter<T> parameter_of(int id) const { return id < 0 ? Parameter<T>{} : at(id).parameter; }
  // The value that a view is a view of, and where the view begins in it; for any other value,
  // itself and 0.
  struct Root {
    int id;
    std::int64_t first;
  };
  Root root_of(int id) const {
    const Value& value = at(id);
    return value.base < 0 ? Root{id, 0} : Root{value.base, value.first};
  }

  const Shape& shape(const Variable<T>& variable) const { return at(id_of(variable)).shape; }
  std::span<const T> value(const Variable<T>& variable);
  std::span<const std::int32_t> integers_of(const Variable<T>& variable) const {
    const Value& value = at(id_of(variable));
    detail::check(value.holds_integers, "integers: it holds real numbers; ask for value()");
    detail::check(!options_.dry_run, "integers: a dry run computes none");
    return {value.integers, static_cast<std::size_t>(value.shape.numel())};
  }
  std::span<const T> gradient(const Variable<T>& variable) const;
  // Whether backward will compute the gradient of a variable.
  bool wants_gradient(const Variable<T>& variable) const {
    return variable.tape_ != nullptr && at(id_of(variable)).wants_gradient;
  }

  // The memory held, and its bytes.
  TapeMemory memory() const;
  std::int64_t memory_bytes() const { return memory().total(); }

 private:
  friend class Call<T>;
  template <class U>
  friend class Inference;
  template <class U>
  friend struct DryRun;

  struct Value {
    Shape shape;
    T* data = nullptr;
    std::int32_t* integers = nullptr;
    bool holds_integers = false;
    bool wants_gradient = false;
    int producer = -1;            // the entry that computes it
    Parameter<T> parameter = {};  // the parameter that it is, if any
    int store = -1;               // index in stores_, for a parameter that wants a gradient
    int slot = -1;                // that its gradient is in
    int base = -1;                // for a view: the value that it is a view of, which is no view,
    std::int64_t first = 0;       // and where it begins in that
    // Of a block that has ended, and not its result: no op outside of the block may read it. If it
    // was stored, it is stored again when the block is computed again.
    bool within_block = false, stored_again = false;
    bool narrow = false, narrow_gradient = false;  // maps in bfloat16: bf16_maps.inl
    int readers = 0;                               // how many inputs and views read it
    int takers = 0;                                // those of them that backward goes through
    std::uint64_t version = 0;  // of a parameter's store, when the parameter was read
    T* floats = nullptr;        // of a map in bfloat16 whose value() was asked for
  };
  // A store whose parameters were used by passes of this tape.
  struct StoreUse {
    ParameterStore<T>* store;
    std::weak_ptr<const void> life;  // of the store
    AlignedBuffer<T> own;
    std::span<T> gradients;
    bool trained = false;  // whether the current pass has changed its buffers
  };

  Value& at(int id) { return values_[static_cast<std::size_t>(id)]; }
  const Value& at(int id) const { return values_[static_cast<std::size_t>(id)]; }
  Entry& entry(int number) { return entries_[static_cast<std::size_t>(number)]; }
  Variable<T> handle(int id) { return {this, id, generation_}; }
  void check_size(const Shape& shape, std::int64_t elements) {
    check(elements == shape.numel(), "input: the shape ", shape, " has ", shape.numel(),
          " elements, got ", elements);
  }

  // Forgets the pass; reset() keeps its memory for the next one.
  void forget();
  void reset();
  // Ends a pass that has failed, and forgets what it has done to buffers.
  void abandon();
  int add_value(const Shape& shape, bool wants_gradient);
  template <class U>
  static U* keep(std::span<const U> elements, Arena& arena) {
    U* memory = arena.allocate<U>(std::ssize(elements));
    std::copy(elements.begin(), elements.end(), memory);
    return memory;
  }
  int number_of(ParameterStore<T>& store);
  int prepare_gradients(ParameterStore<T>& store);

  std::span<const Variable<T>> record(const Op<T>& op, const void* attributes,
                                      std::span<const Variable<T>> inputs,
                                      std::span<const Shape> results, std::span<const Shape> kept);
  Variable<T> record_view(const Op<T>& op, const void* attributes, const Variable<T>& x,
                          std::int64_t first, const Shape& shape);
  std::span<int> input_ids(const Op<T>& op, std::span<const Variable<T>> inputs);
  // Makes the last entry, an addition, part of the entry before it, if possible.
  bool merge_addition();
  // Runs the last entries, which have waited for an addition to merge with. read: the values that
  // are about to be read; if an addition has taken over one of them, it is undone.
  void run_pending(std::span<const int> read = {});
  // Computes a value that is not stored: a lazy result, or one that an addition has taken over.
  void store(int id);
  // A value's elements as floats for the op that runs. If it is cheap, they are computed for it.
  T* stored_for_call(int id);
  bool is_cheap(int id) const {
    return is_lazy(id) && entries_[static_cast<std::size_t>(at(id).producer)].op->is_cheap;
  }
  bool is_stored(int id) const { return at(id).data || at(id).producer < 0 || options_.dry_run; }
  bool is_lazy(int id) const {
    return !is_stored(id) &&
           entries_[static_cast<std::size_t>(at(id).producer)].op->forward_rows != nullptr;
  }
  void run_forward(const Entry& entry);
  void run_backward(const Entry& entry);
  void count_takers(int loss);
  // Throws where parameters that an entry has read were changed since.
  void check_weights(const Entry& entry) const;
  // Maps in bfloat16: bf16_maps.inl.
  void choose_bf16(const Op<T>& op, std::span<const int> inputs);
  bool keeps_bf16() const;
  void choose_bf16_of_lazy(int id);
  void make_bf16(int id);
  void settle();
  T* as_floats(int id, Arena& memory);
  Variable<T> floats_of(const Variable<T>& x);
  bool takes_bf16_gradient(const Entry& entry) const;
  // Blocks: layers.inl.
  struct Block {
    int first_entry = -1, last_entry = -1;
  };
  void begin_block();
  void end_block(const Variable<T>& result);
  void check_readable(std::span<const int> ids);
  Arena& memory_of(int id);  // what a value's elements are stored in
  template <class Use>
  void for_each_value(const Block& block, const Use& use);
  void recompute(const Block& block);
  void drop(const Block& block);
  bool is_empty(const Entry& entry) const;  // none of its results has an element
  // Calls an op's forward or backward, and reports the time to the profile.
  void run(const Entry& entry, void (*function)(Call<T>&), bool backward);

  T* parameter_gradient(const Value& value) const {
    const StoreUse& use = stores_[static_cast<std::size_t>(value.store)];
    return use.store->slice_of(use.gradients, value.parameter.number).data();
  }
  // Adds the gradient of an addition's result, which is in `slot`, to that of `id`.
  void share_gradient(int id, int slot);
  GradientTarget<T> gradient_target(int id);
  // Whether the gradient of `id` may have, and now has, the memory of that of `result`.
  bool hand_over_gradient(int result, int id);

  TapeOptions options_;
  RandomKey random_;
  std::uint64_t passes_ = 0;
  std::uint32_t generation_ = 0;
  std::vector<Value> values_;
  std::vector<Entry> entries_;
  std::vector<LayerCall> layer_calls_, scopes_;  // scopes_: those that have not ended
  std::vector<StoreUse> stores_;
  GradientSlots<T> slots_;
  std::vector<int> stored_for_call_;  // values that lose their memory when the op has run
  std::uint64_t draws_ = 0;           // how many ops have drawn random numbers
  std::vector<char> reached_;         // of count_takers()
  int pending_ = 0;  // entries at the end that have not run yet: an op, and an addition to it
  std::vector<Block> blocks_;
  Block block_;               // that is open, or is computed again; else it begins at -1
  bool recomputing_ = false;  // forward runs for the second time
  int held_ = -1;             // the result of the last block, while it is in held_memory_
  Arena values_memory_, block_memory_, held_memory_, entries_memory_, scratch_;
};

}  // namespace anther::inline v0_1

#include "anther/autograd/call.hpp"
