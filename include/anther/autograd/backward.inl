// The bodies of tape.hpp: backward, and where gradients go.

namespace anther::inline v0_1 {

template <class T>
GradientTarget<T> Tape<T>::gradient_target(int id) {
  if (!at(id).wants_gradient) return {};
  const Root root = root_of(id);
  Value& value = at(root.id);
  if (value.store >= 0) {
    T* to = parameter_gradient(value) + root.first;
    return {to, to};
  }
  const std::int64_t size = value.shape.numel();
  const bool whole = at(id).shape.numel() == size;
  if (value.slot < 0) {
    value.slot = slots_.take(size);
    T* to = slots_.data(value.slot);
    if (whole) return {to, nullptr};
    std::fill_n(to, size, T(0));
  } else if (slots_.is_shared(value.slot)) {
    const T* shared = slots_.data(value.slot);
    const int slot = slots_.take(size);
    slots_.release(value.slot);
    value.slot = slot;
    T* to = slots_.data(slot);
    if (whole) return {to, shared};
    std::copy_n(shared, size, to);
  }
  T* to = slots_.data(value.slot) + root.first;
  return {to, to};
}

template <class T>
void Tape<T>::share_gradient(int id, int slot) {
  if (id < 0 || !at(id).wants_gradient) return;
  const std::int64_t size = at(id).shape.numel();
  Value& value = at(root_of(id).id);
  if (value.store < 0 && value.slot < 0 && value.shape.numel() == size) {
    value.slot = slot;
    slots_.share(slot);
    return;
  }
  const T* dy = slots_.data(slot);
  const GradientTarget<T> dx = gradient_target(id);
  kernels::add<T>(dx.to, dx.add, dy, size);
}

template <class T>
bool Tape<T>::hand_over_gradient(int result, int id) {
  Value& value = at(id);
  const int slot = at(result).slot;
  if (!value.wants_gradient || value.base >= 0 || value.store >= 0 || value.slot >= 0) return false;
  if (slot < 0 || slots_.is_shared(slot) || at(result).narrow_gradient) return false;
  value.slot = slot;
  slots_.share(slot);
  return true;
}

// How many of the inputs and views that the loss came by read each value: of those that only watch,
// nothing depends.
template <class T>
void Tape<T>::count_takers(int loss) {
  for (Value& value : values_) value.takers = 0;
  std::vector<char>& reached = reached_;
  reached.assign(values_.size(), 0);
  reached[static_cast<std::size_t>(loss)] = 1;
  for (std::size_t i = entries_.size(); i-- > 0;) {
    const Entry& entry = entries_[i];
    bool is_reached = false;
    for (const int output : entry.outputs)
      is_reached |= reached[static_cast<std::size_t>(output)] != 0;
    if (!is_reached) continue;
    for (const int input : entry.inputs) {
      if (input < 0) continue;
      reached[static_cast<std::size_t>(input)] = 1;
      ++at(root_of(input).id).takers;
    }
  }
}

template <class T>
void Tape<T>::check_weights(const Entry& entry) const {
  for (const int id : entry.inputs) {
    if (id < 0 || !at(id).parameter) continue;
    detail::check(at(id).version == at(id).parameter.store->version(),
                  "backward: ", at(id).parameter.info().name,
                  " was changed since forward has read it; call backward before a step or an edit");
  }
}

template <class T>
void Tape<T>::run_backward(const Entry& entry) {
  bool wanted = false;
  for (int i = 0; i < entry.results; ++i)
    wanted |= at(entry.outputs[static_cast<std::size_t>(i)]).slot >= 0;
  if (!wanted || entry.op->backward == nullptr) return;
  check_weights(entry);
  if (entry.merged) {
    const int slot = at(entry.outputs[0]).slot;
    for (const int id : entry.inputs) share_gradient(id, slot);
  } else {
    run(entry, entry.op->backward, true);
  }
  for (int i = 0; i < entry.results; ++i) {
    Value& result = at(entry.outputs[static_cast<std::size_t>(i)]);
    if (result.slot >= 0) slots_.release(result.slot);
    result.slot = -1;
    result.narrow_gradient = false;
  }
}

template <class T>
void Tape<T>::backward(const Variable<T>& loss) {
  const int id = id_of(loss);
  run_pending({&id, 1});
  detail::check(options_.backward, "backward: the tape was told to keep nothing for it");
  detail::check(block_.first_entry < 0,
                "backward: a stage that is to be computed again has not ended yet");
  detail::check(!options_.dry_run, "backward: a dry run has computed nothing");
  detail::check(at(id).shape.numel() == 1, "backward: expected a scalar, got the shape ",
                at(id).shape);
  // A block of a single op is not among blocks_: there is nothing to compute again.
  const auto is_block = [](const LayerCall& call) { return call.is_block; };
  detail::check(
      !options_.recompute || std::any_of(layer_calls_.begin(), layer_calls_.end(), is_block),
      "backward: recompute needs a model with stages (ModuleTraits::stage), got none");
  detail::check(at(id).wants_gradient,
                "backward: nothing that the loss came from wants a gradient");
  count_takers(id);
  const GradientTarget<T> seed = gradient_target(id);
  *seed.to = (seed.add ? *seed.add : T(0)) + T(1);
  try {
    std::size_t end = entries_.size();
    for (auto block = blocks_.rbegin(); block != blocks_.rend(); ++block) {
      while (end > static_cast<std::size_t>(block->last_entry)) run_backward(entries_[--end]);
      bool wanted = false;
      for_each_value(*block, [&](const Value& value) { wanted |= value.slot >= 0; });
      if (!wanted) continue;  // its entries have nothing to do
      recompute(*block);
      while (end > static_cast<std::size_t>(block->first_entry)) run_backward(entries_[--end]);
      drop(*block);
    }
    while (end > 0) run_backward(entries_[--end]);
  } catch (...) {
    abandon();
    throw;
  }
}

}  // namespace anther::inline v0_1
