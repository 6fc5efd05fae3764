// A data set: numbered images, each with a label.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "anther/data/vision/image.hpp"

namespace anther::inline v0_1::data {

// Indices run from 0 to size() - 1. All functions may be called from several threads at once.
class Dataset {
 public:
  virtual ~Dataset() = default;

  virtual std::int64_t size() const = 0;
  // The decoded image. Throws Error, naming the file, where it cannot be decoded.
  virtual vision::Image image(std::int64_t index) const = 0;
  // The class, from 0 to class_names().size() - 1.
  virtual int label(std::int64_t index) const = 0;
  // What to call the image in a message: its file's path.
  virtual std::string name(std::int64_t index) const = 0;
  virtual const std::vector<std::string>& class_names() const = 0;
};

using DatasetPointer = std::shared_ptr<const Dataset>;

}  // namespace anther::inline v0_1::data
