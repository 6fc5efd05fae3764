// The four normalisations. All compute
//   y = weight[c] (x - mean) / sqrt(var + eps) + bias[c]
// with the mean and the biased variance of the elements that share one. On a map (N, H, W, C), the
// elements that share a mean, marked x, among two samples (rows of squares) of four channels each
// (columns), every square standing for all H W positions:
//
//              GroupNorm(2)   LayerNorm        InstanceNorm   BatchNorm
//   sample 0   x x . .        x x x x, at one  x . . .        x . . .
//   sample 1   . . . .        position only    . . . .        x . . .
//
//   group_norm     Wu and He 2018: C / groups channels of one sample, over H and W; with one group
//                  all of a sample
//   layer_norm     Ba et al. 2016: all channels of one position of one sample
//   instance_norm  Ulyanov et al. 2016: one channel of one sample, over H and W
//   batch_norm     Ioffe and Szegedy 2015: one channel of the whole batch, over N, H and W; in
//                  evaluation, running averages of those
// Only batch_norm lets samples see each other: it needs a batch, and micro-batches change it.
// Backward keeps x, the means and 1 / sqrt(var + eps). All but layer_norm are lazy: forward
// computes the statistics, and the op that reads the result computes it from them, by one fused
// multiply-add for each element.
#pragma once

#include "anther/autograd/tape.hpp"
#include "anther/kernels/batch_norm.hpp"
#include "anther/kernels/group_norm.hpp"
#include "anther/kernels/layer_norm.hpp"
#include "anther/kernels/rms_norm.hpp"
#include "anther/ops/affine.hpp"

namespace anther::inline v0_1 {

// What backward of the channel norms writes and reads: mean and rstd are results 1 and 2 unless
// given. x may be a map in bfloat16, and then dx, too.
template <class T, class Dims>
struct ChannelNormMaps {
  const T* x;
  std::int64_t x_bf16;

