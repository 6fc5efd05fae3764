// Ops that make a map smaller without weights: global_average_pool (N, H, W, C) -> (N, C), the mean
// over H and W; and subsample, the top left position of each stride x stride window. Backward keeps
// nothing.
#pragma once

#include "anther/autograd/tape.hpp"
#include "anther/kernels/global_average_pool.hpp"
#include "anther/kernels/subsample.hpp"

namespace anther::inline v0_1 {

inline constexpr char global_average_pool_op_name[] = "global_average_pool";
template <class T>
inline constexpr Op<T> global_average_pool_op = {
    .name = global_average_pool_op_name,
    .forward =
        [](Call<T>& call) {
          kernels::global_average_pool_forward(
              call.output(), call.input(0),
              call.template attributes<kernels::GlobalAveragePoolDims>());
        },
    .backward =
        [](Call<T>& call) {
          if (const auto dx = call.input_gradient(0))
            kernels::global_average_pool_backward(
                dx.to, dx.add, call.output_gradient(),
                call.template attributes<kernels::GlobalAveragePoolDims>());
        },
};

template <class T>
Variable<T> global_average_pool(const Variable<T>& x) {
  const Shape& in = x.shape();
  x.tape().check(in.rank() == 4 && in[1] * in[2] > 0,
                 "global_average_pool: expected a map (N, H, W, C), got ", in);
  const kernels::GlobalAveragePoolDims d{
      .batch = in[0], .height = in[1], .width = in[2], .channels = in[3]};
  return x.tape().apply(global_average_pool_op<T>, d, {x}, {in[0], in[3]});
}

inline constexpr char subsample_op_name[] = "subsample";
template <class T>
inline constexpr Op<T> subsample_op = {
    .name = subsample_op_name,
    .forward =
        [](Call<T>& call) {
          const auto& dims = call.template attributes<kernels::SubsampleDims>();
          if (const auto lazy = call.lazy_input())
            kernels::subsample_forward_rows(
                call.output(),
                [&](T* to, std::int64_t first, std::int64_t count) {
                  lazy->compute_rows(to, first, count);
                },
                dims);
          else
            kernels::subsample_forward(call.output(), call.input(0), dims);
        },
    .backward =
        [](Call<T>& call) {
          if (const auto dx = call.input_gradient(0))
            kernels::subsample_backward(dx.to, dx.add, call.output_gradient(),
                                        call.template attributes<kernels::SubsampleDims>());
        },
    .takes_lazy = true,
};

// y = x[:, ::stride, ::stride, :]
template <class T>
Variable<T> subsample(const Variable<T>& x, std::int64_t stride) {
  const Shape& in = x.shape();
  x.tape().check(in.rank() == 4 && stride > 0,
                 "subsample: expected a map (N, H, W, C) and a stride of at least 1, got ", in,
                 " and ", stride);
  if (stride == 1) return x;
  const kernels::SubsampleDims d{
      .batch = in[0], .height = in[1], .width = in[2], .channels = in[3], .stride = stride};
  return x.tape().apply(
      subsample_op<T>, d, {x},
      {in[0], (in[1] + stride - 1) / stride, (in[2] + stride - 1) / stride, in[3]});
}

}  // namespace anther::inline v0_1
