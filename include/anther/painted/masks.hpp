// Painted flowers with their masks: a data set to learn segmentation from. Inputs are images (S, S,
// 3) with levels between 0 and 1; the target is a map (S, S) of classes: 0 background, 1 flower.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "anther/data/dataset.hpp"
#include "anther/painted/painted.hpp"

namespace anther::inline v0_1::painted {

class FlowerMasks final : public data::Dataset {
 public:
  explicit FlowerMasks(const PaintedOptions& options)
      : flowers_(options), side_(options.image_size) {}

  std::int64_t size() const override { return flowers_.size(); }
  Shape input_shape() const override { return {side_, side_, 3}; }
  data::TargetSpec target() const override { return data::classes({side_, side_}); }
  void load(std::int64_t index, RandomKey, const data::Sample& sample) const override {
    const PaintedFlowers::Painted painted = flowers_.painted(index);
    for (std::size_t i = 0; i < sample.input.size(); ++i)
      sample.input[i] = static_cast<float>(painted.image.pixels[i]) / 255;
    std::copy(painted.mask.begin(), painted.mask.end(), sample.classes.begin());
  }
  std::string name(std::int64_t index) const override { return flowers_.name(index); }
  const std::vector<std::string>& class_names() const override { return class_names_; }

 private:
  PaintedFlowers flowers_;
  std::int64_t side_;
  std::vector<std::string> class_names_ = {"background", "flower"};
};

}  // namespace anther::inline v0_1::painted
