// LeNet-5 (LeCun et al., "Gradient-Based Learning Applied to Document Recognition", Proc. IEEE
// 1998), in its common form: the second convolution sees all maps of the first, pooling has no
// parameters, and the last layer is linear. Names of parameters are those of PyTorch's tutorials.
//
//   image -> conv1 5x5 -> tanh -> pool -> conv2 5x5 -> tanh -> pool -> fc1 -> fc2 -> fc3
//
// Images of 28 x 28 pixels, as MNIST's, are padded to 32 x 32 like the paper's.
#pragma once

#include <cstdint>

#include "anther/models/registry.hpp"
#include "anther/nn/conv.hpp"
#include "anther/nn/linear.hpp"
#include "anther/ops/permute.hpp"
#include "anther/ops/pointwise.hpp"
#include "anther/ops/pool.hpp"
#include "anther/ops/shape.hpp"

namespace anther::inline v0_1 {

struct LeNet5Options {
  std::int64_t image_size = 28;  // of images that are padded by 2 on each side
  std::int64_t in_channels = 1;
  std::int64_t num_classes = 10;

  template <class Self, class Visit>
  static void members(Self& self, const Visit& visit) {
    visit("image_size", self.image_size);
    visit("in_channels", self.in_channels);
    visit("num_classes", self.num_classes);
  }
  void validate() const {
    detail::check(image_size >= 12 && image_size <= 4096 && image_size % 4 == 0,
                  "image_size: expected a multiple of 4, 12 to 4096, got ", image_size);
    detail::check(in_channels > 0 && in_channels <= 65536, "in_channels: expected 1 to 65536, got ",
                  in_channels);
    detail::check(num_classes > 0 && num_classes <= 10'000'000,
                  "num_classes: expected 1 to 10000000, got ", num_classes);
  }
  Shape sample_shape(std::int64_t) const { return {image_size, image_size, in_channels}; }
  // The side of the maps that fc1 reads.
  std::int64_t last_side() const { return (image_size / 2 - 4) / 2; }
};

// Images (N, H, W, C) to logits (N, num_classes).
template <class T>
class LeNet5 : public Module<T> {
 public:
  using Options = LeNet5Options;

  LeNet5(const Scope<T>& scope, const Options& options)
      : Module<T>(scope, "LeNet5"),
        options_((options.validate(), options)),
        conv1(scope / "conv1", options.in_channels, 6, {.kernel_size = 5, .padding = 2}),
        conv2(scope / "conv2", 6, 16, {.kernel_size = 5}),
        fc1(scope / "fc1", 16 * options.last_side() * options.last_side(), 120),
        fc2(scope / "fc2", 120, 84),
        fc3(scope / "fc3", 84, options.num_classes, {.traits = {.head = true}}) {}

  Variable<T> forward(Variable<T> x) const override {
    x = avg_pool2d(tanh(conv1(x)), 2);
    x = avg_pool2d(tanh(conv2(x)), 2);
    x = flatten(permute(x, {0, 3, 1, 2}));  // in PyTorch's order, so that its weights fit
    return fc3(tanh(fc2(tanh(fc1(x)))));
  }
  const Options& options() const { return options_; }

 private:
  Options options_;
  Conv2d<T> conv1, conv2;
  Linear<T> fc1, fc2, fc3;
};

inline const RegisterModel<LeNet5<float>> registered_lenet5("lenet5");

}  // namespace anther::inline v0_1
