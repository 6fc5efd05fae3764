// The autograd tape: what a forward pass did, and its reversal.
//
// An op computes at once and leaves an entry: data, not a closure. The order of recording reversed
// is the order of backward. Values, gradients and entries live in memory that the tape keeps, so a
// steady-state step makes no heap allocation.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "anther/autograd/parameter.hpp"
#include "anther/autograd/profile.hpp"
#include "anther/core/arena.hpp"
#include "anther/core/check.hpp"
#include "anther/core/parallel_for.hpp"
#include "anther/core/random.hpp"
#include "anther/core/shape.hpp"
#include "anther/core/tensor.hpp"
#include "anther/kernels/batch_norm.hpp"
#include "anther/kernels/elementwise.hpp"

namespace anther::inline v0_1 {

template <class T>
class Tape;
template <class T>
class Call;
template <class T>
struct GradientTarget;
template <class T>
class Inference;
}  // namespace anther::inline v0_1
namespace anther::inline v0_1::exports {
class GraphBuilder;
class CodeBuilder;
}  // namespace anther::inline v0_1::exports
namespace anther::inline v0_1 {

// What an op is, in one place.
template <class T>
struct Op {
  const char* name;
  void (*forward)(Call<T>& call);
  void (*backward)(Call<T>& call);
  // Multiply-accumulates of a call; null where none are counted (norms, activations, additions).
  std::int64_t (*macs)(const Call<T>& call) = nullptr;
  // Whether forward can add call.add() to its output: then `x + op(...)` is one pass.
  bool takes_add = false;
  // A lazy op: a row of its result follows from the same row of its first input and from what
  // `forward` (which may be null) keeps. The result is stored only where an op reads it that does
  // not take lazy inputs; others have rows of it computed where they read them, and again in
  // backward. Runs on several threads at once, and takes no workspace.
  void (*forward_rows)(const Call<T>& call, T* y, std::int64_t first, std::int64_t count) = nullptr;
  // Optional: given the gradient dy of these rows, computes rows of dx, and of y again (where not
  // null). Without it a reader writes the gradient of the whole result, for `backward`.
  void (*backward_rows)(const Call<T>& call, const GradientTarget<T>& dx, T* y, const T* dy,
                        std::int64_t first, std::int64_t count) = nullptr;
  // Whether it reads its first input by call.lazy_input() where that is not stored.
  bool takes_lazy = false;
  // Describes a call, without the addition, for export to ONNX (autograd/graph_builder.hpp); null
  // where it cannot be exported.
  void (*onnx)(exports::GraphBuilder& graph, const Call<T>& call) = nullptr;
  // Describes a call as C++ (autograd/code_builder.hpp), the addition included; null where it
  // cannot be embedded.
  void (*embed)(exports::CodeBuilder& code, const Call<T>& call) = nullptr;
};

// A value on a tape: a handle, copied freely, that ends with the pass that made it.
template <class T>
class Variable {
 public:
  Variable() = default;

  // Whether it is a value at all; an empty one stands for an input that is absent.
  explicit operator bool() const { return tape_ != nullptr; }

  Tape<T>& tape() const {
    detail::check(tape_ != nullptr, "variable: empty, not the result of an op or of Tape::input");
    return *tape_;
  }
  const Shape& shape() const { return tape().shape(*this); }
  // The elements, row-major.
  std::span<const T> value() const { return tape().value(*this); }
  // After Tape::backward: the gradient, of an input that asked for one.
  std::span<const T> gradient() const { return tape().gradient(*this); }
  // The only element of a scalar.
  T item() const {
    detail::check(shape().numel() == 1, "item: expected one element, got the shape ", shape());
    return value()[0];
  }

 private:
  friend class Tape<T>;
  Variable(Tape<T>* tape, int id, std::uint32_t generation)
      : tape_(tape), id_(id), generation_(generation) {}

  Tape<T>* tape_ = nullptr;
  int id_ = -1;
  std::uint32_t generation_ = 0;
};

// Where an op's backward puts the gradient of an input: to = add + contribution. Without `to` the
// gradient is not wanted; without `add` the contribution overwrites.
template <class T>
struct GradientTarget {
  T* to = nullptr;
  const T* add = nullptr;