  ChannelNormMaps(const Call<T>& call, const Dims& dims)
      : x_bf16(call.bf16_input() && kernels::channel_norm_reads_bf16(channel_norm_dims(dims))) {
    x = x_bf16 != 0 ? call.map_input() : call.input(0);
  }
  // Ask for it before the other gradients.
  kernels::ChannelNormBackward<T> backward(const Call<T>& call) const {
    std::uint16_t* const map_dx = x_bf16 != 0 ? call.bf16_input_gradient() : nullptr;
    const auto dx =
        map_dx ? GradientTarget<T>{reinterpret_cast<T*>(map_dx), nullptr} : call.input_gradient(0);
    const auto dweight = call.input_gradient(1), dbias = call.input_gradient(2);
    call.start(dweight, call.input_shape(0).back());
    call.start(dbias, call.input_shape(0).back());
    return {dx.to,          dx.add,         dweight.to,    dbias.to, call.output_gradient(), x,
            call.output(1), call.output(2), call.input(1), x_bf16,   map_dx != nullptr};
  }
};

inline constexpr char group_norm_op_name[] = "group_norm";
template <class T>
inline constexpr Op<T> group_norm_op = {
    .name = group_norm_op_name,
    .forward =
        [](Call<T>& call) {
          const auto& dims = call.template attributes<kernels::GroupNormDims>();
          const ChannelNormMaps maps(call, dims);
          kernels::group_norm_statistics<T>(
              call.output(3), call.output(1), call.output(2), maps.x, call.input(1), call.input(2),
              call.workspace(kernels::group_norm_workspace(dims)), dims, maps.x_bf16);
        },
    .backward =
        [](Call<T>& call) {
          const auto& dims = call.template attributes<kernels::GroupNormDims>();
          kernels::group_norm_backward<T>(ChannelNormMaps(call, dims).backward(call),
                                          call.workspace(kernels::group_norm_workspace(dims)),
                                          dims);
        },
    .forward_rows =
        [](const Call<T>& call, T* y, std::int64_t first, std::int64_t count) {
          const auto& dims = call.template attributes<kernels::GroupNormDims>();
          const T* x = call.input_rows(y, first, count);
          kernels::group_norm_rows<T>(y, x, call.output(3), first, count, dims);
        },
    .backward_in_place = true,
    .reads_bf16 = true,
};

// x (N, ..., C), at least one axis between or none. Throws unless num_groups divides C.
template <class T>
Variable<T> group_norm(const Variable<T>& x, std::int64_t num_groups,
                       const Variable<T>& weight = {}, const Variable<T>& bias = {},
                       double eps = 1e-5) {
  Tape<T>& tape = x.tape();
  const Shape& in = x.shape();
  tape.check(in.rank() >= 2, "group_norm: expected (N, ..., C), got ", in);
  const std::int64_t channels = in.back();
  tape.check(num_groups > 0 && channels % num_groups == 0,
             "group_norm: expected a number of groups that divides ", channels, " channels, got ",
             num_groups);
  check_affine(tape, weight, bias, channels);
  const kernels::GroupNormDims dims{.batch = in[0],
                                    .positions = in[0] > 0 ? in.rows() / in[0] : 0,
                                    .channels = channels,
                                    .groups = num_groups,
                                    .eps = eps};
  const Shape statistics{in[0], num_groups};
  const Shape affine{kernels::group_norm_affine_size(dims)};
  return tape.apply(group_norm_op<T>, dims, {x, weight, bias}, in,
                    {statistics, statistics, affine});
}

// group_norm with one channel a group.
template <class T>
Variable<T> instance_norm(const Variable<T>& x, const Variable<T>& weight = {},
                          const Variable<T>& bias = {}, double eps = 1e-5) {
  return group_norm(x, x.shape().back(), weight, bias, eps);
}

inline constexpr char layer_norm_op_name[] = "layer_norm";
template <class T>
inline constexpr Op<T> layer_norm_op = {
    .name = layer_norm_op_name,
    .forward =
        [](Call<T>& call) {
          T* const y = call.float_output();
          kernels::layer_norm_forward<T>(y, call.output(1), call.output(2), call.input(0),
                                         call.input(1), call.input(2),
                                         call.template attributes<kernels::LayerNormDims>());
          call.round_output(y);
        },
    .backward =
        [](Call<T>& call) {
          const auto& dims = call.template attributes<kernels::LayerNormDims>();
          const auto dx = call.input_gradient(0), dweight = call.input_gradient(1),
                     dbias = call.input_gradient(2);
          call.start(dweight, dims.channels);
          call.start(dbias, dims.channels);
          kernels::layer_norm_backward<T>(
              {dx.to, dx.add, dweight.to, dbias.to, call.output_gradient_as_floats(), call.input(0),
               call.output(1), call.output(2), call.input(1)},
              call.workspace(kernels::layer_norm_workspace(dims)), dims);
        },
    .backward_in_place = true,
    .stores_bf16 = true,
};

// x (..., C): over C at each position.
template <class T>
Variable<T> layer_norm(const Variable<T>& x, const Variable<T>& weight = {},
                       const Variable<T>& bias = {}, double eps = 1e-5) {
  Tape<T>& tape = x.tape();
  const Shape& in = x.shape();
  tape.check(in.rank() >= 1, "layer_norm: expected (..., C), got ", in);
  check_affine(tape, weight, bias, in.back());
  return tape.apply(layer_norm_op<T>, kernels::LayerNormDims{in.rows(), in.back(), eps},
                    {x, weight, bias}, in, {Shape{in.rows(), 2}, Shape{in.rows()}});
}

inline constexpr char rms_norm_op_name[] = "rms_norm";
template <class T>
inline constexpr Op<T> rms_norm_op = {
    .name = rms_norm_op_name,
    .forward =
        [](Call<T>& call) {
          T* const y = call.float_output();
          kernels::rms_norm_forward<T>(y, call.output(1), call.input(0), call.input(1),
                                       call.template attributes<kernels::RMSNormDims>());
          call.round_output(y);
        },
    .backward =
        [](Call<T>& call) {
          const auto& dims = call.template attributes<kernels::RMSNormDims>();
          const auto dx = call.input_gradient(0), dweight = call.input_gradient(1);
          call.start(dweight, dims.channels);
          kernels::rms_norm_backward<T>(
              {dx.to, dx.add, dweight.to, call.output_gradient_as_floats(), call.input(0),
               call.output(1), call.input(1)},
              call.workspace(kernels::rms_norm_workspace(dims)), dims);
        },
    .backward_in_place = true,
    .stores_bf16 = true,
};

// x (..., C): x / sqrt(mean(x^2) + eps) weight, over C at each position. PyTorch's eps is that of
// the type unless it is given.
template <class T>
Variable<T> rms_norm(const Variable<T>& x, const Variable<T>& weight = {},
                     double eps = static_cast<double>(std::numeric_limits<T>::epsilon())) {
  Tape<T>& tape = x.tape();
  const Shape& in = x.shape();
  tape.check(in.rank() >= 1, "rms_norm: expected (..., C), got ", in);
  check_affine(tape, weight, {}, in.back());
  return tape.apply(rms_norm_op<T>, kernels::RMSNormDims{in.rows(), in.back(), eps}, {x, weight},
                    in, {Shape{in.rows()}});
}

// Running statistics: evaluation reads them, and a training pass moves them.
template <class T>
struct BatchNormAttributes {
  Buffer<T> running_mean, running_var;
  double momentum;
  kernels::BatchNormDims dims;
  bool frozen;

