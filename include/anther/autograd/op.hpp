// What an op is: how its result and its gradients are computed. An op is data: a constexpr struct
// of functions, one for each scalar type, told apart by its address.
#pragma once

#include <cstdint>

namespace anther::inline v0_1 {

template <class T>
class Call;

// Where an op's backward puts the gradient of an input: to = add + contribution. Without `to` the
// gradient is not wanted; without `add` the contribution overwrites what is there.
template <class T>
struct GradientTarget {
  T* to = nullptr;
  const T* add = nullptr;

  explicit operator bool() const { return to != nullptr; }
};

template <class T>
struct Op {
  const char* name;
  // Computes the results from the inputs. Null for a view, which computes nothing.
  void (*forward)(Call<T>& call);
  // Computes the gradients of the inputs from those of the results. Null for a view, and for an op
  // whose results have no gradient.
  void (*backward)(Call<T>& call);
  // Multiply-accumulates of a call; null if none are counted (norms, activations, additions).
  std::int64_t (*macs)(const Call<T>& call) = nullptr;
  // Whether forward can add call.add() to its result: then x + op(...) is one pass over memory.
  bool takes_add = false;
  // Whether the op is the sum of two values of one shape, which an op that takes_add may compute.
  bool is_addition = false;
  // A lazy op: each row of its result follows from the same row of its first input and from what
  // `forward` (which may be null) keeps. The result is stored only if an op reads it that does not
  // take lazy inputs. Other ops compute its rows just before they read them, and again in backward.
  // It runs on several threads at once and takes no workspace.
  void (*forward_rows)(const Call<T>& call, T* y, std::int64_t first, std::int64_t count) = nullptr;
  // Optional. Given the gradient dy of these rows, it computes rows of dx, and rows of y again
  // where y is not null. Without it, a reader writes the gradient of the whole result, for
  // `backward`.
  void (*backward_rows)(const Call<T>& call, const GradientTarget<T>& dx, T* y, const T* dy,
                        std::int64_t first, std::int64_t count) = nullptr;
  // Whether it reads its first input through call.lazy_input() or call.input_rows() if that is not
  // stored.
  bool takes_lazy = false;
  // Of a lazy op: that computing the result costs little more than reading it. Then an op that
  // does not take lazy inputs has it computed in scratch memory, in forward and again in backward,
  // and it is never stored. In evaluation its forward does not read its first input.
  bool is_cheap = false;
  // Whether backward may write the gradient of its first input over that of its result.
  bool backward_in_place = false;
  // Whether forward calls call.apply_rows() for the rows of its result that it has just computed:
  // then a planned pass computes the cheap lazy ops that follow while the rows are in the cache.
  bool applies_rows = false;
  // Whether its products can be of numbers in bfloat16 (TapeOptions::amp, call.bf16()).
  bool takes_bf16 = false;
  // Whether forward can store its first result as a map in bfloat16 (call.output_is_bf16()), also
  // the sum with what it adds, and backward take such a gradient. Under amp the tape wants that
  // where the next op reads_bf16.
  bool stores_bf16 = false;
  // Whether the first input may be such a map: the op then reads it by call.bf16_input() or
  // call.input_rows(), and may ask for call.bf16_input_gradient().
  bool reads_bf16 = false;
  // Of a lazy op, optional: forward_rows and backward_rows where the first input
  // (call.bf16_input()), y and dx are maps in bfloat16. Pointers are to row `first`; y may be null
  // in backward.
  void (*bf16_forward_rows)(const Call<T>& call, std::uint16_t* y, std::int64_t first,
                            std::int64_t count) = nullptr;
  void (*bf16_backward_rows)(const Call<T>& call, std::uint16_t* dx, std::uint16_t* y, const T* dy,
                             std::int64_t first, std::int64_t count) = nullptr;
  // Bit i says that input i (or result i) holds integers: labels, indices. Integers have no
  // gradients.
  std::uint32_t integer_inputs = 0;
  std::uint32_t integer_results = 0;
};

}  // namespace anther::inline v0_1