  explicit operator bool() const { return to != nullptr; }
};

struct TapeOptions {
  bool training = true;           // dropout drops, BatchNorm uses the batch's statistics
  bool backward = true;           // keep what backward needs
  bool dry_run = false;           // shapes only: nothing is computed and no memory taken
  RandomKey random = {};          // of this step: folded from the seed and the step's number
  std::int64_t first_sample = 0;  // the number of the micro-batch's first sample in its batch
  Profile* profile = nullptr;     // gains the time of every op, where not null
};

template <class T>
class Tape {
 public:
  struct Entry {
    const Op<T>* op;
    const void* attributes;
    std::span<const int> inputs;  // ids of values
    std::span<int> outputs;       // the result, then what forward keeps for backward
    int add = -1;                 // the value that forward adds to its output, or -1
    int lazy = -1;                // the entry whose rows it computes instead of input 0, or -1
    std::string_view layer;       // the path of the innermost layer

    // The id of an input, -1 where that is absent. Throws where the op has no input of the number.
    int input(int i) const {
      detail::check(i >= 0 && i < std::ssize(inputs), "expected an input of 0 to ",
                    std::ssize(inputs) - 1, ", got ", i);
      return inputs[static_cast<std::size_t>(i)];
    }
    // "stages.0.0.conv: conv2d", for messages.
    std::string where() const {
      return detail::text_of(layer, layer.empty() ? "" : ": ", op->name);
    }
  };
  // A layer's call, in the order in which calls end.
  struct LayerCall {
    std::string_view path;
    std::string_view type;
    int depth;
    int first_entry, last_entry;
    Shape input, output;
  };

  Tape() = default;
  Tape(const Tape&) = delete;
  Tape& operator=(const Tape&) = delete;

  // Forgets the last pass and starts another. Variables of the last pass are dead.
  void begin(const TapeOptions& options = {}) {
    reset();
    options_ = options;
  }
  const TapeOptions& options() const { return options_; }

  // A value from outside, copied: an image batch, say.
  Variable<T> input(const Shape& shape, std::span<const T> elements, bool wants_gradient = false) {
    detail::check(static_cast<std::int64_t>(elements.size()) == shape.numel(), "input: the shape ",
                  shape, " has ", shape.numel(), " elements, got ", elements.size());
    const int id = add_value(shape, wants_gradient && options_.backward);
    if (!options_.dry_run) {
      T* data = values_memory_.allocate<T>(shape.numel());
      std::copy(elements.begin(), elements.end(), data);
      at(id).data = data;
    }
    return handle(id);
  }
  Variable<T> input(const Tensor<T>& tensor, bool wants_gradient = false) {
    return input(tensor.shape(), tensor.span(), wants_gradient);
  }
  // A value of which only the shape is known, for a dry run.
  Variable<T> input(const Shape& shape) {
    detail::check(options_.dry_run, "input: a shape without elements needs a dry run");
    return handle(add_value(shape, false));
  }

  // A parameter as a value; the empty handle gives the empty variable (no bias).
  Variable<T> parameter(const Parameter<T>& parameter) {
    if (!parameter) return {};
    if (parameter_store_ != parameter.store) {
      detail::check(parameter_store_ == nullptr, "tape: the parameters of two stores in one pass");
      parameter_store_ = parameter.store;
    }
    const ParameterInfo& info = parameter.info();
    if (options_.backward && !options_.dry_run &&
        std::ssize(gradients_) != parameter.store->size()) {
      own_gradients_ = AlignedBuffer<T>(parameter.store->size());
      gradients_ = own_gradients_.span();
    }
    const int id = add_value(info.shape, options_.backward && info.trainable);
    Value& value = at(id);
    value.parameter = parameter.number;
    const auto& store = *parameter.store;
    value.data = options_.dry_run ? nullptr : const_cast<T*>(store.value(parameter.number).data());
    return handle(id);
  }

  // The gradients of all parameters, in the store's layout. Backward adds to them; zero_gradients()
  // starts anew. They are the tape's own, or memory of the caller's of the store's size.
  std::span<T> gradients() { return gradients_; }
  void use_gradients(std::span<T> gradients) { gradients_ = gradients; }
  void zero_gradients() { std::fill(gradients_.begin(), gradients_.end(), T(0)); }

