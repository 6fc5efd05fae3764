// The bodies of tape.hpp for maps in bfloat16. Under amp, the result of an op that stores_bf16 is
// such a map where the next op reads one: of fc2(gelu(fc1(x))) the tape keeps fc1's result so, and
// its gradient is one where nobody else reads it. `data` is then the address of numbers of 16 bits.
// Ops that take floats get a copy in floats.

namespace anther::inline v0_1 {

// Before the op that has waited runs, and op is recorded: whether the first's result is a map in
// bfloat16.
template <class T>
void Tape<T>::choose_bf16(const Op<T>& op, std::span<const int> inputs) {
  if (!kernels::has_bf16<T> || !options_.amp || pending_ != 1 || !op.reads_bf16) return;
  // Where nothing is kept for backward it is for products alone.
  const bool keeps = options_.training && options_.backward && !options_.dry_run;
  if (!op.bf16_forward_rows && !keeps) return;
  // Not from one block to the next, which recompute runs on their own.
  if (std::ssize(entries_) <= block_boundary_) return;
  const Entry& before = entries_.back();
  if (!before.op->stores_bf16 || before.outputs[0] != inputs[0]) return;
  at(inputs[0]).narrow = true;
}

// A value's numbers as floats: where they are, or else a copy.
template <class T>
T* Tape<T>::as_floats(int id, Arena& memory) {
  const Value& value = at(id);
  if (!value.narrow || value.data == nullptr) return value.data;
  T* floats = memory.template allocate<T>(value.shape.numel());
  kernels::bf16_kernels<T>().widen(floats, kernels::as_bf16(value.data), value.shape.numel());
  return floats;
}

template <class T>
const T* Call<T>::input_as_bf16(int i) const {
  const auto& value = tape_.at(input_id(i));
  const std::int64_t size = value.shape.numel(), columns = value.shape.back();
  if (value.narrow) return value.data;
  if (value.data || !tape_.is_lazy(input_id(i)) || columns > most_columns || size == 0)
    return narrow_copy(tape_.stored_for_call(input_id(i)), size);
  // Its rows go through a room in the first-level cache.
  const Call lazy(tape_, tape_.entry(value.producer));
  T* const copy = workspace((size + 1) / 2);
  const std::int64_t step = most_columns / columns, rows = size / columns;
  parallel_for((rows + step - 1) / step, size / 2, [&](std::int64_t tile) {
    alignas(64) T room[most_columns];
    const std::int64_t first = tile * step, count = std::min(step, rows - first);
    lazy.compute_rows(room, first, count);
    kernels::bf16_kernels<T>().narrow(kernels::as_bf16(copy) + first * columns, room,
                                      count * columns);
  });
  return copy;
}

// Whether the gradient of what an op reads may be in bfloat16: nobody else reads that.
template <class T>
bool Tape<T>::takes_bf16_gradient(const Entry& entry) const {
  const Value& x = at(entry.inputs[0]);
  return entry.op->reads_bf16 && x.narrow && x.wants_gradient && x.slot < 0 && x.readers == 1 &&
         x.data != nullptr;
}

}  // namespace anther::inline v0_1
