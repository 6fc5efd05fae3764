// An image set: numbered images, each of a class. With a way to prepare an image it is a data set.
//
//   Loader loader(prepared(images, Preprocess{.image_size = 128}), {.batch_size = 64});
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/data/dataset.hpp"
#include "anther/data/vision/image.hpp"
#include "anther/data/vision/transforms.hpp"

namespace anther::inline v0_1::vision {

// Images are numbered from 0 to size() - 1. All functions may be called from several threads at
// once.
class ImageSet {
 public:
  virtual ~ImageSet() = default;

  virtual std::int64_t size() const = 0;
  // The decoded image. Throws Error, naming the file, if it cannot be decoded.
  virtual Image image(std::int64_t index) const = 0;
  // The class, from 0 to class_names().size() - 1.
  virtual int label(std::int64_t index) const = 0;
  // The name of the image in messages: the path of its file.
  virtual std::string name(std::int64_t index) const = 0;
  // That path; empty where the image is no file of its own.
  virtual std::filesystem::path path(std::int64_t) const { return {}; }
  virtual const std::vector<std::string>& class_names() const = 0;
};

using ImageSetPointer = std::shared_ptr<const ImageSet>;

// Prepares one image: writes height * width * 3 floats. Called from several threads at once.
// Anything random in it must come from the key.
using ImageTransform = std::function<void(const Image& image, RandomKey key, float* out)>;

// The images of a set, each prepared by a function: inputs (height, width, 3), targets a class.
class PreparedImages final : public data::Dataset {
 public:
  PreparedImages(ImageSetPointer images, std::int64_t height, std::int64_t width,
                 ImageTransform transform)
      : images_(std::move(images)),
        height_(height),
        width_(width),
        transform_(std::move(transform)) {
    detail::check(images_ != nullptr, "images: expected an image set, got none");
    detail::check(height >= 1 && width >= 1, "images: expected at least 1 x 1 pixels, got ", height,
                  " x ", width);
  }

  const ImageSet& images() const { return *images_; }
  std::int64_t size() const override { return images_->size(); }
  Shape input_shape() const override { return {height_, width_, 3}; }
  data::TargetSpec target() const override { return data::classes(); }
  void load(std::int64_t index, RandomKey key, const data::Sample& sample) const override {
    transform_(images_->image(index), key, sample.input.data());
    sample.classes[0] = images_->label(index);
  }
  std::string name(std::int64_t index) const override { return images_->name(index); }
  const std::vector<std::string>& class_names() const override { return images_->class_names(); }

 private:
  ImageSetPointer images_;
  std::int64_t height_, width_;
  ImageTransform transform_;
};

inline data::DatasetPointer prepared(ImageSetPointer images, std::int64_t height,
                                     std::int64_t width, ImageTransform transform) {
  return std::make_shared<const PreparedImages>(std::move(images), height, width,
                                                std::move(transform));
}
// As for evaluation: nothing is random.
ANTHER_ONCE data::DatasetPointer prepared(ImageSetPointer images, const Preprocess& preprocess) {
  return prepared(std::move(images), preprocess.image_size, preprocess.image_size,
                  [transform = Transform(preprocess)](const Image& image, RandomKey, float* out) {
                    transform(image, out);
                  });
}

}  // namespace anther::inline v0_1::vision