  // Runs an op and records it. `outputs`: the result's shape, then the shapes of what forward keeps
  // for backward. An empty variable among the inputs stands for an input that is absent.
  template <class Attributes>
  Variable<T> record(const Op<T>& op, const Attributes& attributes,
                     std::initializer_list<Variable<T>> inputs,
                     std::initializer_list<Shape> outputs);

  // Makes the last op add a to its result b, which is nobody else's; the sum is last(). False where
  // it can't: b is not the result of the last op, or that op has run already.
  bool merge_add(const Variable<T>& a, const Variable<T>& b);
  // The result of the last op.
  Variable<T> last() { return handle(entries_.back().outputs[0]); }

  // The gradient of a scalar with respect to everything that it came from.
  void backward(const Variable<T>& loss);

  // BatchNorm's running statistics of this pass: run after the optimiser's step.
  void commit_statistics() {
    for (const Statistics& update : statistics_)
      kernels::batch_norm_update_running(update.running_mean, update.running_var, update.mean,
                                         update.variance, update.momentum, update.rows,
                                         update.channels);
    statistics_.clear();
  }
  struct Statistics {
    T* running_mean;
    T* running_var;
    const T* mean;
    const T* variance;  // biased
    T momentum;
    std::int64_t rows, channels;
  };
  void add_statistics(const Statistics& update) { statistics_.push_back(update); }

  // Memory that lasts until the pass ends: attributes' arrays, labels.
  template <class U>
  U* keep(std::span<const U> elements) {
    U* memory = entries_memory_.allocate<U>(static_cast<std::int64_t>(elements.size()));
    std::copy(elements.begin(), elements.end(), memory);
    return memory;
  }

  // Throws, with the path of the layer in front, unless ok. The pass is over then.
  template <class... Parts>
  void check_layer(bool ok, const Parts&... parts) {
    if (ok) [[likely]]
      return;
    std::string where(layer());
    reset();
    if (!where.empty()) where += ": ";
    detail::fail(where, parts...);
  }

  // Layers: where the pass is. Used by Module.
  std::string_view layer() const {
    return scopes_.empty() ? std::string_view{} : scopes_.back().path;
  }
  void enter(std::string_view path, std::string_view type, const Shape& input) {
    scopes_.push_back({path,
                       type,
                       static_cast<int>(scopes_.size()),
                       static_cast<int>(entries_.size()),
                       0,
                       input,
                       {}});
  }
  void leave(const Shape* output) {
    if (scopes_.empty()) return;  // a throw has reset the tape
    LayerCall call = scopes_.back();
    scopes_.pop_back();
    if (output == nullptr) return;
    call.last_entry = static_cast<int>(entries_.size());
    call.output = *output;
    layer_calls_.push_back(call);
  }
  std::span<const LayerCall> layer_calls() const { return layer_calls_; }
  std::span<const Entry> entries() const { return entries_; }
  // The number of a variable's value, as entries name it. Throws where the variable is dead.
  int id_of(const Variable<T>& variable) const {
    detail::check(variable.tape_ == this, "variable: of another tape, or empty");
    detail::check(variable.generation_ == generation_,
                  "variable: of an earlier pass; a variable ends when its tape begins another");
    detail::check(!at(variable.id_).merged,
                  "variable: it was a temporary of an addition, which has taken it over");
    return variable.id_;
  }
  // Values have the numbers 0 to value_count() - 1.
  int value_count() const { return static_cast<int>(values_.size()); }
  const Shape& shape_of(int id) const { return values_[static_cast<std::size_t>(id)].shape; }
  // The elements of a value that an entry names; empty where it has none (a dry run).
  std::span<const T> elements_of(int id) const {
    const Value& value = values_[static_cast<std::size_t>(id)];
    if (value.data == nullptr) return {};
    return {value.data, static_cast<std::size_t>(value.shape.numel())};
  }
  // The number of the entry that computes a value; -1 where none does.
  int producer_of(int id) const { return values_[static_cast<std::size_t>(id)].producer; }
  int parameter_of(int id) const {
    return id < 0 ? -1 : values_[static_cast<std::size_t>(id)].parameter;
  }