  const T* mean() const { return values(running_mean); }
  const T* var() const { return values(running_var); }

 private:
  static const T* values(const Buffer<T>& buffer) {
    return std::as_const(*buffer.store).buffer(buffer.number).data();
  }
};
struct BatchNormOptions {
  double momentum = 0.1;  // the share of the new batch, as in PyTorch
  double eps = 1e-5;
  bool frozen = false;  // training also uses the running statistics, and does not move them
};

inline constexpr char batch_norm_op_name[] = "batch_norm";
template <class T>
inline constexpr Op<T> batch_norm_op = {
    .name = batch_norm_op_name,
    .forward =
        [](Call<T>& call) {
          const auto& a = call.template attributes<BatchNormAttributes<T>>();
          T* workspace = call.workspace(kernels::batch_norm_workspace(a.dims));
          if (!call.training() || a.frozen) {
            kernels::batch_norm_inference_affine<T>(
                call.output(4), a.mean(), a.var(), call.input(1), call.input(2), workspace, a.dims);
            return;
          }
          const ChannelNormMaps maps(call, a.dims);
          kernels::batch_norm_statistics<T>(
              {call.output(4), call.output(1), call.output(2), call.output(3)}, maps.x,
              call.input(1), call.input(2), workspace, a.dims, maps.x_bf16);
          if (call.keeps() && a.running_mean && !call.recomputes())
            kernels::batch_norm_update_running(call.pending_buffer(a.running_mean).data(),
                                               call.pending_buffer(a.running_var).data(),
                                               call.output(1), call.output(3),
                                               static_cast<T>(a.momentum), a.dims);
        },
    .backward =
        [](Call<T>& call) {
          const auto& a = call.template attributes<BatchNormAttributes<T>>();
          auto maps = ChannelNormMaps(call, a.dims).backward(call);
          T* workspace = call.workspace(kernels::batch_norm_workspace(a.dims));
          if (call.training() && !a.frozen) {
            kernels::batch_norm_backward<T>(maps, workspace, a.dims);
          } else {
            maps.mean = a.mean();
            kernels::batch_norm_inference_backward<T>(maps, a.var(), workspace, a.dims);
          }
        },
    .forward_rows =
        [](const Call<T>& call, T* y, std::int64_t first, std::int64_t count) {
          const T* x = call.input_rows(y, first, count);
          kernels::batch_norm_rows<T>(y, x, call.output(4), first, count,
                                      call.template attributes<BatchNormAttributes<T>>().dims);
        },
    .is_cheap = true,
    .backward_in_place = true,
    .reads_bf16 = true,
};

// x (N, ..., C). A training pass normalises by the batch's statistics, and moves running_mean and
// running_var (C) by `momentum` towards them, once the optimiser has made its step. Evaluation
// normalises by running_mean and running_var; without them only training is possible. Throws if
// training sees only one value of a channel, or evaluation has no running statistics.
template <class T>
Variable<T> batch_norm(const Variable<T>& x, const Variable<T>& weight, const Variable<T>& bias,
                       const Buffer<T>& running_mean, const Buffer<T>& running_var,
                       const BatchNormOptions& options = {}) {
  Tape<T>& tape = x.tape();
  const Shape& in = x.shape();
  tape.check(in.rank() >= 2, "batch_norm: expected (N, ..., C), got ", in);
  check_affine(tape, weight, bias, in.back());
  const bool by_batch = tape.options().training && !options.frozen;
  tape.check(!by_batch || in.rows() > 1,
             "batch_norm: training needs more than one value a channel, got the shape ", in);
  tape.check(static_cast<bool>(running_mean) == static_cast<bool>(running_var) &&
                 (by_batch || running_mean),
             "batch_norm: expected a running mean and variance",
             by_batch ? ", or neither" : ", by which evaluation normalises");
  for (const Buffer<T>& buffer : {running_mean, running_var})
    if (buffer)
      tape.check(buffer.info().shape == Shape{in.back()}, "batch_norm: ", buffer.info().name,
                 ": expected ", in.back(), " channels, got the shape ", buffer.info().shape);
  const BatchNormAttributes<T> attributes{running_mean,
                                          running_var,
                                          options.momentum,
                                          {in.rows(), in.back(), options.eps},
                                          options.frozen};
  const Shape statistics{in.back()};
  return tape.apply(batch_norm_op<T>, attributes, {x, weight, bias}, in,
                    {statistics, statistics, statistics,
                     Shape{kernels::batch_norm_affine_size(attributes.dims)}});
}

}  // namespace anther::inline v0_1
