// Random omissions, in training only: dropout (Srivastava et al. 2014) drops elements; drop_path
// (stochastic depth, Huang et al. 2016) drops the branch of a whole sample. What is kept is scaled
// by 1 / (1 - p). Both draw from the tape's key, the layer's path and the number of the sample, so
// that a result does not depend on micro-batches or threads. Backward draws again, and keeps
// nothing.
#pragma once

#include "anther/autograd/tape.hpp"
#include "anther/kernels/elementwise.hpp"
#include "anther/kernels/mixed_maps.hpp"

namespace anther::inline v0_1 {

struct DropAttributes {
  double p;
  std::uint64_t call;  // tells the draws of a pass apart: Tape::next_draw()
};

// The random key of an op's call.
template <class T>
RandomKey drop_key(const Call<T>& call, std::string_view purpose, const DropAttributes& drop) {
  return call.random().fold(purpose).fold(call.layer()).fold(drop.call);
}
template <class T>
RandomKey drop_key(const Call<T>& call, std::string_view purpose) {
  return drop_key(call, purpose, call.template attributes<DropAttributes>());
}

// The first axis counts samples; a scalar is one.
template <class T>
std::int64_t drop_samples(const Call<T>& call) {
  return call.output_shape().rank() == 0 ? 1 : call.output_shape()[0];
}

// y = y_add + dropout(x), sample by sample.
template <class T>
void dropout_samples(const Call<T>& call, T* y, const T* y_add, const T* x) {
  const std::int64_t samples = drop_samples(call);
  const std::int64_t size = samples > 0 ? call.output_shape().numel() / samples : 0;
  const RandomKey key = drop_key(call, "dropout");
  for (std::int64_t n = 0; n < samples; ++n)
    kernels::dropout<T>(y + n * size, y_add ? y_add + n * size : nullptr, x + n * size, size,
                        call.template attributes<DropAttributes>().p,
                        key.fold(static_cast<std::uint64_t>(call.options().first_sample + n)));
}

template <class T>
inline constexpr Op<T> dropout_op = {
    .name = "dropout",
    .forward =
        [](Call<T>& call) { dropout_samples<T>(call, call.output(), nullptr, call.input(0)); },
    .backward =
        [](Call<T>& call) {
          if (const auto dx = call.input_gradient(0))
            dropout_samples<T>(call, dx.to, dx.add, call.output_gradient());
        },
};

// p in [0, 1). The first axis counts samples; a scalar is one.
template <class T>
Variable<T> dropout(const Variable<T>& x, double p) {
  Tape<T>& tape = x.tape();
  tape.check(p >= 0 && p < 1, "dropout: expected a probability in [0, 1), got ", p);
  if (p == 0 || !tape.options().training) return x;
  return tape.apply(dropout_op<T>, DropAttributes{p, tape.next_draw()}, {x}, x.shape());
}

// factors[n] = 0 or 1 / (1 - p).
template <class T>
T* drop_path_factors(const Call<T>& call) {
  const std::int64_t samples = drop_samples(call);
  const double p = call.template attributes<DropAttributes>().p;
  const RandomKey key = drop_key(call, "drop_path");
  T* factors = call.workspace(samples);
  for (std::int64_t n = 0; n < samples; ++n) {
    const auto sample = static_cast<std::uint64_t>(call.options().first_sample + n);
    factors[n] = uniform(key, sample) >= p ? static_cast<T>(1 / (1 - p)) : T(0);
  }
  return factors;
}

// The samples of an op's result.
template <class T>
kernels::SampleDims drop_path_samples(const Call<T>& call) {
  const std::int64_t samples = drop_samples(call);
  return {.samples = samples,
          .size = call.output_shape().numel() / std::max<std::int64_t>(1, samples)};
}

template <class T>
inline constexpr Op<T> drop_path_op = {
    .name = "drop_path",
    .forward =
        [](Call<T>& call) {
          kernels::scale_samples<T>(call.output_map(), call.add_map(), call.input_map(0),
                                    drop_path_factors(call), drop_path_samples(call));
        },
    .backward =
        [](Call<T>& call) {
          const T* factors = drop_path_factors(call);
          const kernels::MixedMap<const T> dy{call.output_gradient(),
                                              call.output_gradient_is_bf16()};
          if (std::uint16_t* const map_dx = call.bf16_input_gradient())
            kernels::scale_samples<T>({reinterpret_cast<T*>(map_dx), true}, {}, dy, factors,
                                      drop_path_samples(call));
          else if (const auto dx = call.input_gradient(0))
            kernels::scale_samples<T>({dx.to}, {dx.add}, dy, factors, drop_path_samples(call));
        },
    .takes_add = true,
    .stores_bf16 = true,
    .reads_bf16 = true,
};

// p in [0, 1). The first axis counts samples; a scalar is one.
template <class T>
Variable<T> drop_path(const Variable<T>& x, double p) {
  Tape<T>& tape = x.tape();
  tape.check(p >= 0 && p < 1, "drop_path: expected a probability in [0, 1), got ", p);
  if (p == 0 || !tape.options().training) return x;
  return tape.apply(drop_path_op<T>, DropAttributes{p, tape.next_draw()}, {x}, x.shape());
}

}  // namespace anther::inline v0_1
