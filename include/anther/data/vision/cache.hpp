// A data set that keeps decoded images in memory, as many as fit.
//
// An image has the same bits whether it is kept or not. No image is ever given up for another: an
// epoch visits every image once, so a cache that replaced the oldest one would never be asked for
// what it holds.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/data/vision/image_set.hpp"
#include "anther/data/vision/resize.hpp"
#include "anther/data/vision/transforms.hpp"

namespace anther::inline v0_1::vision {

struct CacheOptions {
  std::int64_t max_bytes = 0;  // of pixels
  // 0: images as they were decoded. Otherwise each image is made smaller, with antialiasing, until
  // its short side is this, whether it is kept or not. That needs much less memory. Results differ
  // a little, because images are resized twice. Smaller images stay as they are.
  std::int64_t short_side = 0;
};

class CachedImages final : public ImageSet {
 public:
  CachedImages(ImageSetPointer base, const CacheOptions& options)
      : base_(std::move(base)), options_(options) {
    detail::check(base_ != nullptr, "cache: expected a data set, got none");
    detail::check(options.max_bytes >= 0, "cache: expected a limit of at least 0 bytes, got ",
                  options.max_bytes);
    detail::check(options.short_side >= 0 && options.short_side <= 32768,
                  "cache: expected a short side of 0 to 32768 pixels, got ", options.short_side);
    kept_.resize(static_cast<std::size_t>(base_->size()));
  }

  std::int64_t size() const override { return base_->size(); }
  int label(std::int64_t index) const override { return base_->label(index); }
  std::string name(std::int64_t index) const override { return base_->name(index); }
  std::filesystem::path path(std::int64_t index) const override { return base_->path(index); }
  const std::vector<std::string>& class_names() const override { return base_->class_names(); }

  Image image(std::int64_t index) const override {
    if (const auto kept = find(index)) return *kept;
    Image image = shrunk(base_->image(index));
    keep(index, image);
    return image;
  }

  // What is in memory now: images, and bytes of pixels.
  std::int64_t images() const {
    const std::lock_guard lock(mutex_);
    return images_;
  }
  std::int64_t bytes() const {
    const std::lock_guard lock(mutex_);
    return bytes_;
  }

 private:
  using Kept = std::shared_ptr<const Image>;

  Kept find(std::int64_t index) const {
    const std::lock_guard lock(mutex_);
    return kept_[static_cast<std::size_t>(index)];
  }

  Image shrunk(Image image) const {
    if (options_.short_side == 0 || std::min(image.width, image.height) <= options_.short_side)
      return image;
    const auto [width, height] = size_of_short_side(image, options_.short_side);
    return resize_antialias(image, width, height);
  }

  // Keeps the image if there is room and no other thread has kept it meanwhile.
  void keep(std::int64_t index, const Image& image) const {
    const auto bytes = static_cast<std::int64_t>(image.pixels.size());
    const std::lock_guard lock(mutex_);
    Kept& place = kept_[static_cast<std::size_t>(index)];
    if (place || bytes > options_.max_bytes - bytes_) return;
    place = std::make_shared<const Image>(image);
    bytes_ += bytes;
    ++images_;
  }

  ImageSetPointer base_;
  CacheOptions options_;
  mutable std::mutex mutex_;
  mutable std::vector<Kept> kept_;
  mutable std::int64_t bytes_ = 0, images_ = 0;
};

}  // namespace anther::inline v0_1::vision
