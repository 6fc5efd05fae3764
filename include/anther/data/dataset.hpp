// A data set: numbered samples, each of them an input and a target.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "anther/core/random.hpp"
#include "anther/core/shape.hpp"

namespace anther::inline v0_1::data {

// What the targets of a data set are: a class (classes()), a map of classes (classes({H, W})), a
// number (numbers()), or a vector or several yes-or-no answers (numbers({K})).
struct TargetSpec {
  enum class Kind { none, classes, numbers };
  Kind kind = Kind::none;
  Shape shape = {};  // of one sample's target; {} is a single class or number

  std::int64_t size() const { return kind == Kind::none ? 0 : shape.numel(); }
  friend bool operator==(const TargetSpec&, const TargetSpec&) = default;
};

inline TargetSpec classes(const Shape& shape = {}) {
  return {TargetSpec::Kind::classes, shape};
}
inline TargetSpec numbers(const Shape& shape = {}) {
  return {TargetSpec::Kind::numbers, shape};
}

// Where Dataset::load writes a sample. At least one of the two spans for targets is empty.
struct Sample {
  std::span<float> input;           // of the data set's input_shape()
  std::span<std::int32_t> classes;  // where the target is classes, counted from 0
  std::span<float> numbers;         // where the target is numbers
};

// Samples are numbered from 0 to size() - 1. All functions may be called from several threads at
// once.
class Dataset {
 public:
  virtual ~Dataset() = default;

  virtual std::int64_t size() const = 0;
  virtual Shape input_shape() const = 0;  // of one sample
  virtual TargetSpec target() const = 0;
  // Writes the sample. Anything random in it must come from the key, which differs in each epoch.
  // Throws Error, naming the sample, if it cannot be read.
  virtual void load(std::int64_t index, RandomKey key, const Sample& sample) const = 0;

  // The name of the sample in messages: the path of its file, for example.
  virtual std::string name(std::int64_t index) const { return "sample " + std::to_string(index); }
  // The names of the classes; empty if they have none, or if there are no classes.
  virtual const std::vector<std::string>& class_names() const {
    static const std::vector<std::string> none;
    return none;
  }
};

using DatasetPointer = std::shared_ptr<const Dataset>;

}  // namespace anther::inline v0_1::data
