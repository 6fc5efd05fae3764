// Losses of a prediction and a target of the same shape, element by element, as PyTorch's functions
// of these names: their mean, their sum, or all of them. One op for each formula of
// kernels/loss.hpp. Prediction and target may both want a gradient. Backward keeps them.
#pragma once

#include <cstdint>
#include <limits>
#include <span>

#include "anther/autograd/tape.hpp"
#include "anther/kernels/loss.hpp"
#include "anther/ops/reduction.hpp"

namespace anther::inline v0_1 {

struct LossAttributes {
  double parameter, scale;
  bool each;                 // the losses of the elements, not their sum
  const double* pos_weight;  // of the places of the last axis, or null
};

// Reads the call; pos_weight is written out for all elements.
template <class T>
kernels::LossOperands<T> loss_operands(const Call<T>& call) {
  const double* pos_weight = call.template attributes<LossAttributes>().pos_weight;
  T* weight = nullptr;
  if (pos_weight) {
    const Shape& shape = call.input_shape(0);
    weight = call.workspace(shape.numel());
    for (std::int64_t i = 0; i < shape.numel(); ++i)
      weight[i] = static_cast<T>(pos_weight[i % shape.back()]);
  }
  return {call.input(0), call.input(1), weight};
}

template <class T, kernels::Loss loss>
void loss_forward(Call<T>& call) {
  const auto& a = call.template attributes<LossAttributes>();
  const std::int64_t count = call.input_shape(0).numel();
  const kernels::LossOperands<T> o = loss_operands(call);
  const T parameter = static_cast<T>(a.parameter);
  if (a.each)
    kernels::loss_values<T, loss>(call.output(), o, parameter, static_cast<T>(a.scale), count);
  else
    *call.output() = static_cast<T>(
        a.scale * kernels::loss_sum<T, loss>(
                      o, parameter, call.workspace(kernels::loss_workspace(count)), count));
}

template <class T, kernels::Loss loss>
void loss_backward(Call<T>& call) {
  const auto& a = call.template attributes<LossAttributes>();
  const kernels::LossOperands<T> o = loss_operands(call);
  const T* dy = call.output_gradient();
  const T scale = static_cast<T>(a.each ? a.scale : a.scale * static_cast<double>(*dy));
  for (const int input : {0, 1})
    if (const auto dx = call.input_gradient(input))
      kernels::loss_backward<T, loss>({dx.to, dx.add, a.each ? dy : nullptr, scale, input == 1}, o,
                                      static_cast<T>(a.parameter), call.input_shape(0).numel());
}

template <kernels::Loss loss>
inline constexpr char loss_op_name[] = "loss";
template <>
inline constexpr char loss_op_name<kernels::Loss::mse>[] = "mse_loss";
template <>
inline constexpr char loss_op_name<kernels::Loss::l1>[] = "l1_loss";
template <>
inline constexpr char loss_op_name<kernels::Loss::huber>[] = "huber_loss";
template <>
inline constexpr char loss_op_name<kernels::Loss::bce>[] = "binary_cross_entropy_with_logits";
template <>
inline constexpr char loss_op_name<kernels::Loss::kl>[] = "kl_div";
template <>
inline constexpr char loss_op_name<kernels::Loss::kl_log>[] = "kl_div";

template <class T, kernels::Loss loss>
inline constexpr Op<T> loss_op = {.name = loss_op_name<loss>,
                                  .forward = loss_forward<T, loss>,
                                  .backward = loss_backward<T, loss>};

// factor: multiplies the losses. Throws unless prediction and target have the same shape.
template <class T, kernels::Loss loss>
Variable<T> apply_loss(const Variable<T>& prediction, const Variable<T>& target,
                       const LossOptions& options, double parameter = 0, double factor = 1,
                       const double* pos_weight = nullptr) {
  Tape<T>& tape = prediction.tape();
  const Shape& shape = prediction.shape();
  tape.check(target.shape() == shape, loss_op_name<loss>,
             ": expected a target of the prediction's shape ", shape, ", got ", target.shape());
  const bool each = options.reduction == Reduction::none;
  tape.check(each || shape.numel() > 0, loss_op_name<loss>, ": expected at least one element, got ",
             shape);
  return tape.apply(
      loss_op<T, loss>,
      LossAttributes{parameter, factor * options.scale(shape.numel()), each, pos_weight},
      {prediction, target}, each ? shape : Shape{});
}

// (prediction - target)^2
template <class T>
Variable<T> mse_loss(const Variable<T>& prediction, const Variable<T>& target,
                     const LossOptions& options = {}) {
  return apply_loss<T, kernels::Loss::mse>(prediction, target, options);
}

// |prediction - target|
template <class T>
Variable<T> l1_loss(const Variable<T>& prediction, const Variable<T>& target,
                    const LossOptions& options = {}) {
  return apply_loss<T, kernels::Loss::l1>(prediction, target, options);
}

// With d = |prediction - target|: d^2 / 2 where d < delta, else delta (d - delta / 2).
template <class T>
Variable<T> huber_loss(const Variable<T>& prediction, const Variable<T>& target, double delta = 1,
                       const LossOptions& options = {}) {
  prediction.tape().check(delta > 0, "huber_loss: expected a delta of more than 0, got ", delta);
  return apply_loss<T, kernels::Loss::huber>(prediction, target, options, delta);
}

// d^2 / (2 beta) where d < beta, else d - beta / 2; with a beta of 0, l1_loss.
template <class T>
Variable<T> smooth_l1_loss(const Variable<T>& prediction, const Variable<T>& target,
                           double beta = 1, const LossOptions& options = {}) {
  prediction.tape().check(beta >= 0, "smooth_l1_loss: expected a beta of at least 0, got ", beta);
  // Nor can T hold the reciprocal of a smaller one.
  if (beta * static_cast<double>(std::numeric_limits<T>::max()) <= 1)
    return l1_loss(prediction, target, options);
  return apply_loss<T, kernels::Loss::huber>(prediction, target, options, beta, 1 / beta);
}

// -(p target log sigmoid(logits) + (1 - target) log(1 - sigmoid(logits))), p = pos_weight at the
// place of the last axis, or 1.
template <class T>
Variable<T> binary_cross_entropy_with_logits(const Variable<T>& logits, const Variable<T>& target,
                                             std::span<const double> pos_weight = {},
                                             const LossOptions& options = {}) {
  Tape<T>& tape = logits.tape();
  const Shape& shape = logits.shape();
  const std::int64_t weights = std::ssize(pos_weight);
  tape.check(weights == 0 || (shape.rank() > 0 && weights == shape.back()),
             "binary_cross_entropy_with_logits: expected a pos_weight for each place of the last "
             "axis of ",
             shape, ", got ", weights);
  const double* kept = weights > 0 ? tape.keep(pos_weight) : nullptr;
  return apply_loss<T, kernels::Loss::bce>(logits, target, options, 0, 1, kept);
}

// target (log target - input) of probabilities, and input their logarithms; with log_target both
// are logarithms: e^target (target - input).
template <class T>
Variable<T> kl_div(const Variable<T>& input, const Variable<T>& target, bool log_target = false,
                   const LossOptions& options = {}) {
  return log_target ? apply_loss<T, kernels::Loss::kl_log>(input, target, options)
                    : apply_loss<T, kernels::Loss::kl>(input, target, options);
}

}  // namespace anther::inline v0_1
