// The squared error of a prediction and a target of the same shape:
//   loss = scale * sum over elements of (prediction - target)^2.
#pragma once

#include <cstdint>

#include "anther/autograd/tape.hpp"

namespace anther::inline v0_1 {

struct MseOptions {
  // What the sum is divided by; 0: the number of elements.
  std::int64_t count = 0;
};

struct MseAttributes {
  double scale;
};

template <class T>
inline constexpr Op<T> mse_loss_op = {
    .name = "mse_loss",
    .forward =
        [](Call<T>& call) {
          const T* prediction = call.input(0);
          const T* target = call.input(1);
          double sum = 0;
          for (std::int64_t i = 0; i < call.input_shape(0).numel(); ++i) {
            const double difference =
                static_cast<double>(prediction[i]) - static_cast<double>(target[i]);
            sum += difference * difference;
          }
          *call.output() = static_cast<T>(call.template attributes<MseAttributes>().scale * sum);
        },
    .backward =
        [](Call<T>& call) {
          const std::int64_t size = call.input_shape(0).numel();
          const T factor = static_cast<T>(2 * call.template attributes<MseAttributes>().scale *
                                          static_cast<double>(*call.output_gradient()));
          const T* prediction = call.input(0);
          const T* target = call.input(1);
          for (const int input : {0, 1}) {
            const auto gradient = call.input_gradient(input);
            const T own = input == 0 ? factor : -factor;
            for (std::int64_t i = 0; gradient && i < size; ++i) {
              const T contribution = own * (prediction[i] - target[i]);
              gradient.to[i] = gradient.add ? gradient.add[i] + contribution : contribution;
            }
          }
        },
};

// prediction and target have the same shape; both may want a gradient. The result is a scalar.
template <class T>
Variable<T> mse_loss(const Variable<T>& prediction, const Variable<T>& target,
                     const MseOptions& options = {}) {
  Tape<T>& tape = prediction.tape();
  const Shape& shape = prediction.shape();
  tape.check(target.shape() == shape, "mse_loss: expected a target of the prediction's shape ",
             shape, ", got ", target.shape());
  tape.check(shape.numel() > 0, "mse_loss: expected at least one element, got ", shape);
  const std::int64_t count = options.count > 0 ? options.count : shape.numel();
  return tape.apply(mse_loss_op<T>, MseAttributes{1 / static_cast<double>(count)},
                    {prediction, target}, Shape{});
}

}  // namespace anther::inline v0_1
