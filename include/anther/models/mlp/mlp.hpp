// A multilayer perceptron, for vectors and for samples of any other shape, which it flattens. Names
// of parameters are those of torchvision.ops.MLP: each hidden layer is a linear layer, an
// activation and dropout, numbered one after another: 0.*, 3.*, 6.*.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "anther/models/registry.hpp"
#include "anther/nn/activation.hpp"
#include "anther/nn/drop.hpp"
#include "anther/nn/linear.hpp"
#include "anther/ops/shape.hpp"

namespace anther::inline v0_1 {

struct MlpOptions {
  std::vector<std::int64_t> sample = {784};  // the shape of a sample
  std::vector<std::int64_t> hidden = {256};  // features of the hidden layers
  std::int64_t num_classes = 10;             // results: classes, or numbers that are predicted
  double dropout = 0;                        // after each hidden layer

  template <class Self, class Visit>
  static void members(Self& self, const Visit& visit) {
    visit("sample", self.sample);
    visit("hidden", self.hidden);
    visit("num_classes", self.num_classes);
    visit("dropout", self.dropout);
  }
  void validate() const {
    constexpr std::int64_t most = 10'000'000;
    detail::check(!sample.empty() && std::ssize(sample) < Shape::max_rank, "sample: expected 1 to ",
                  Shape::max_rank - 1, " extents, got ", sample.size());
    std::int64_t features = 1;
    for (const std::int64_t extent : sample) {
      detail::check(extent > 0 && extent <= most / features,
                    "sample: expected extents of at least 1 and at most ", most,
                    " features, got the extent ", extent);
      features *= extent;
    }
    for (const std::int64_t each : hidden)
      detail::check(each > 0 && each <= most, "hidden: expected 1 to ", most, ", got ", each);
    detail::check(num_classes > 0 && num_classes <= most, "num_classes: expected 1 to ", most,
                  ", got ", num_classes);
  }
  Shape sample_shape(std::int64_t) const {
    Shape shape;
    for (const std::int64_t extent : sample) shape.push_back(extent);
    return shape;
  }
};

// Samples (N, ...) to (N, num_classes).
template <class T>
class Mlp : public Module<T> {
 public:
  using Options = MlpOptions;

  Mlp(const Scope<T>& scope, const Options& options)
      : Module<T>(scope, "MLP"), options_((options.validate(), options)) {
    std::int64_t in = options.sample_shape(0).numel();
    int number = 0;
    for (const std::int64_t out : options.hidden) {
      layers_.emplace_back(std::make_unique<Linear<T>>(scope / number, in, out));
      layers_.emplace_back(std::make_unique<ReLU<T>>(scope / (number + 1)));
      layers_.emplace_back(std::make_unique<Dropout<T>>(scope / (number + 2), options.dropout));
      number += 3;
      in = out;
    }
    layers_.emplace_back(std::make_unique<Linear<T>>(scope / number, in, options.num_classes,
                                                     LinearOptions{.traits = {.head = true}}));
  }

  Variable<T> forward(Variable<T> x) const override {
    x = flatten(x);
    for (const AnyModule<T>& layer : layers_) x = layer(x);
    return x;
  }
  const Options& options() const { return options_; }

 private:
  Options options_;
  std::vector<AnyModule<T>> layers_;
};

inline const RegisterModel<Mlp<float>> registered_mlp("mlp", {.training_options = {"dropout"}});

}  // namespace anther::inline v0_1
