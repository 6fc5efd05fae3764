// LSTM and GRU over sequences, one op each: see kernels/recurrent.hpp for the formulas. gx (N, T,
// gates H), or (T, N, gates H), is what the input gives to the gates (a linear layer's result);
// weight (gates H, H) and bias (gates H) are PyTorch's weight_hh and bias_hh. The gates' order is
// PyTorch's. Backward keeps the gates, and LSTM's cells.
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/autograd/tape.hpp"
#include "anther/kernels/recurrent.hpp"
#include "anther/ops/linear.hpp"

namespace anther::inline v0_1 {

// Inputs: gx, weight, bias, h0, c0. Results: y, LSTM's last cell; kept: the gates, LSTM's cells.
template <class T>
void recurrent_forward(Call<T>& call) {
  const auto& d = call.template attributes<kernels::RecurrentDims>();
  const T* packed = call.packed(1, PackUse::forward, linear_pack(d.width(), d.hidden));
  const bool lstm = d.is_lstm != 0;
  kernels::recurrent_forward<T>(
      {call.output(), call.output(lstm ? 2 : 1), lstm ? call.output(3) : nullptr,
       lstm ? call.output(1) : nullptr, call.input(0), packed, call.input(2), call.input(3),
       lstm ? call.input(4) : nullptr},
      call.workspace(kernels::recurrent_workspace(d)), d);
}

template <class T>
void recurrent_backward(Call<T>& call) {
  const auto& d = call.template attributes<kernels::RecurrentDims>();
  const std::int64_t width = d.width(), states = d.samples * d.hidden;
  const bool lstm = d.is_lstm != 0;
  const auto dgx = call.input_gradient(0);
  T* const dstate = call.workspace(d.rows() * width);
  T* const own = lstm ? dstate : dgx && !dgx.add ? dgx.to : call.workspace(d.rows() * width);
  T *const dh = call.workspace(states), *const dc = call.workspace(states);
  kernels::recurrent_backward<T>(
      {own, dstate, dh, dc, call.output_gradient(), lstm ? call.output_gradient(1) : nullptr,
       call.output(), call.output(lstm ? 2 : 1), lstm ? call.output(3) : nullptr,
       call.packed(
           1, PackUse::input_gradient,
           {.columns = d.hidden, .depth = width, .column_stride = 1, .depth_stride = d.hidden}),
       call.input(3), lstm ? call.input(4) : nullptr},
      d);
  if (dgx && own != dgx.to) kernels::scale<T>(dgx.to, dgx.add, own, T(1), d.rows() * width);
  if (const auto dweight = call.input_gradient(1)) {
    call.start(dweight, width * d.hidden);
    T* const before = call.workspace(d.rows() * d.hidden);
    kernels::recurrent_states_before<T>(before, call.output(), call.input(3), d);
    const kernels::GemmTnDims product{.rows = d.rows(),
                                      .outs = width,
                                      .columns = d.hidden,
                                      .dy_stride = width,
                                      .x_stride = d.hidden,
                                      .dw_stride = d.hidden};
    kernels::gemm_tn<T>(dweight.to, dstate, before,
                        call.workspace(kernels::gemm_tn_workspace<T>(product)), product);
  }
  bias_backward(call, dstate, d.rows());
  if (const auto dh0 = call.input_gradient(3)) kernels::scale<T>(dh0.to, dh0.add, dh, T(1), states);
  if (!lstm) return;
  if (const auto dc0 = call.input_gradient(4)) kernels::scale<T>(dc0.to, dc0.add, dc, T(1), states);
}

template <class T>
std::int64_t recurrent_macs(const Call<T>& call) {
  const auto& d = call.template attributes<kernels::RecurrentDims>();
  return d.rows() * d.width() * d.hidden;
}

inline constexpr char gru_op_name[] = "gru";
template <class T>
inline constexpr Op<T> gru_op = {.name = gru_op_name,
                                 .forward = recurrent_forward<T>,
                                 .backward = recurrent_backward<T>,
                                 .macs = recurrent_macs<T>};
inline constexpr char lstm_op_name[] = "lstm";
template <class T>
inline constexpr Op<T> lstm_op = {.name = lstm_op_name,
                                  .forward = recurrent_forward<T>,
                                  .backward = recurrent_backward<T>,
                                  .macs = recurrent_macs<T>};

// Throws unless the shapes fit; an absent bias or state is an empty variable.
template <class T>
kernels::RecurrentDims recurrent_dims(const char* op, const Variable<T>& gx,
                                      const Variable<T>& weight, const Variable<T>& bias,
                                      const Variable<T>& h0, const Variable<T>& c0,
                                      bool batch_first) {
  Tape<T>& tape = gx.tape();
  const Shape &in = gx.shape(), &w = weight.shape();
  const std::int64_t gates = op == lstm_op_name ? 4 : 3;
  tape.check(in.rank() == 3 && w.rank() == 2 && w[0] == gates * w[1] && in.back() == w[0], op,
             ": expected gates (N, T, ", gates, " H) and a weight (", gates, " H, H), got ", in,
             " and ", w);
  tape.check(in[0] > 0 && in[1] > 0, op, ": expected at least one sequence of one step, got ", in);
  if (bias)
    tape.check(bias.shape() == Shape{w[0]}, op, ": expected a bias of the shape ", Shape{w[0]},
               ", got ", bias.shape());
  const std::int64_t samples = in[batch_first ? 0 : 1], steps = in[batch_first ? 1 : 0];
  for (const Variable<T>& state : {h0, c0})
    if (state)
      tape.check(state.shape() == Shape{samples, w[1]}, op, ": expected a state of the shape ",
                 Shape{samples, w[1]}, ", got ", state.shape());
  return {.samples = samples,
          .steps = steps,
          .hidden = w[1],
          .batch_first = batch_first,
          .is_lstm = gates == 4};
}

// The states h of all steps, (N, T, H), or (T, N, H) unless batch_first. h0 (N, H); empty: zeros.
template <class T>
Variable<T> gru(const Variable<T>& gx, const Variable<T>& weight, const Variable<T>& bias = {},
                const Variable<T>& h0 = {}, bool batch_first = true) {
  const auto d = recurrent_dims<T>(gru_op_name, gx, weight, bias, h0, {}, batch_first);
  const Shape& in = gx.shape();
  return gx.tape().apply(gru_op<T>, d, {gx, weight, bias, h0}, Shape{in[0], in[1], d.hidden},
                         {Shape{in[0], in[1], 4 * d.hidden}});
}

template <class T>
struct LstmResult {
  Variable<T> y, cell;  // h of all steps; c of the last one, (N, H)
};
template <class T>
LstmResult<T> lstm(const Variable<T>& gx, const Variable<T>& weight, const Variable<T>& bias = {},
                   const Variable<T>& h0 = {}, const Variable<T>& c0 = {},
                   bool batch_first = true) {
  const auto d = recurrent_dims<T>(lstm_op_name, gx, weight, bias, h0, c0, batch_first);
  const Shape& in = gx.shape();
  const Variable<T> inputs[] = {gx, weight, bias, h0, c0};
  const Shape y{in[0], in[1], d.hidden};
  const Shape results[] = {y, Shape{d.samples, d.hidden}};
  const Shape kept[] = {Shape{in[0], in[1], 4 * d.hidden}, y};
  const auto all = gx.tape().apply_many(lstm_op<T>, d, inputs, results, kept);
  return {all[0], all[1]};
}

}  // namespace anther::inline v0_1
