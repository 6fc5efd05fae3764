// The bodies of tape.hpp for layers, their parameters, and TapeOptions::recompute. There a block is
// what a layer records, from its input to its result. When it ends, all its values but the result
// lose their memory, which the next block takes. Backward computes them again before it goes
// through the block (Chen et al. 2016, "Training deep nets with sublinear memory cost").

namespace anther::inline v0_1 {

// Parameters.

template <class T>
Variable<T> Tape<T>::parameter(const Parameter<T>& parameter) {
  if (!parameter) return {};
  if (!options_.dry_run) parameter.store->check_readable();
  const bool wants = options_.backward && parameter.info().trainable;
  const int id = add_value(parameter.info().shape, wants);
  Value& value = at(id);
  value.parameter = parameter;
  value.version = parameter.store->version();
  value.store = wants && !options_.dry_run ? prepare_gradients(*parameter.store) : -1;
  if (!options_.dry_run)
    value.data = const_cast<T*>(std::as_const(*parameter.store).value(parameter.number).data());
  return handle(id);
}

template <class T>
int Tape<T>::number_of(ParameterStore<T>& store) {
  for (std::size_t i = 0; i < stores_.size(); ++i)
    if (stores_[i].store == &store && !stores_[i].life.expired()) return static_cast<int>(i);
  stores_.push_back({&store, store.life(), {}, {}});
  return static_cast<int>(stores_.size()) - 1;
}

template <class T>
int Tape<T>::prepare_gradients(ParameterStore<T>& store) {
  const int number = number_of(store);
  StoreUse& use = stores_[static_cast<std::size_t>(number)];
  if (std::ssize(use.gradients) != store.size()) {
    use.own = AlignedBuffer<T>(store.size());
    use.gradients = use.own.span();
  }
  return number;
}

template <class T>
std::span<T> Tape<T>::gradients(const ParameterStore<T>& store) {
  for (const StoreUse& use : stores_)
    if (use.store == &store && !use.life.expired()) return use.gradients;
  detail::fail("gradients: no pass of this tape has used parameters of that store");
}

template <class T>
std::span<T> Tape<T>::gradients() {
  detail::check(stores_.size() == 1, "gradients: expected the parameters of one store, got ",
                stores_.size(), "; name the store");
  return stores_[0].gradients;
}

template <class T>
std::span<const T> Tape<T>::gradient(const Variable<T>& variable) const {
  const int id = id_of(variable);
  const Root root = root_of(id);
  const Value& value = at(root.id);
  const T* const data = value.store >= 0  ? parameter_gradient(value)
                        : value.slot >= 0 ? slots_.data(value.slot)
                                          : nullptr;
  detail::check(data != nullptr,
                "gradient: none was computed for this variable; ask for it in Tape::input, and "
                "run backward");
  return {data + root.first, static_cast<std::size_t>(at(id).shape.numel())};
}

template <class T>
void Tape<T>::use_gradients(ParameterStore<T>& store, std::span<T> gradients) {
  detail::check(std::ssize(gradients) == store.size(), "gradients: expected memory for ",
                store.size(), " values, got ", gradients.size());
  StoreUse& use = stores_[static_cast<std::size_t>(number_of(store))];
  use.own = {};
  use.gradients = gradients;
}

template <class T>
TapeMemory Tape<T>::memory() const {
  TapeMemory memory{
      .values = values_memory_.capacity() + block_memory_.capacity() + held_memory_.capacity(),
      .gradients = slots_.memory_bytes(),
      .scratch = scratch_.capacity(),
      .entries = entries_memory_.capacity()};
  for (const StoreUse& use : stores_)
    memory.parameter_gradients += use.own.size() * static_cast<std::int64_t>(sizeof(T));
  return memory;
}

// Layers and blocks.

template <class T>
void Tape<T>::enter(std::string_view path, std::string_view type, const ModuleTraits& traits,
                    const Shape& input) {
  const bool within_stage = !scopes_.empty() && scopes_.back().stage && scopes_.back().container;
  const auto is_open = [](const LayerCall& scope) { return scope.is_block; };
  const bool is_block = (within_stage || (traits.stage && !traits.container)) &&
                        std::none_of(scopes_.begin(), scopes_.end(), is_open);
  const bool begins = options_.recompute && options_.backward && !options_.dry_run && is_block &&
                      block_.first_entry < 0;
  if (begins) begin_block();
  scopes_.push_back({.path = path,
                     .type = type,
                     .container = traits.container,
                     .stage = traits.stage,
                     .is_block = is_block,
                     .depth = static_cast<int>(scopes_.size()),
                     .first_entry = static_cast<int>(entries_.size()),
                     .last_entry = 0,
                     .input = input,
                     .output = {}});
}

template <class T>
void Tape<T>::leave(const Variable<T>* result) {
  if (scopes_.empty()) return;  // a throw has ended the pass
  if (result == nullptr) return abandon();
  LayerCall call = scopes_.back();
  if (call.is_block && block_.first_entry >= 0) end_block(*result);
  scopes_.pop_back();
  call.last_entry = static_cast<int>(entries_.size());
  call.output = shape(*result);
  layer_calls_.push_back(call);
}

template <class T>
void Tape<T>::begin_block() {
  run_pending();
  block_ = {static_cast<int>(entries_.size()), -1};
}

template <class T>
void Tape<T>::end_block(const Variable<T>& result) {
  const int id = id_of(result);
  run_pending({&id, 1});
  block_.last_entry = static_cast<int>(entries_.size());
  // Of a single op there is nothing to drop.
  const bool single = block_.last_entry - block_.first_entry <= 1;
  if (!single) store(id);
  // The result leaves the block's memory; if it is a view, what it is a view of does.
  const Value& kept = at(root_of(id).id);
  for_each_value(block_, [&](Value& value) {
    if (value.base >= 0 && single) return;
    if (!single && &value != &kept) {
      value.within_block = &value != &at(id);
      value.stored_again = value.within_block && value.base < 0 && (value.data || value.integers);
      return;
    }
    const auto size = static_cast<std::size_t>(value.shape.numel());
    const std::size_t stored = value.narrow ? (size + 1) / 2 : size;
    if (keeps_bf16() && !single && !value.narrow && value.data && &value == &at(id)) held_ = id;
    if (value.data)
      value.data =
          keep(std::span<const T>(value.data, stored), held_ == id ? held_memory_ : values_memory_);
    if (value.integers)
      value.integers = keep(std::span<const std::int32_t>(value.integers, size), values_memory_);
  });
  if (at(id).base >= 0 && kept.data)
    at(id).data = as_floats(at(id).base, values_memory_) + at(id).first;
  if (at(id).base >= 0 && kept.integers) at(id).integers = kept.integers + at(id).first;
  if (!single) blocks_.push_back(block_);
  drop(block_);
}

template <class T>
void Tape<T>::check_readable(std::span<const int> ids) {
  for (const int id : ids) {
    if (id < 0 || !at(id).within_block) continue;
    check(false, "recompute: a value of the layer ", entry(at(id).producer).layer,
          " is read outside of the stage that it is in, which keeps its result alone");
  }
}

template <class T>
Arena& Tape<T>::memory_of(int id) {
  const bool within = block_.first_entry >= 0 && at(id).producer >= block_.first_entry;
  return within ? block_memory_ : values_memory_;
}

template <class T>
template <class Use>
void Tape<T>::for_each_value(const Block& block, const Use& use) {
  for (int i = block.first_entry; i < block.last_entry; ++i)
    for (const int id : entry(i).outputs) use(at(id));
}

template <class T>
void Tape<T>::recompute(const Block& block) {
  block_ = block;
  recomputing_ = true;
  for (int i = block.first_entry; i < block.last_entry; ++i) {
    const Entry& again = entry(i);
    Value& first = at(again.outputs[0]);
    if (first.base >= 0) {
      const Value& base = at(first.base);
      if (base.data) first.data = as_floats(first.base, block_memory_) + first.first;
      if (base.integers) first.integers = base.integers + first.first;
      continue;
    }
    run_forward(again);
    for (const int id : again.outputs)
      if (at(id).stored_again) store(id);
  }
  recomputing_ = false;
}

template <class T>
void Tape<T>::drop(const Block& block) {
  for_each_value(block, [](Value& value) {
    if (!value.within_block) return;
    value.data = nullptr;
    value.integers = nullptr;
  });
  block_memory_.reset();
  block_ = {};
}

}  // namespace anther::inline v0_1
