// Samples held in memory: rows of features with a target each; and parts of any data set.
//
//   auto table = data::read_table("houses.csv", {.target = "price"});
//   auto [train, val] = data::split(table, 0.1, seed);
//   data::Loader loader(train, {.batch_size = 64, .shuffle = true});
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/core/tensor.hpp"
#include "anther/data/batch.hpp"
#include "anther/data/dataset.hpp"
#include "anther/io/csv.hpp"

namespace anther::inline v0_1::data {

// Inputs (N, ...), each with a target: a number, a vector or a map of numbers, in a tensor (N) or
// (N, ...); or a class or a map of classes.
class Table final : public Dataset {
 public:
  Table(Tensor<float> inputs, const Tensor<float>& targets)
      : Table(std::move(inputs), targets.shape(), TargetSpec::Kind::numbers) {
    values_.assign(targets.begin(), targets.end());
  }
  // labels: for each sample as many as target_shape has elements, which is one for the shape {}.
  Table(Tensor<float> inputs, std::vector<std::int32_t> labels, const Shape& target_shape = {},
        std::vector<std::string> class_names = {})
      : Table(std::move(inputs), Shape{}, TargetSpec::Kind::classes) {
    target_.shape = target_shape;
    detail::check(std::ssize(labels) == size() * target_.size(), "table: expected ",
                  size() * target_.size(), " labels for ", size(), " samples, got ", labels.size());
    if (!class_names.empty())
      for (std::size_t i = 0; i < labels.size(); ++i)
        detail::check(labels[i] < std::ssize(class_names), "table: expected labels below ",
                      class_names.size(), ", the names of classes, got ", labels[i], " of row ",
                      static_cast<std::int64_t>(i) / target_.size() + 1);
    labels_ = std::move(labels);
    class_names_ = std::move(class_names);
  }

  std::int64_t size() const override { return inputs_.shape()[0]; }
  Shape input_shape() const override { return input_shape_; }
  TargetSpec target() const override { return target_; }
  std::string name(std::int64_t index) const override { return "row " + std::to_string(index + 1); }
  const std::vector<std::string>& class_names() const override { return class_names_; }
  void load(std::int64_t index, RandomKey, const Sample& sample) const override {
    std::copy_n(inputs_.data() + index * std::ssize(sample.input), sample.input.size(),
                sample.input.begin());
    const std::int64_t at = index * target_.size();
    if (!labels_.empty())
      std::copy_n(labels_.begin() + at, target_.size(), sample.classes.begin());
    else
      std::copy_n(values_.begin() + at, target_.size(), sample.numbers.begin());
  }

 private:
  Table(Tensor<float> inputs, const Shape& targets, TargetSpec::Kind kind)
      : inputs_(std::move(inputs)) {
    const Shape& shape = inputs_.shape();
    detail::check(shape.rank() >= 1, "table: expected inputs (N, ...), got ", shape);
    for (int axis = 1; axis < shape.rank(); ++axis) input_shape_.push_back(shape[axis]);
    target_.kind = kind;
    if (kind != TargetSpec::Kind::numbers) return;
    detail::check(targets.rank() >= 1 && targets[0] == shape[0],
                  "table: expected a target for each of ", shape[0], " samples, got the shape ",
                  targets);
    for (int axis = 1; axis < targets.rank(); ++axis) target_.shape.push_back(targets[axis]);
  }

