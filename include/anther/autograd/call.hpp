// What an op sees of one of its calls: its attributes, its values and their gradients.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>

#include "anther/autograd/tape.hpp"
#include "anther/core/clock.hpp"
#include "anther/core/parallel_for.hpp"
#include "anther/kernels/bf16.hpp"
#include "anther/kernels/elementwise.hpp"
#include "anther/kernels/gemm_dims.hpp"
#include "anther/kernels/mixed_maps.hpp"

namespace anther::inline v0_1 {

template <class T>
class Call {
 public:
  Call(Tape<T>& tape, const TapeEntry<T>& entry) : tape_(tape), entry_(entry) {}

  template <class Attributes>
  const Attributes& attributes() const {
    return *static_cast<const Attributes*>(entry_.attributes);
  }
  bool training() const { return tape_.options_.training; }
  const TapeOptions& options() const { return tape_.options_; }
  // The key that the pass draws from.
  RandomKey random() const { return tape_.random(); }
  std::string_view layer() const { return entry_.layer; }
  // 1 where the pass wants the op's products in bfloat16, else 0: as kernels' dims say it.
  std::int64_t bf16() const {
    return kernels::has_bf16<T> && tape_.options_.amp && entry_.op->takes_bf16 ? 1 : 0;
  }
  // Whether forward has run before in this pass, and backward only wants its results again.
  bool recomputes() const { return tape_.recomputing_; }
  // Whether anything will read what forward keeps for backward.
  bool keeps() const { return tape_.options_.backward; }

  int inputs() const { return static_cast<int>(entry_.inputs.size()); }
  int results() const { return entry_.results; }
  bool has_input(int i) const { return input_id(i) >= 0; }
  const Shape& input_shape(int i) const { return tape_.at(input_id(i)).shape; }
  // Null if the input is absent, or lazy and the op takes it so.
  const T* input(int i) const {
    if (!has_input(i)) return nullptr;
    const bool as_it_is = i == 0 && entry_.op->takes_lazy && !tape_.at(input_id(0)).narrow;
    return as_it_is ? tape_.at(input_id(0)).data : tape_.stored_for_call(input_id(i));
  }
  // The first input, if it is stored as a map in bfloat16; else null.
  const std::uint16_t* bf16_input() const {
    const auto& value = tape_.at(input_id(0));
    return value.narrow ? kernels::as_bf16(value.data) : nullptr;
  }
  // An input, what forward adds and the first result, as they are stored: floats, or bfloat16.
  kernels::MixedMap<const T> input_map(int i) const {
    if (has_input(i) && tape_.at(input_id(i)).narrow) return {tape_.at(input_id(i)).data, true};
    return {input(i)};
  }
  // The first input so: bf16_input() or else input(0).
  const T* map_input() const { return input_map(0).data; }
  kernels::MixedMap<const T> add_map() const {
    if (adds_bf16()) return {tape_.at(entry_.add).data, true};
    return {add()};
  }
  kernels::MixedMap<T> output_map() const { return {output(), output_is_bf16()}; }
  // Input i as a map in bfloat16 (kernels::as_bf16): where it is stored so, or a copy in scratch
  // memory.
  const T* input_as_bf16(int i) const;
  // The same of the gradient of the result.
  const T* output_gradient_as_bf16() const {
    if (output_gradient_is_bf16()) return output_gradient();
    return narrow_copy(output_gradient(), output_shape().numel());
  }
  const T* output_gradient_as_floats() const {
    if (!output_gradient_is_bf16()) return output_gradient();
    const std::int64_t size = output_shape().numel();
    T* const copy = workspace(size);
    kernels::bf16_kernels<T>().widen(copy, kernels::as_bf16(output_gradient()), size);
    return copy;
  }
  // The first input's rows from `first` on: where they are stored, or computed to `room`, by the
  // calling thread alone. For an op whose rows are those of its input.
  const T* input_rows(T* room, std::int64_t first, std::int64_t count) const {
    const auto& value = tape_.at(input_id(0));
    const std::int64_t columns = value.shape.back();
    if (value.narrow) {
      kernels::bf16_kernels<T>().widen(room, kernels::as_bf16(value.data) + first * columns,
                                       count * columns);
      return room;
    }
    if (value.data) return value.data + first * columns;
    Call(tape_, tape_.entry(value.producer)).compute_rows(room, first, count);
    return room;
  }
  // Of an input that holds integers.
  const std::int32_t* integers(int i) const { return tape_.at(input_id(i)).integers; }
  // Results, and after them what forward keeps for backward.
  const Shape& output_shape(int i = 0) const { return tape_.at(output_id(i)).shape; }
  T* output(int i = 0) const { return tape_.at(i == 0 ? result_id() : output_id(i)).data; }
  // Whether the first result, or its gradient, is a map in bfloat16.
  bool output_is_bf16() const { return tape_.at(result_id()).narrow; }
  bool output_gradient_is_bf16() const { return tape_.at(output_id(0)).narrow_gradient; }
  // Where forward may write its first result as floats: there, or to scratch memory, from which
  // round_output() stores it.
  T* float_output() const {
    return output_is_bf16() ? workspace(output_shape().numel()) : output();
  }
  void round_output(const T* y) const {
    if (output_is_bf16())
      kernels::bf16_kernels<T>().narrow(kernels::as_bf16(output()), y, output_shape().numel());
  }
  std::int32_t* output_integers(int i = 0) const { return tape_.at(output_id(i)).integers; }
  // What forward adds to its result (its shape is the result's), or null.
  const T* add() const { return entry_.add < 0 ? nullptr : tape_.stored_for_call(entry_.add); }
  bool adds_bf16() const { return entry_.add >= 0 && tape_.at(entry_.add).narrow; }
  // Whether it adds its first input: x + op(x).
  bool adds_input() const { return entry_.add >= 0 && entry_.add == input_id(0); }

