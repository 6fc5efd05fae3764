// LSTM (Hochreiter and Schmidhuber 1997) and GRU (Cho et al. 2014) over sequences, as PyTorch
// computes them. gx (samples, steps, gates hidden): what the input gives to the gates, bias
// included; weight (gates hidden, hidden) and bias (gates hidden): what the state before gives to
// them.
//   LSTM: i, f, o = sigmoid, g = tanh of gx + h W^T + bias;  c = f c + i g;  h = o tanh(c).
//   GRU:  r, z = sigmoid of gx + h W^T + bias;  n = tanh(gx_n + r (h W_n^T + bias_n));
//         h = (1 - z) n + z h.
// y (samples, steps, hidden) has h; steps may also come before samples. Backward needs y, the gates
// as they were computed (LSTM i, f, g, o; GRU r, z, n and h W_n^T + bias_n) and LSTM's cells c.
// Threads share the samples.
#pragma once

#include <algorithm>
#include <cstdint>

#include "anther/kernels/elementwise.hpp"
#include "anther/kernels/gemm.hpp"

namespace anther::inline v0_1::kernels {

// The rows are (samples, steps), or (steps, samples) unless batch_first.
struct RecurrentDims {
  std::int64_t samples = 0, steps = 0, hidden = 0;
  std::int64_t batch_first = 0, is_lstm = 0;

  // Calls visit with all members, in their order.
  template <class Visit>
  constexpr decltype(auto) members(const Visit& visit) const {
    return visit(samples, steps, hidden, batch_first, is_lstm);
  }
  std::int64_t width() const { return (is_lstm ? 4 : 3) * hidden; }  // of gx
  std::int64_t rows() const { return samples * steps; }
  // From a sample's row to the next one's at the same step.
  std::int64_t sample_rows() const { return batch_first ? steps : 1; }
  std::int64_t row(std::int64_t sample, std::int64_t step) const {
    return batch_first ? sample * steps + step : step * samples + sample;
  }
};

// h0, c0 (samples, hidden) may be null: zeros. cells and last_cell are LSTM's.
template <class T>
struct RecurrentForward {
  T *y, *gates, *cells, *last_cell;
  const T *gx, *packed, *bias, *h0, *c0;
};

// dgx and dstate (samples, steps, gates hidden): the gradients of gx, and of h W^T + bias, which is
// the same for LSTM. packed: the weight for dh = dstate W. dh, dc (samples, hidden) become the
// gradients of h0 and c0. dy and dlast_cell may be null.
template <class T>
struct RecurrentBackward {
  T *dgx, *dstate, *dh, *dc;
  const T *dy, *dlast_cell, *y, *gates, *cells, *packed, *h0, *c0;
};

#define ANTHER_BODY "anther/kernels/recurrent.inl"
#include "anther/kernels/for_each_isa.inl"

// Elements of workspace for forward.
inline std::int64_t recurrent_workspace(const RecurrentDims& d) {
  return d.is_lstm ? 0 : d.samples * d.width();
}

// Calls body(first, count) for a few samples at a time.
template <class Body>
void for_sequences(const RecurrentDims& d, const Body& body) {
  constexpr std::int64_t most = 16;
  const std::int64_t tiles = (d.samples + most - 1) / most;
  parallel_for(tiles, d.rows() * d.width() * d.hidden / 50, [&](std::int64_t tile) {
    const std::int64_t first = d.samples * tile / tiles;
    body(first, d.samples * (tile + 1) / tiles - first);
  });
}

template <class T>
void recurrent_forward(const RecurrentForward<T>& o, T* workspace, const RecurrentDims& d) {
  const std::int64_t hidden = d.hidden, width = d.width();
  const std::int64_t panels = ANTHER_SELECT(gemm_panels<T>)(width);
  for_sequences(d, [&](std::int64_t first, std::int64_t count) {
    for (std::int64_t t = 0; t < d.steps; ++t) {
      const std::int64_t row = d.row(first, t);
      // LSTM's gates get all sums at once. GRU's need those of the state apart.
      T* const sums = d.is_lstm ? o.gates + row * width : workspace + first * width;
      const std::int64_t sums_stride = d.is_lstm ? d.sample_rows() * width : width;
      const T* const add = d.is_lstm ? o.gx + row * width : nullptr;
      const T* h = t > 0 ? o.y + d.row(first, t - 1) * hidden : nullptr;
      std::int64_t h_stride = d.sample_rows() * hidden;
      if (t == 0 && o.h0) {
        h = o.h0 + first * hidden;
        h_stride = hidden;
      }
      if (h) ANTHER_SELECT(gemm<T>)
      ({sums, add, h, o.packed, o.bias},
       {count, width, hidden, h_stride, sums_stride, d.sample_rows() * width}, 0, panels);
      for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t at = d.row(first + i, t);
        T* const from = sums + i * sums_stride;
        if (!h)
          for (std::int64_t j = 0; j < width; ++j)
            from[j] = (o.bias ? o.bias[j] : T(0)) + (add ? o.gx[at * width + j] : T(0));
        const T* const before = h ? h + i * h_stride : nullptr;
        if (d.is_lstm) {
          const T* c = t > 0  ? o.cells + d.row(first + i, t - 1) * hidden
                       : o.c0 ? o.c0 + (first + i) * hidden
                              : nullptr;
          ANTHER_SELECT(lstm_cell_forward<T>)
          (o.y + at * hidden, o.cells + at * hidden, from, c, hidden);
        } else {
          ANTHER_SELECT(gru_cell_forward<T>)
          (o.y + at * hidden, o.gates + at * 4 * hidden, o.gx + at * width, from, before, hidden);
        }
      }
    }
    for (std::int64_t i = first; d.is_lstm && i < first + count; ++i)
      std::copy_n(o.cells + d.row(i, d.steps - 1) * hidden, hidden, o.last_cell + i * hidden);
  });
}

