// gelu, exact, by the error function. Backward keeps x. It is lazy: a linear layer computes it as
// it reads, so that its result takes no memory. The other activations are in ops/pointwise.hpp.
#pragma once

#include "anther/autograd/tape.hpp"
#include "anther/kernels/bf16.hpp"
#include "anther/kernels/gelu.hpp"

namespace anther::inline v0_1 {

inline constexpr char gelu_op_name[] = "gelu";
template <class T>
inline constexpr Op<T> gelu_op = {
    .name = gelu_op_name,
    .forward = nullptr,
    .backward =
        [](Call<T>& call) {
          std::uint16_t* const map_dx =
              call.has_bf16_backward_rows() ? call.bf16_input_gradient() : nullptr;
          if (map_dx)
            call.bf16_backward_rows(map_dx, nullptr, call.output_gradient(), 0,
                                    call.output_shape().rows());
          else if (const auto dx = call.input_gradient(0))
            kernels::gelu_backward(dx.to, dx.add, call.output_gradient(), call.input(0),
                                   call.output_shape().numel());
        },
    .forward_rows =
        [](const Call<T>& call, T* y, std::int64_t first, std::int64_t count) {
          const std::int64_t columns = call.output_shape().back();
          // The same numbers as bf16_forward_rows, whoever reads them.
          if (const std::uint16_t* x = call.bf16_input())
            return kernels::gelu_of_map(y, x + first * columns, count * columns);
          kernels::gelu_forward(y, call.input_rows(y, first, count), count * columns,
                                call.streams_row(y, first));
        },
    .backward_rows =
        [](const Call<T>& call, const GradientTarget<T>& dx, T* y, const T* dy, std::int64_t first,
           std::int64_t count) {
          const std::int64_t columns = call.output_shape().back(), at = first * columns;
          const T* add = dx.add ? dx.add + at : nullptr;
          const T* x = call.input(0) + at;
          if (y)
            kernels::gelu_backward_with_value(dx.to + at, add, y, dy, x, count * columns);
          else
            kernels::gelu_backward(dx.to + at, add, dy, x, count * columns);
        },
    .backward_in_place = true,
    .reads_bf16 = true,
    .bf16_forward_rows =
        [](const Call<T>& call, std::uint16_t* y, std::int64_t first, std::int64_t count) {
          const std::int64_t columns = call.output_shape().back();
          kernels::bf16_kernels<T>().gelu_forward(y, call.bf16_input() + first * columns,
                                                  count * columns);
        },
    .bf16_backward_rows =
        [](const Call<T>& call, std::uint16_t* dx, std::uint16_t* y, const T* dy,
           std::int64_t first, std::int64_t count) {
          const std::int64_t columns = call.output_shape().back();
          kernels::bf16_kernels<T>().gelu_backward(dx, y, dy, call.bf16_input() + first * columns,
                                                   count * columns);
        },
};

// x Phi(x), where Phi is that of the normal distribution (Hendrycks and Gimpel 2016).
template <class T>
Variable<T> gelu(const Variable<T>& x) {
  return x.tape().apply(gelu_op<T>, 0, {x}, x.shape());
}

}  // namespace anther::inline v0_1
