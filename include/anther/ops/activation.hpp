// Activations, element by element: gelu (exact, by the error function) and relu. Backward keeps x.
#pragma once

#include "anther/autograd/tape.hpp"
#include "anther/kernels/elementwise.hpp"
#include "anther/kernels/gelu.hpp"

namespace anther::inline v0_1 {

template <class T>
inline constexpr Op<T> gelu_op = {
    .name = "gelu",
    .forward =
        [](Call<T>& call) {
          gelu_forward(call.output(), call.input(0), call.output_shape().numel());
        },
    .backward =
        [](Call<T>& call) {
          if (const auto dx = call.input_gradient(0))
            gelu_backward(dx.to, dx.add, call.output_gradient(), call.input(0),
                          call.output_shape().numel());
        },
};

// x Phi(x), Phi the normal distribution's (Hendrycks and Gimpel 2016).
template <class T>
Variable<T> gelu(const Variable<T>& x) {
  return x.tape().record(gelu_op<T>, 0, {x}, {x.shape()});
}

template <class T>
inline constexpr Op<T> relu_op = {
    .name = "relu",
    .forward =
        [](Call<T>& call) {
          relu_forward(call.output(), call.input(0), call.output_shape().numel());
        },
    .backward =
        [](Call<T>& call) {
          if (const auto dx = call.input_gradient(0))
            relu_backward<T>(dx.to, dx.add, call.output_gradient(), call.output(),
                             call.output_shape().numel());
        },
};

// max(x, 0)
template <class T>
Variable<T> relu(const Variable<T>& x) {
  return x.tape().record(relu_op<T>, 0, {x}, {x.shape()});
}

}  // namespace anther::inline v0_1