  const Shape& shape(const Variable<T>& variable) const { return at(id_of(variable)).shape; }
  std::span<const T> value(const Variable<T>& variable) {
    const int id = id_of(variable);
    run_pending();
    detail::check(!options_.dry_run, "value: a dry run computes none");
    store_lazy(id);
    const Value& value = at(id);
    return {value.data, static_cast<std::size_t>(value.shape.numel())};
  }
  std::span<const T> gradient(const Variable<T>& variable) const {
    const Value& value = at(id_of(variable));
    if (value.parameter >= 0)
      return parameter_store_->slice_of(std::span<const T>(gradients_), value.parameter);
    detail::check(value.slot >= 0,
                  "gradient: none was computed for this variable; ask for it in "
                  "Tape::input, and run backward");
    return {slots_[static_cast<std::size_t>(value.slot)].data,
            static_cast<std::size_t>(value.shape.numel())};
  }
  // Whether backward will want the gradient of a variable.
  bool wants_gradient(const Variable<T>& variable) const {
    return variable.tape_ != nullptr && at(id_of(variable)).wants_gradient;
  }

  // Bytes held for values, gradients and scratch.
  std::int64_t memory_bytes() const {
    return values_memory_.capacity() + gradients_memory_.capacity() + scratch_.capacity() +
           entries_memory_.capacity() +
           own_gradients_.size() * static_cast<std::int64_t>(sizeof(T));
  }

 private:
  friend class Call<T>;
  friend class Inference<T>;

  struct Value {
    Shape shape;
    T* data = nullptr;
    bool wants_gradient = false;
    int producer = -1;    // the entry that computes it
    bool merged = false;  // given up by merge_add
    int parameter = -1;
    int slot = -1;  // of its gradient
  };
  // A gradient's memory. An addition hands its gradient on without a copy, so several values may
  // share a slot; whoever adds to a shared one writes to a new one.
  struct Slot {
    T* data;
    std::int64_t size;
    int users;
  };

  void reset() {
    ++generation_;
    values_.clear();
    entries_.clear();
    layer_calls_.clear();
    scopes_.clear();
    statistics_.clear();
    slots_.clear();
    free_slots_.clear();
    pending_ = false;
    parameter_store_ = nullptr;
    values_memory_.reset();
    gradients_memory_.reset();
    entries_memory_.reset();
    scratch_.reset();
  }

  Value& at(int id) { return values_[static_cast<std::size_t>(id)]; }
  const Value& at(int id) const { return values_[static_cast<std::size_t>(id)]; }

  Variable<T> handle(int id) { return {this, id, generation_}; }

  int add_value(const Shape& shape, bool wants_gradient) {
    Value value;
    value.shape = shape;
    value.wants_gradient = wants_gradient;
    values_.push_back(value);
    return static_cast<int>(values_.size()) - 1;
  }

  // Runs the entry that waits for an addition to merge with.
  void run_pending() {
    if (!pending_) return;
    pending_ = false;
    if (options_.dry_run) return;
    try {
      run_forward(entries_.back());
    } catch (...) {
      reset();
      throw;
    }
  }
  void run_forward(const Entry& entry);
  bool is_lazy(int id) const {
    const Value& value = at(id);
    return value.data == nullptr && value.producer >= 0 && !options_.dry_run &&
           entries_[static_cast<std::size_t>(value.producer)].op->forward_rows != nullptr;
  }
  // Computes a lazy result as a whole, where that has not been done.
  void store_lazy(int id);
  void run_backward(const Entry& entry);
  // Calls an op's forward or backward, and tells the profile.
  void run(const Entry& entry, void (*function)(Call<T>&), bool backward);

  int new_slot(std::int64_t size);
  void release(int slot) {
    Slot& used = slots_[static_cast<std::size_t>(slot)];
    if (--used.users == 0) free_slots_.push_back(slot);
  }
  // The gradient of `id` gains that of an addition's result, which has the slot `slot`.
  void share_gradient(int id, int slot);
  GradientTarget<T> gradient_target(int id);