  // In backward: the gradient of a result (null if it has none), and where the gradients of the
  // inputs go. Ask for these targets in the order in which they are written.
  const T* output_gradient(int i = 0) const {
    const int slot = tape_.at(output_id(i)).slot;
    return slot < 0 ? nullptr : tape_.slots_.data(slot);
  }
  GradientTarget<T> input_gradient(int i) const {
    if (!has_input(i)) return {};
    if (i == 0 && entry_.op->backward_in_place &&
        reads_first_twice()) {  // all add to the same memory
      const GradientTarget<T> dx = tape_.gradient_target(input_id(0));
      start(dx, input_shape(0).numel());
      return {dx.to, dx.to};
    }
    if (i == 0 && entry_.op->backward_in_place &&
        tape_.hand_over_gradient(output_id(0), input_id(0)))
      return {tape_.slots_.data(tape_.at(output_id(0)).slot), nullptr};
    return tape_.gradient_target(input_id(i));
  }

  // Whether another input is the first one too, or a view of it, or of what that is a view of.
  bool reads_first_twice() const {
    for (int i = 1; i < inputs(); ++i)
      if (has_input(i) && tape_.root_of(input_id(i)).id == tape_.root_of(input_id(0)).id)
        return true;
    return false;
  }

  // Hands the gradient of the result on to an input, as an addition does; without a copy where that
  // is possible.
  void pass_gradient(int i) const {
    tape_.share_gradient(input_id(i), tape_.at(output_id(0)).slot);
  }

  // Gives a gradient that is to be accumulated its initial value: zeros, or what is there already.
  void start(const GradientTarget<T>& target, std::int64_t size) const {
    if (target.to == nullptr) return;
    if (target.add == nullptr)
      std::fill_n(target.to, size, T(0));
    else if (target.add != target.to)
      std::copy_n(target.add, size, target.to);
  }

