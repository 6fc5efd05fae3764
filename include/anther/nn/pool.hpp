// Pooling and resizing as layers: MaxPool2d, AvgPool2d and AdaptiveAvgPool2d (ops/pool.hpp), and
// Upsample (ops/interpolate.hpp), with PyTorch's names. x (N, H, W, C).
#pragma once

#include "anther/nn/module.hpp"
#include "anther/ops/interpolate.hpp"
#include "anther/ops/pool.hpp"

namespace anther::inline v0_1 {

template <class T>
class MaxPool2d : public Module<T> {
 public:
  MaxPool2d(const Scope<T>& scope, const Extent2d& kernel_size,
            const MaxPool2dOptions& options = {})
      : Module<T>(scope, "MaxPool2d"), kernel_size_(kernel_size), options_(options) {}
  Variable<T> forward(Variable<T> x) const override {
    return max_pool2d(x, kernel_size_, options_);
  }

 private:
  Extent2d kernel_size_;
  MaxPool2dOptions options_;
};

template <class T>
class AvgPool2d : public Module<T> {
 public:
  AvgPool2d(const Scope<T>& scope, const Extent2d& kernel_size,
            const AvgPool2dOptions& options = {})
      : Module<T>(scope, "AvgPool2d"), kernel_size_(kernel_size), options_(options) {}
  Variable<T> forward(Variable<T> x) const override {
    return avg_pool2d(x, kernel_size_, options_);
  }

 private:
  Extent2d kernel_size_;
  AvgPool2dOptions options_;
};

template <class T>
class AdaptiveAvgPool2d : public Module<T> {
 public:
  AdaptiveAvgPool2d(const Scope<T>& scope, const Extent2d& output_size)
      : Module<T>(scope, "AdaptiveAvgPool2d"), output_size_(output_size) {}
  Variable<T> forward(Variable<T> x) const override { return adaptive_avg_pool2d(x, output_size_); }

 private:
  Extent2d output_size_;
};

template <class T>
class Upsample : public Module<T> {
 public:
  Upsample(const Scope<T>& scope, const InterpolateOptions& options)
      : Module<T>(scope, "Upsample"), options_(options) {}
  Variable<T> forward(Variable<T> x) const override { return interpolate(x, options_); }

 private:
  InterpolateOptions options_;
};

}  // namespace anther::inline v0_1