  TapeOptions options_;
  std::uint32_t generation_ = 0;
  std::vector<Value> values_;
  std::vector<Entry> entries_;
  std::vector<LayerCall> layer_calls_;
  std::vector<LayerCall> scopes_;  // those not yet left
  std::vector<Statistics> statistics_;
  std::vector<Slot> slots_;
  std::vector<int> free_slots_;
  bool pending_ = false;  // the last entry has not run yet
  ParameterStore<T>* parameter_store_ = nullptr;
  AlignedBuffer<T> own_gradients_;
  std::span<T> gradients_;
  Arena values_memory_, gradients_memory_, entries_memory_, scratch_;
};

// Throws unless bias is empty or (channels).
template <class T>
void check_bias(Tape<T>& tape, const Variable<T>& bias, std::int64_t channels) {
  if (bias)
    tape.check_layer(bias.shape() == Shape{channels}, "expected a bias of the shape ",
                     Shape{channels}, ", got ", bias.shape());
}

// An op's view of one of its calls.
template <class T>
class Call {
 public:
  Call(Tape<T>& tape, const typename Tape<T>::Entry& entry) : tape_(tape), entry_(entry) {}

  template <class Attributes>
  const Attributes& attributes() const {
    return *static_cast<const Attributes*>(entry_.attributes);
  }
  bool training() const { return tape_.options_.training; }
  const TapeOptions& options() const { return tape_.options_; }
  std::string_view layer() const { return entry_.layer; }
  // Whether forward's extra outputs will be read.
  bool keeps() const { return tape_.options_.backward; }

  bool has_input(int i) const { return input_id(i) >= 0; }
  const Shape& input_shape(int i) const { return tape_.at(input_id(i)).shape; }
  // Null where the input is absent.
  const T* input(int i) const { return has_input(i) ? tape_.at(input_id(i)).data : nullptr; }
  const Shape& output_shape(int i = 0) const { return tape_.at(output_id(i)).shape; }
  T* output(int i = 0) const { return tape_.at(output_id(i)).data; }
  // What forward adds to its output (its shape is the output's), or null.
  const T* add() const { return entry_.add < 0 ? nullptr : tape_.at(entry_.add).data; }

  // In backward: the gradient of the result, and where those of the inputs go. Ask for the targets
  // in the order in which they are written.
  const T* output_gradient() const {
    return tape_.slots_[static_cast<std::size_t>(tape_.at(output_id(0)).slot)].data;
  }
  GradientTarget<T> input_gradient(int i) const {
    return has_input(i) ? tape_.gradient_target(input_id(i)) : GradientTarget<T>{};
  }

  // Hands the gradient of the result on to an input, as an addition does: without a copy where it
  // can.
  void pass_gradient(int i) const {
    if (has_input(i)) tape_.share_gradient(input_id(i), tape_.at(output_id(0)).slot);
  }

  // Gives a gradient that is to be accumulated its start: zeros, or what is there already.
  void start(const GradientTarget<T>& target, std::int64_t size) const {
    if (target.to == nullptr) return;
    if (target.add == nullptr)
      std::fill_n(target.to, size, T(0));
    else if (target.add != target.to)
      std::copy_n(target.add, size, target.to);
  }

  // The call whose result is this one's first input, where that is lazy and not stored.
  std::optional<Call> lazy_input() const {
    if (entry_.lazy < 0) return std::nullopt;
    return Call(tape_, tape_.entries_[static_cast<std::size_t>(entry_.lazy)]);
  }
  // Of a lazy op: rows of the result, and backward through them (see Op), shared among threads.
  void forward_rows(T* y, std::int64_t first, std::int64_t count) const {
    for_row_tiles(first, count, [&](std::int64_t row, std::int64_t rows, std::int64_t at) {
      compute_rows(y + at, row, rows);
    });
  }
  // The same by the calling thread alone.
  void compute_rows(T* y, std::int64_t first, std::int64_t count) const {
    entry_.op->forward_rows(*this, y, first, count);
  }
  bool has_backward_rows() const { return entry_.op->backward_rows != nullptr; }
  void backward_rows(const GradientTarget<T>& dx, T* y, const T* dy, std::int64_t first,
                     std::int64_t count) const {
    for_row_tiles(first, count, [&](std::int64_t row, std::int64_t rows, std::int64_t at) {
      entry_.op->backward_rows(*this, dx, y ? y + at : nullptr, dy + at, row, rows);
    });
  }

  // Uninitialised scratch memory for this call.
  T* workspace(std::int64_t count) const { return tape_.scratch_.template allocate<T>(count); }