template <class T>
void recurrent_backward(const RecurrentBackward<T>& o, const RecurrentDims& d) {
  const std::int64_t hidden = d.hidden, width = d.width();
  const std::int64_t panels = ANTHER_SELECT(gemm_panels<T>)(hidden);
  for_sequences(d, [&](std::int64_t first, std::int64_t count) {
    T* const dh = o.dh + first * hidden;
    T* const dc = d.is_lstm ? o.dc + first * hidden : nullptr;
    std::fill_n(dh, count * hidden, T(0));
    if (dc && o.dlast_cell)
      std::copy_n(o.dlast_cell + first * hidden, count * hidden, dc);
    else if (dc)
      std::fill_n(dc, count * hidden, T(0));
    for (std::int64_t t = d.steps; t-- > 0;) {
      for (std::int64_t i = 0; i < count; ++i) {
        const std::int64_t at = d.row(first + i, t), before = d.row(first + i, t - 1) * hidden;
        const std::int64_t state = (first + i) * hidden;
        T *const dh_here = dh + i * hidden, *const dstate = o.dstate + at * width;
        const T* const dy = o.dy ? o.dy + at * hidden : nullptr;
        const T* const gates = o.gates + at * 4 * hidden;
        if (d.is_lstm) {
          const T* const c = t > 0 ? o.cells + before : o.c0 ? o.c0 + state : nullptr;
          ANTHER_SELECT(lstm_cell_backward<T>)
          (dstate, dh_here, dc + i * hidden, dy, gates, o.cells + at * hidden, c, hidden);
        } else {
          const T* const h = t > 0 ? o.y + before : o.h0 ? o.h0 + state : nullptr;
          ANTHER_SELECT(gru_cell_backward<T>)
          (dstate, o.dgx + at * width, dh_here, dy, gates, h, hidden);
        }
      }
      // LSTM's state before has a part in the gates alone, GRU's in the result too.
      ANTHER_SELECT(gemm<T>)
      ({dh, d.is_lstm ? nullptr : dh, o.dstate + d.row(first, t) * width, o.packed, nullptr},
       {count, hidden, width, d.sample_rows() * width, hidden, hidden}, 0, panels);
    }
  });
}

// The states before each step, in the rows' order: h (rows, hidden).
template <class T>
void recurrent_states_before(T* h, const T* y, const T* h0, const RecurrentDims& d) {
  for (std::int64_t n = 0; n < d.samples; ++n)
    for (std::int64_t t = 0; t < d.steps; ++t) {
      T* const to = h + d.row(n, t) * d.hidden;
      if (t == 0 && !h0)
        std::fill_n(to, d.hidden, T(0));
      else
        std::copy_n(t > 0 ? y + d.row(n, t - 1) * d.hidden : h0 + n * d.hidden, d.hidden, to);
    }
}

}  // namespace anther::inline v0_1::kernels