  Tensor<float> inputs_;
  Shape input_shape_;
  TargetSpec target_;
  std::vector<std::int32_t> labels_;
  std::vector<float> values_;
  std::vector<std::string> class_names_;
};

struct TableOptions {
  std::string target;                      // the column to learn; required
  std::vector<std::string> features = {};  // the other columns to use, in order; empty: all
};

// Reads a table of numbers from a CSV file: the features are the inputs, the target is a number.
// Throws, naming the file, if a column that is named is missing or there several times, or a cell
// that is used is not a number that a float can hold; and if a feature is named twice, or is the
// target.
ANTHER_ONCE std::shared_ptr<const Table> read_table(const std::filesystem::path& path,
                                                    const TableOptions& options) {
  const io::CsvTable csv = io::read_csv(path, {.foreign = true});
  const auto place_of = [&](const std::string& name) {
    const auto count = std::ranges::count(csv.columns, name);
    detail::check(count == 1, path.string(), ": expected a column \"", name, "\", found ",
                  count == 0 ? "none" : "several");
    return static_cast<std::size_t>(std::ranges::find(csv.columns, name) - csv.columns.begin());
  };
  const std::size_t target = place_of(options.target);
  std::vector<std::size_t> places;
  for (const std::string& name : options.features) {
    const std::size_t place = place_of(name);
    detail::check(place != target && std::ranges::count(places, place) == 0, path.string(),
                  ": expected features without the target and each once, got \"", name,
                  place == target ? "\", the target" : "\" twice");
    places.push_back(place);
  }
  if (places.empty())  // by place: names that are not asked for may be there twice
    for (std::size_t place = 0; place < csv.columns.size(); ++place)
      if (place != target) places.push_back(place);
  detail::check(!places.empty(), path.string(), ": expected columns beside the target");
  places.push_back(target);
  const std::int64_t rows = std::ssize(csv.rows), features = std::ssize(places) - 1;
  Tensor<float> inputs({rows, features}), targets({rows});
  for (std::int64_t row = 0; row < rows; ++row)
    for (std::size_t column = 0; column < places.size(); ++column) {
      const double cell = csv.rows[static_cast<std::size_t>(row)][places[column]];
      const auto value = static_cast<float>(cell);
      if (!std::isfinite(value))
        detail::fail(
            path.string(), ": line ", row + 2, ", column \"", csv.columns[places[column]],
            "\": expected a number",
            std::isfinite(cell) ? detail::text_of(" that a float can hold, got ", cell) : "");
      float& to = column < static_cast<std::size_t>(features)
                      ? inputs[row * features + static_cast<std::int64_t>(column)]
                      : targets[row];
      to = value;
    }
  return std::make_shared<const Table>(std::move(inputs), targets);
}

// Some samples of a data set, in any order.
class Subset final : public Dataset {
 public:
  Subset(DatasetPointer data, std::vector<std::int64_t> indices)
      : data_(std::move(data)), indices_(std::move(indices)) {
    detail::check(data_ != nullptr, "subset: expected a data set, got none");
    for (const std::int64_t index : indices_)
      detail::check(index >= 0 && index < data_->size(), "subset: expected indices below ",
                    data_->size(), ", got ", index);
  }

  std::int64_t size() const override { return std::ssize(indices_); }
  Shape input_shape() const override { return data_->input_shape(); }
  TargetSpec target() const override { return data_->target(); }
  void load(std::int64_t index, RandomKey key, const Sample& sample) const override {
    data_->load(at(index), key, sample);
  }
  std::string name(std::int64_t index) const override { return data_->name(at(index)); }
  const std::vector<std::string>& class_names() const override { return data_->class_names(); }

 private:
  std::int64_t at(std::int64_t index) const { return indices_[static_cast<std::size_t>(index)]; }

  DatasetPointer data_;
  std::vector<std::int64_t> indices_;
};

// Two parts of a data set: `second` has about `share` of the samples, chosen at random by the seed,
// and `first` has the others. Each has at least one, in the order of the data set.
struct SplitParts {
  DatasetPointer first, second;
};
ANTHER_ONCE SplitParts split(const DatasetPointer& data, double share, std::uint64_t seed) {
  detail::check(data != nullptr && data->size() >= 2,
                "split: expected a data set of at least 2 samples");
  detail::check(share > 0 && share < 1, "split: expected a share between 0 and 1, got ", share);
  const std::int64_t all = data->size();
  const auto wanted = static_cast<std::int64_t>(std::lround(share * static_cast<double>(all)));
  const std::int64_t second = std::clamp<std::int64_t>(wanted, 1, all - 1);
  const std::vector<std::int64_t> order =
      epoch_order(all, true, RandomKey(seed).fold("split").value(), 0);
  std::vector<std::int64_t> parts[2] = {{order.begin() + second, order.end()},
                                        {order.begin(), order.begin() + second}};
  for (auto& part : parts) std::ranges::sort(part);
  return {std::make_shared<const Subset>(data, std::move(parts[0])),
          std::make_shared<const Subset>(data, std::move(parts[1]))};
}

}  // namespace anther::inline v0_1::data