  // The call that computes this call's first input, if that input is lazy and not stored.
  std::optional<Call> lazy_input() const {
    if (entry_.lazy < 0) return std::nullopt;
    return Call(tape_, tape_.entries_[static_cast<std::size_t>(entry_.lazy)]);
  }
  // For a lazy op: computes rows of the result, or goes backward through them (see Op). The threads
  // share the rows.
  void forward_rows(T* y, std::int64_t first, std::int64_t count) const {
    if (output_shape().numel() == 0) return;
    for_row_tiles(first, count, [&](std::int64_t row, std::int64_t rows, std::int64_t at) {
      compute_rows(y + at, row, rows);
    });
  }
  // The same to a map in bfloat16, of a lazy op that reads one.
  bool has_bf16_rows() const {
    return entry_.op->bf16_forward_rows && tape_.at(input_id(0)).narrow;
  }
  void compute_bf16_rows(std::uint16_t* y, std::int64_t first, std::int64_t count) const {
    entry_.op->bf16_forward_rows(*this, y, first, count);
  }
  void bf16_forward_rows(std::uint16_t* y, std::int64_t first, std::int64_t count) const {
    for_row_tiles(first, count, [&](std::int64_t row, std::int64_t rows, std::int64_t at) {
      entry_.op->bf16_forward_rows(*this, y + at, row, rows);
    });
  }
  // Whether a reader may go backward through it by bf16_backward_rows: nobody else reads its
  // result.
  bool has_bf16_backward_rows() const {
    return entry_.op->bf16_backward_rows && tape_.at(output_id(0)).takers == 1;
  }
  // Where the gradient of its first input goes, if that is to be a map in bfloat16; else null.
  std::uint16_t* bf16_input_gradient() const {
    if (!tape_.takes_bf16_gradient(entry_)) return nullptr;
    auto& value = tape_.at(input_id(0));
    value.slot = tape_.slots_.take((value.shape.numel() + 1) / 2);
    value.narrow_gradient = true;
    return kernels::as_bf16(tape_.slots_.data(value.slot));
  }
  void bf16_backward_rows(std::uint16_t* dx, std::uint16_t* y, const T* dy, std::int64_t first,
                          std::int64_t count) const {
    for_row_tiles(first, count, [&](std::int64_t row, std::int64_t rows, std::int64_t at) {
      const std::int64_t begin = row * output_shape().back();
      entry_.op->bf16_backward_rows(*this, dx + begin, y ? y + at : nullptr, dy + at, row, rows);
    });
  }
  // All rows of the result of a lazy op, to a map in bfloat16. Each goes through a room in the
  // first-level cache.
  void rows_as_bf16(std::uint16_t* y) const;
  // The same as forward_rows, by the calling thread alone.
  void compute_rows(T* y, std::int64_t first, std::int64_t count) const {
    entry_.op->forward_rows(*this, y, first, count);
  }
  // For a lazy op: whether y is not scratch memory, but row `first` of a result that is stored and
  // does not fit the caches (kernels/stream.hpp).
  bool streams_row(const T* y, std::int64_t first) const {
    const T* all = output();
    return all != nullptr && kernels::is_streamed<T>(output_shape().numel()) &&
           y == all + first * output_shape().back();
  }
  // Computes the lazy ops that follow this op in a planned pass, in the place of rows of its
  // result, by the calling thread alone. See Op::applies_rows.
  void apply_rows(std::int64_t first, std::int64_t count) const {
    if (entry_.after < 0) return;
    const Call after(tape_, tape_.entry(entry_.after));
    // Rows that fit the first-level cache, for there may be several ops.
    const std::int64_t columns = output_shape().back(), last = first + count;
    const std::int64_t step = std::max<std::int64_t>(4096 / std::max<std::int64_t>(columns, 1), 1);
    for (; first < last; first += step)
      after.compute_rows(output() + first * columns, first, std::min(step, last - first));
  }
  // Not where others read the result: their gradients are summed before they go on, as where it is
  // stored. An op that takes_lazy has room for rows of so many columns.
  static constexpr std::int64_t most_columns = 8192;
  bool has_backward_rows() const {
    const bool read_once = tape_.at(output_id(0)).takers == 1 && !output_gradient();
    if (entry_.op->backward_rows == nullptr || !read_once || bf16_input()) return false;
    return entry_.op->takes_lazy ? output_shape().back() <= most_columns
                                 : tape_.is_stored(input_id(0));
  }
  void backward_rows(const GradientTarget<T>& dx, T* y, const T* dy, std::int64_t first,
                     std::int64_t count) const {
    for_row_tiles(first, count, [&](std::int64_t row, std::int64_t rows, std::int64_t at) {
      entry_.op->backward_rows(*this, dx, y ? y + at : nullptr, dy + at, row, rows);
    });
  }

  // Calls body(row, rows, the first element, counted from that of row `first`) for tiles of rows.
  template <class Body>
  void for_row_tiles(std::int64_t first, std::int64_t count, const Body& body) const {
    constexpr std::int64_t tile_rows = 96;
    const std::int64_t columns = output_shape().back();
    parallel_for((count + tile_rows - 1) / tile_rows, count * columns / 2, [&](std::int64_t tile) {
      const std::int64_t row = tile * tile_rows;
      body(first + row, std::min(tile_rows, count - row), row * columns);
    });
  }

  // Uninitialised scratch memory for this call.
  T* workspace(std::int64_t count) const { return tape_.scratch_.template allocate<T>(count); }

  // Input i, a weight, packed for a matrix product: kept between calls where it is a parameter.
  const T* packed(int i, PackUse use, const kernels::PackOptions& pack) const {
    const auto& value = tape_.at(input_id(i));
    if (value.parameter)
      if (const T* kept = value.parameter.store->packed(value.parameter.number, use, pack))
        return kept;
    T* memory = workspace(kernels::packed_size<T>(pack));
    kernels::pack_weight(memory, input(i), pack);
    return memory;
  }

  // What a training pass makes of a buffer (BatchNorm's running statistics). It takes effect once
  // the optimiser has made its step, or when the next pass begins that is not of the same batch.
  std::span<T> pending_buffer(const Buffer<T>& buffer) const {
    tape_.stores_[static_cast<std::size_t>(tape_.number_of(*buffer.store))].trained = true;
    return buffer.store->pending_buffer(buffer.number, tape_.options_.batch_part.value_or(0));
  }

 private:
  const T* narrow_copy(const T* map, std::int64_t size) const {
    T* const copy = workspace((size + 1) / 2);
    kernels::bf16_kernels<T>().narrow(kernels::as_bf16(copy), map, size);
    return copy;
  }
  int input_id(int i) const { return entry_.inputs[static_cast<std::size_t>(i)]; }
  int output_id(int i) const { return entry_.outputs[static_cast<std::size_t>(i)]; }
  int result_id() const { return entry_.into >= 0 ? entry_.into : output_id(0); }

  Tape<T>& tape_;
  const TapeEntry<T>& entry_;
};

}  // namespace anther::inline v0_1

#include "anther/autograd/backward.inl"
#include "anther/autograd/bf16_maps.inl"
#include "anther/autograd/layers.inl"
#include "anther/autograd/tape.inl"
