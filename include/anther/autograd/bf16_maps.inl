// The bodies of tape.hpp for maps in bfloat16. Under amp, the result of an op that stores_bf16 is
// such a map where the next op reads one, and so is a sum that an op adds to its result: of
// fc2(gelu(fc1(x))) the tape keeps fc1's result so. Its gradient is one where nobody else reads it.
// `data` is then the address of numbers of 16 bits. Ops that take floats get a copy in floats.

namespace anther::inline v0_1 {

// The numbers of a map in bfloat16 as floats.
inline constexpr char bf16_floats_op_name[] = "float";
template <class T>
inline constexpr Op<T> bf16_floats_op = {
    .name = bf16_floats_op_name,
    .forward =
        [](Call<T>& call) {
          kernels::bf16_kernels<T>().widen(call.output(), call.bf16_input(),
                                           call.output_shape().numel());
        },
    .backward = nullptr,
    .reads_bf16 = true,
};

// In a plan, where views and the result stand in the memory of their values: a map in bfloat16 as
// floats.
template <class T>
Variable<T> Tape<T>::floats_of(const Variable<T>& x) {
  if (!at(id_of(x)).narrow) return x;
  const Shape shape = x.shape();
  return record(bf16_floats_op<T>, nullptr, {&x, 1}, {&shape, 1}, {})[0];
}

// Before op is recorded: whether the result of the op before it is a map in bfloat16.
template <class T>
void Tape<T>::choose_bf16(const Op<T>& op, std::span<const int> inputs) {
  if (!kernels::has_bf16<T> || !options_.amp || !op.reads_bf16 || entries_.empty()) return;
  const Entry& last = entries_.back();
  if (last.outputs[0] != inputs[0]) return;
  // Where nothing is kept for backward it is for products alone.
  if (!keeps_bf16() && (!op.bf16_forward_rows || last.op->is_addition)) return;
  const Entry& computes = last.merged ? entries_[entries_.size() - 2] : last;
  if (computes.op->stores_bf16) make_bf16(inputs[0]);
}

// Whether maps that ops keep for backward may be in bfloat16.
template <class T>
bool Tape<T>::keeps_bf16() const {
  return kernels::has_bf16<T> && options_.amp && options_.training && options_.backward &&
         !options_.dry_run;
}

// Of x + op(x), where op reads_bf16: a lazy x that nobody else has read is stored so. Whether it is
// stored already does not count.
template <class T>
void Tape<T>::choose_bf16_of_lazy(int id) {
  const Value& x = at(id);
  if (!keeps_bf16() || x.producer < 0 || x.readers != 2) return;
  const Op<T>& op = *entry(x.producer).op;
  if (op.forward_rows && !op.is_cheap && x.shape.back() <= Call<T>::most_columns) make_bf16(id);
}

// From now on a value is in bfloat16. It is there already where it was read, or at the end of a
// block that is computed again: the numbers are the same.
template <class T>
void Tape<T>::make_bf16(int id) {
  Value& value = at(id);
  if (value.narrow) return;
  value.narrow = true;
  if (value.data == nullptr) return;
  const std::int64_t size = value.shape.numel();
  T* const map = memory_of(id).template allocate<T>((size + 1) / 2);
  kernels::bf16_kernels<T>().narrow(kernels::as_bf16(map), value.data, size);
  value.data = map;
  if (held_ != id) return;
  held_ = -1;
  held_memory_.reset();
}

// The result of a block is held apart until the next op says whether it is in bfloat16. It is not:
// it goes to where it stays.
template <class T>
void Tape<T>::settle() {
  if (held_ < 0) return;
  Value& value = at(held_);
  value.data = keep(std::span<const T>(value.data, static_cast<std::size_t>(value.shape.numel())),
                    values_memory_);
  held_ = -1;
  held_memory_.reset();
}

template <class T>
std::span<const std::uint16_t> Tape<T>::bf16_elements_of(int id) const {
  const Value& value = at(id);
  if (!value.narrow || value.data == nullptr) return {};
  return {kernels::as_bf16(value.data), static_cast<std::size_t>(value.shape.numel())};
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
  T* const copy = workspace((size + 1) / 2);
  Call(tape_, tape_.entry(value.producer)).rows_as_bf16(kernels::as_bf16(copy));
  return copy;
}

template <class T>
void Call<T>::rows_as_bf16(std::uint16_t* y) const {
  const std::int64_t size = output_shape().numel(), columns = output_shape().back();
  const std::int64_t step = std::max<std::int64_t>(most_columns / columns, 1),
                     rows = size / columns;
  parallel_for((rows + step - 1) / step, size / 2, [&](std::int64_t tile) {
    alignas(64) T room[most_columns];
    const std::int64_t first = tile * step, count = std::min(step, rows - first);
    compute_rows(room, first, count);
    kernels::bf16_kernels<T>().narrow(y + first * columns, room, count * columns);
  });
}

// Whether the gradient of what an op reads may be in bfloat16: nobody else reads that, and it is no
// sum, which hands its gradient on as it is.
template <class T>
bool Tape<T>::takes_bf16_gradient(const Entry& entry) const {
  const Value& x = at(entry.inputs[0]);
  return entry.op->reads_bf16 && x.narrow && x.wants_gradient && x.slot < 0 && x.takers == 1 &&
         x.data != nullptr && !entries_[static_cast<std::size_t>(x.producer)].op->is_addition;
}

}  // namespace anther::inline v0_1