  // Input i, a weight, packed for a matrix product: kept between calls where it is a parameter.
  const T* packed(int i, PackUse use, const kernels::PackOptions& pack) const {
    const auto& value = tape_.at(input_id(i));
    if (value.parameter >= 0)
      if (const T* kept = tape_.parameter_store_->packed(value.parameter, use, pack)) return kept;
    T* memory = workspace(kernels::packed_size<T>(pack));
    kernels::pack_weight(memory, static_cast<const T*>(value.data), pack);
    return memory;
  }

  void add_statistics(const typename Tape<T>::Statistics& update) const {
    tape_.add_statistics(update);
  }

 private:
  // Calls body(row, rows, the first element within the rows asked for) for tiles of rows.
  template <class Body>
  void for_row_tiles(std::int64_t first, std::int64_t count, const Body& body) const {
    constexpr std::int64_t tile_rows = 96;
    const std::int64_t columns = output_shape().back();
    parallel_for((count + tile_rows - 1) / tile_rows, count * columns / 2, [&](std::int64_t tile) {
      const std::int64_t row = tile * tile_rows;
      body(first + row, std::min(tile_rows, count - row), row * columns);
    });
  }

  int input_id(int i) const { return entry_.inputs[static_cast<std::size_t>(i)]; }
  int output_id(int i) const { return entry_.outputs[static_cast<std::size_t>(i)]; }

