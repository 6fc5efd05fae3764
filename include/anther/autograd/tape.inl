// The bodies of tape.hpp: recording and running.

namespace anther::inline v0_1 {

template <class T>
void Tape<T>::forget() {
  ++generation_;
  values_.clear();
  entries_.clear();
  layer_calls_.clear();
  scopes_.clear();
  stored_for_call_.clear();
  held_ = -1;
  blocks_.clear();
  block_ = {};
  recomputing_ = false;
  pending_ = 0;
  draws_ = 0;
  std::erase_if(stores_, [](const StoreUse& use) { return use.life.expired(); });
  for (StoreUse& use : stores_) use.trained = false;
}

template <class T>
void Tape<T>::reset() {
  forget();
  slots_.reset();
  for (Arena* memory :
       {&values_memory_, &block_memory_, &held_memory_, &entries_memory_, &scratch_})
    memory->reset();
}

template <class T>
void Tape<T>::abandon() {
  for (const StoreUse& use : stores_)
    if (use.trained && !use.life.expired()) use.store->discard_buffers();
  forget();
  // Memory may be what the pass has failed for: nothing may be asked for here.
  slots_.free();
  for (Arena* memory :
       {&values_memory_, &block_memory_, &held_memory_, &entries_memory_, &scratch_})
    memory->free();
}

template <class T>
int Tape<T>::add_value(const Shape& shape, bool wants_gradient) {
  Value value;
  value.shape = shape;
  value.wants_gradient = wants_gradient;
  values_.push_back(value);
  return static_cast<int>(values_.size()) - 1;
}

// Recording.

template <class T>
std::span<int> Tape<T>::input_ids(const Op<T>& op, std::span<const Variable<T>> inputs) {
  int* ids = entries_memory_.allocate<int>(std::ssize(inputs));
  std::size_t count = 0;
  for (const Variable<T>& input : inputs) {
    const int id = input ? id_of(input) : -1;
    const bool integers = count < 32 && (op.integer_inputs >> count & 1U) != 0;
    // What a dry run's input, or a view of it, holds is what its first reader expects.
    if (id >= 0 && integers && options_.dry_run) {
      Value& root = at(root_of(id).id);
      if (root.producer < 0 && !root.parameter && !root.data)
        root.holds_integers = at(id).holds_integers = true;
    }
    if (id >= 0)
      check(at(id).holds_integers == integers, op.name, ": expected input ", count, " to hold ",
            integers ? "integers" : "real numbers");
    ids[count++] = id;
  }
  return {ids, count};
}

template <class T>
std::span<const Variable<T>> Tape<T>::record(const Op<T>& op, const void* attributes,
                                             std::span<const Variable<T>> inputs,
                                             std::span<const Shape> results,
                                             std::span<const Shape> kept) {
  for (const auto& shapes : {results, kept})
    for (const Shape& shape : shapes)
      check(shape.can_be_counted(), op.name, ": the number of elements of ", shape, " overflows");
  Entry entry{.op = &op,
              .attributes = attributes,
              .inputs = input_ids(op, inputs),
              .outputs = {},
              .results = static_cast<int>(results.size()),
              .layer = layer()};
  check_readable(entry.inputs);
  const bool may_merge = op.is_addition && pending_ == 1;
  choose_bf16(op, entry.inputs);
  settle();
  if (!may_merge) run_pending(entry.inputs);
  bool wants_gradient = false;
  for (std::size_t i = 0; i < entry.inputs.size(); ++i) {
    const int id = entry.inputs[i];
    if (id < 0) continue;
    wants_gradient |= at(id).wants_gradient;
    ++at(root_of(id).id).readers;
    if (may_merge) continue;  // done below
    if (i == 0 && op.takes_lazy && is_lazy(id))
      entry.lazy = at(id).producer;
    else if (!is_cheap(id))
      store(id);
  }
  const std::size_t outputs = results.size() + kept.size();
  int* ids = entries_memory_.allocate<int>(static_cast<std::int64_t>(outputs));
  auto* handles = entries_memory_.allocate<Variable<T>>(static_cast<std::int64_t>(results.size()));
  for (std::size_t i = 0; i < outputs; ++i) {
    const bool result = i < results.size();
    const bool integers = result && i < 32 && (op.integer_results >> i & 1U) != 0;
    const int id = add_value(result ? results[i] : kept[i - results.size()],
                             result && wants_gradient && !integers);
    at(id).holds_integers = integers;
    at(id).producer = static_cast<int>(entries_.size());
    ids[i] = id;
    if (result) handles[i] = handle(id);
  }
  entry.outputs = {ids, outputs};
  entries_.push_back(entry);
  ++pending_;
  if (may_merge && !merge_addition()) {
    --pending_;  // the op before runs first
    entries_.pop_back();
    run_pending(entry.inputs);
    for (const int id : entry.inputs)
      if (id >= 0 && !is_cheap(id)) store(id);
    entries_.push_back(entry);
    ++pending_;
  }
  const bool waits = op.takes_add || (op.stores_bf16 && options_.amp);
  if (!waits && !entries_.back().merged) run_pending();
  return {handles, results.size()};
}

template <class T>
bool Tape<T>::merge_addition() {
  Entry& addition = entries_.back();
  Entry& before = entries_[entries_.size() - 2];
  if (!before.op->takes_add) return false;
  const int result = before.outputs[0];
  for (const int i : {1, 0}) {
    const int other = addition.input(1 - i);
    if (addition.input(i) != result || other == result) continue;
    const Root root = root_of(other);
    if (root.id == result || at(other).shape.numel() != at(result).shape.numel()) continue;
    if (before.op->reads_bf16 && before.inputs[0] == other) choose_bf16_of_lazy(other);
    if (!is_cheap(other)) store(other);
    before.add = other;
    before.into = addition.outputs[0];
    addition.merged = true;
    return true;
  }
  return false;
}

template <class T>
Variable<T> Tape<T>::record_view(const Op<T>& op, const void* attributes, const Variable<T>& x,
                                 std::int64_t first, const Shape& shape) {
  const int of = id_of(x);
  check_readable({&of, 1});
  check(first >= 0 && shape.numel() <= at(of).shape.numel() - first, op.name, ": a view of ", shape,
        " from element ", first, " on is not within ", at(of).shape);
  const Root root = root_of(of);
  if (options_.dry_run && at(root.id).narrow)
    return record_view(op, attributes, floats_of(handle(root.id)), root.first + first, shape);
  run_pending({&of, 1});
  settle();
  store(of);
  ++at(root.id).readers;
  const int id = add_value(shape, at(of).wants_gradient);
  Value& value = at(id);
  value.base = root.id;
  value.first = root.first + first;
  value.holds_integers = at(of).holds_integers;
  value.producer = static_cast<int>(entries_.size());
  if (at(of).data) value.data = as_floats(of, memory_of(of)) + first;
  if (at(of).integers) value.integers = at(of).integers + first;
  int* ids = entries_memory_.allocate<int>(2);
  ids[0] = of;
  ids[1] = id;
  entries_.push_back({.op = &op,
                      .attributes = attributes,
                      .inputs = {ids, 1},
                      .outputs = {ids + 1, 1},
                      .layer = layer()});
  return handle(id);
}

// Reading.

template <class T>
std::span<const T> Tape<T>::value(const Variable<T>& variable) {
  const int id = id_of(variable);
  detail::check(!options_.dry_run, "value: a dry run computes none");
  detail::check(!at(id).holds_integers, "value: it holds integers; ask for integers()");
  check_readable({&id, 1});
  run_pending({&id, 1});
  settle();
  store(id);
  Value& read = at(id);
  if (read.narrow && !read.floats) read.floats = as_floats(id, values_memory_);
  return {read.narrow ? read.floats : read.data, static_cast<std::size_t>(read.shape.numel())};
}

// Running.

template <class T>
void Tape<T>::run_pending(std::span<const int> read) {
  if (pending_ == 0) return;
  const std::size_t first = entries_.size() - static_cast<std::size_t>(pending_);
  pending_ = 0;
  Entry& op = entries_[first];
  if (op.into >= 0 && std::find(read.begin(), read.end(), op.outputs[0]) != read.end()) {
    op.add = op.into = -1;
    entries_[first + 1].merged = false;
  }
  if (options_.dry_run) return;
  try {
    for (std::size_t i = first; i < entries_.size(); ++i) run_forward(entries_[i]);
  } catch (...) {
    abandon();
    throw;
  }
}

template <class T>
void Tape<T>::run_forward(const Entry& entry) {
  if (entry.merged) return;
  const bool lazy = entry.op->forward_rows != nullptr;
  int number = 0;
  for (const int output : entry.outputs) {
    const bool result = number++ < entry.results;
    if (result && lazy) continue;
    const int id = number == 1 && entry.into >= 0 ? entry.into : output;
    // A pass without backward needs no memory for what only backward reads.
    Arena& memory = result || lazy || options_.backward ? memory_of(id) : scratch_;
    const std::int64_t size = at(id).shape.numel();
    if (recomputing_ && !at(id).stored_again) continue;  // the block's result is still there
    if (at(id).holds_integers)
      at(id).integers = memory.template allocate<std::int32_t>(size);
    else
      at(id).data = memory.template allocate<T>(at(id).narrow ? (size + 1) / 2 : size);
  }
  if (entry.op->forward) run(entry, entry.op->forward, false);
}

template <class T>
bool Tape<T>::is_empty(const Entry& entry) const {
  for (int i = 0; i < entry.results; ++i)
    if (at(entry.outputs[static_cast<std::size_t>(i)]).shape.numel() > 0) return false;
  return true;
}

template <class T>
void Tape<T>::run(const Entry& entry, void (*function)(Call<T>&), bool backward) {
  const SteadyThreads steady;
  Call<T> call(*this, entry);
  // No kernel sees a result without elements.
  if (is_empty(entry)) {
    for (int i = 0; backward && i < call.inputs(); ++i)
      if (const auto dx = call.input_gradient(i)) call.start(dx, call.input_shape(i).numel());
    return;
  }
  if (options_.profile == nullptr) {
    function(call);
  } else {
    const double begin = detail::steady_seconds();
    function(call);
    const double seconds = detail::steady_seconds() - begin;
    const std::int64_t macs = entry.op->macs ? entry.op->macs(call) * (backward ? 2 : 1) : 0;
    options_.profile->add(entry.op->name, entry.layer, backward, seconds, macs);
  }
  clear_upper_vectors();
  for (const int id : stored_for_call_) at(id).data = nullptr;
  stored_for_call_.clear();
  scratch_.reset();
}

template <class T>
void Tape<T>::store(int id) {
  if (id < 0 || at(id).holds_integers || is_stored(id)) return;
  const Entry& producer = entry(at(id).producer);
  if (producer.op->forward_rows) {
    Value& value = at(id);
    const std::int64_t size = value.shape.numel();
    T* data = memory_of(id).template allocate<T>(value.narrow ? (size + 1) / 2 : size);
    value.data = data;
    const Call<T> call(*this, producer);
    if (value.narrow && size > 0)
      call.rows_as_bf16(kernels::as_bf16(data));
    else
      call.forward_rows(data, 0, value.shape.rows());
    return;
  }
  // An addition has taken this value over, but it is read after all: compute it again, on its own.
  Entry alone = producer;
  alone.add = alone.into = -1;
  run_forward(alone);
}

template <class T>
T* Tape<T>::stored_for_call(int id) {
  Value& value = at(id);
  if (value.data == nullptr && is_lazy(id)) {
    T* data = scratch_.template allocate<T>(value.shape.numel());
    value.data = data;
    Call<T>(*this, entry(value.producer)).forward_rows(data, 0, value.shape.rows());
    stored_for_call_.push_back(id);
  }
  return as_floats(id, scratch_);
}

}  // namespace anther::inline v0_1