  Tape<T>& tape_;
  const typename Tape<T>::Entry& entry_;
};

template <class T>
template <class Attributes>
Variable<T> Tape<T>::record(const Op<T>& op, const Attributes& attributes,
                            std::initializer_list<Variable<T>> inputs,
                            std::initializer_list<Shape> outputs) {
  static_assert(
      std::is_trivially_destructible_v<Attributes> && std::is_trivially_copyable_v<Attributes>,
      "attributes are data: an entry is copied and dropped without running code");
  run_pending();
  Entry entry{&op, nullptr, {}, {}, -1, -1, layer()};
  bool wants_gradient = false;
  int* ids = entries_memory_.allocate<int>(static_cast<std::int64_t>(inputs.size()));
  std::size_t count = 0;
  for (const Variable<T>& input : inputs) {
    const int id = input.tape_ == nullptr ? -1 : id_of(input);
    wants_gradient |= id >= 0 && at(id).wants_gradient;
    if (id >= 0 && is_lazy(id)) {
      if (op.takes_lazy && count == 0)
        entry.lazy = at(id).producer;
      else
        store_lazy(id);
    }
    ids[count++] = id;
  }
  entry.inputs = {ids, count};
  ids = entries_memory_.allocate<int>(static_cast<std::int64_t>(outputs.size()));
  count = 0;
  for (const Shape& shape : outputs) {
    const int id = add_value(shape, count == 0 && wants_gradient);
    at(id).producer = static_cast<int>(entries_.size());
    ids[count++] = id;
  }
  entry.outputs = {ids, count};
  entry.attributes = keep(std::span<const Attributes>(&attributes, 1));
  entries_.push_back(entry);
  pending_ = true;
  if (!op.takes_add) run_pending();
  return handle(entry.outputs[0]);
}

template <class T>
bool Tape<T>::merge_add(const Variable<T>& a, const Variable<T>& b) {
  const int id = id_of(b);
  const int other = id_of(a);
  if (!pending_ || entries_.back().outputs[0] != id || entries_.back().add >= 0 || other == id)
    return false;
  store_lazy(other);
  Entry& entry = entries_.back();
  entry.add = other;
  const int sum = add_value(at(id).shape, at(id).wants_gradient || at(other).wants_gradient);
  at(sum).producer = static_cast<int>(entries_.size()) - 1;
  at(id).merged = true;
  entry.outputs[0] = sum;
  run_pending();
  return true;
}

template <class T>
void Tape<T>::run_forward(const Entry& entry) {
  const bool lazy = entry.op->forward_rows != nullptr;
  std::size_t number = 0;
  for (const int id : entry.outputs) {
    const bool result = number++ == 0;
    if (result && lazy) continue;
    // What backward alone reads needs no place in a pass without one.
    Arena& memory = result || lazy || options_.backward ? values_memory_ : scratch_;
    at(id).data = memory.template allocate<T>(at(id).shape.numel());
  }
  if (entry.op->forward) run(entry, entry.op->forward, false);
}

template <class T>
void Tape<T>::run(const Entry& entry, void (*function)(Call<T>&), bool backward) {
  Call<T> call(*this, entry);
  if (options_.profile == nullptr) {
    function(call);
  } else {
    const auto begin = std::chrono::steady_clock::now();
    function(call);
    const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
    const std::int64_t macs = entry.op->macs ? entry.op->macs(call) * (backward ? 2 : 1) : 0;
    options_.profile->add(entry.op->name, entry.layer, backward, time.count(), macs);
  }
  scratch_.reset();
}

template <class T>
void Tape<T>::store_lazy(int id) {
  if (!is_lazy(id)) return;
  const Call<T> call(*this, entries_[static_cast<std::size_t>(at(id).producer)]);
  const Shape& shape = at(id).shape;
  T* data = values_memory_.template allocate<T>(shape.numel());
  call.forward_rows(data, 0, shape.rows());
  at(id).data = data;
}

template <class T>
int Tape<T>::new_slot(std::int64_t size) {
  // The smallest free one that is large enough, and not wastefully so.
  std::size_t best = free_slots_.size();
  for (std::size_t i = 0; i < free_slots_.size(); ++i) {
    const Slot& slot = slots_[static_cast<std::size_t>(free_slots_[i])];
    if (slot.size < size || slot.size > 2 * size) continue;
    if (best == free_slots_.size() ||
        slot.size < slots_[static_cast<std::size_t>(free_slots_[best])].size)
      best = i;
  }
  if (best < free_slots_.size()) {
    const int slot = free_slots_[best];
    free_slots_.erase(free_slots_.begin() + static_cast<std::ptrdiff_t>(best));
    slots_[static_cast<std::size_t>(slot)].users = 1;
    return slot;
  }
  slots_.push_back({gradients_memory_.allocate<T>(size), size, 1});
  return static_cast<int>(slots_.size()) - 1;
}

template <class T>
GradientTarget<T> Tape<T>::gradient_target(int id) {
  Value& value = at(id);
  if (!value.wants_gradient) return {};
  if (value.parameter >= 0) {
    T* to = parameter_store_->slice_of(gradients_, value.parameter).data();
    return {to, to};
  }
  if (value.slot < 0) {
    value.slot = new_slot(value.shape.numel());
    return {slots_[static_cast<std::size_t>(value.slot)].data, nullptr};
  }
  const Slot shared = slots_[static_cast<std::size_t>(value.slot)];
  if (shared.users == 1) return {shared.data, shared.data};
  const int slot = new_slot(value.shape.numel());
  release(value.slot);
  value.slot = slot;
  return {slots_[static_cast<std::size_t>(slot)].data, shared.data};
}

template <class T>
void Tape<T>::share_gradient(int id, int slot) {
  Value& value = at(id);
  if (!value.wants_gradient) return;
  if (value.parameter < 0 && value.slot < 0) {
    value.slot = slot;
    ++slots_[static_cast<std::size_t>(slot)].users;
    return;
  }
  const T* dy = slots_[static_cast<std::size_t>(slot)].data;
  const GradientTarget<T> dx = gradient_target(id);
  kernels::add<T>(dx.to, dx.add, dy, value.shape.numel());
}

template <class T>
void Tape<T>::run_backward(const Entry& entry) {
  const int result = entry.outputs[0];
  const int slot = at(result).slot;
  if (slot < 0) return;
  if (entry.add >= 0) share_gradient(entry.add, slot);
  run(entry, entry.op->backward, true);
  release(slot);
  at(result).slot = -1;
}

template <class T>
void Tape<T>::backward(const Variable<T>& loss) {
  const int id = id_of(loss);
  run_pending();
  detail::check(options_.backward, "backward: the tape was told to keep nothing for it");
  detail::check(!options_.dry_run, "backward: a dry run has computed nothing");
  detail::check(at(id).shape.numel() == 1, "backward: expected a scalar, got the shape ",
                at(id).shape);
  detail::check(at(id).wants_gradient,
                "backward: nothing that the loss came from wants a gradient");
  at(id).slot = new_slot(1);
  slots_[static_cast<std::size_t>(at(id).slot)].data[0] = T(1);
  try {
    for (std::size_t i = entries_.size(); i-- > 0;) run_backward(entries_[i]);
  } catch (...) {
    reset();
    throw;
  }
}

}  // namespace anther::inline v0_1
