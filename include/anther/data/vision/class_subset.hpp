// Some of the classes of a data set, to leave the others out, or to fine-tune on them; and some of
// its images, evenly of all classes.
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/data/vision/image_set.hpp"

namespace anther::inline v0_1::vision {

// The classes that a text names, out of so many: numbers from 0 and ranges of them, "0-81" or
// "3,5,7-9", each once, in ascending order. Throws for any other text.
ANTHER_ONCE std::vector<std::int64_t> parse_classes(std::string_view text, std::int64_t count) {
  std::vector<std::int64_t> classes;
  const auto number = [&](std::string_view part) {
    std::int64_t value = -1;
    const auto [rest, error] = std::from_chars(part.data(), part.data() + part.size(), value);
    detail::check(
        error == std::errc() && rest == part.data() + part.size() && value >= 0 && value < count,
        "classes: expected numbers from 0 to ", count - 1, ", like 0-81 or 3,5,7-9, got ", text);
    return value;
  };
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view part = text.substr(begin, end - begin);
    const std::size_t dash = part.find('-');
    const std::int64_t first = number(part.substr(0, dash));
    const std::int64_t last =
        dash == std::string_view::npos ? first : number(part.substr(dash + 1));
    detail::check(first <= last && (classes.empty() || classes.back() < first),
                  "classes: expected each once, in rising order, got ", text);
    for (std::int64_t c = first; c <= last; ++c) classes.push_back(c);
    begin = end + 1;
  }
  return classes;
}

// The images of a data set that are of these classes. The classes are numbered anew from 0, in
// their order.
class ClassSubset : public ImageSet {
 public:
  ClassSubset(ImageSetPointer data, const std::vector<std::int64_t>& classes)
      : data_(std::move(data)) {
    const std::vector<std::string>& names = data_->class_names();
    std::vector<int> label_of(names.size(), -1);
    for (const std::int64_t c : classes) {
      detail::check(c >= 0 && c < std::ssize(names) && label_of[static_cast<std::size_t>(c)] < 0,
                    "classes: expected numbers from 0 to ", std::ssize(names) - 1,
                    ", each once, got ", c);
      label_of[static_cast<std::size_t>(c)] = static_cast<int>(class_names_.size());
      class_names_.push_back(names[static_cast<std::size_t>(c)]);
    }
    for (std::int64_t i = 0; i < data_->size(); ++i) {
      const int label = label_of[static_cast<std::size_t>(data_->label(i))];
      if (label >= 0) images_.push_back({i, label});
    }
  }

  std::int64_t size() const override { return std::ssize(images_); }
  Image image(std::int64_t index) const override { return data_->image(at(index).index); }
  int label(std::int64_t index) const override { return at(index).label; }
  std::string name(std::int64_t index) const override { return data_->name(at(index).index); }
  std::filesystem::path path(std::int64_t index) const override {
    return data_->path(at(index).index);
  }
  const std::vector<std::string>& class_names() const override { return class_names_; }

 private:
  struct Place {
    std::int64_t index;  // in the whole data set
    int label;
  };
  const Place& at(std::int64_t index) const { return images_[static_cast<std::size_t>(index)]; }

  ImageSetPointer data_;
  std::vector<Place> images_;
  std::vector<std::string> class_names_;
};

// Some of the images of a data set, by their places in it.
class ImageSubset : public ImageSet {
 public:
  ImageSubset(ImageSetPointer data, std::vector<std::int64_t> places)
      : data_(std::move(data)), places_(std::move(places)) {}

  std::int64_t size() const override { return std::ssize(places_); }
  Image image(std::int64_t index) const override { return data_->image(at(index)); }
  int label(std::int64_t index) const override { return data_->label(at(index)); }
  std::string name(std::int64_t index) const override { return data_->name(at(index)); }
  std::filesystem::path path(std::int64_t index) const override { return data_->path(at(index)); }
  const std::vector<std::string>& class_names() const override { return data_->class_names(); }

 private:
  std::int64_t at(std::int64_t index) const { return places_[static_cast<std::size_t>(index)]; }

  ImageSetPointer data_;
  std::vector<std::int64_t> places_;
};

// At most `count` images of a data set, as many of each class as there are: the first of each
// class, then the second ones, and so on. They keep their order.
ANTHER_ONCE ImageSetPointer spread_over_classes(const ImageSetPointer& data, std::int64_t count) {
  if (count >= data->size()) return data;
  std::vector<std::int64_t> taken(data->class_names().size());
  std::vector<std::vector<std::int64_t>> rounds;  // the n-th image of each class
  for (std::int64_t i = 0; i < data->size(); ++i) {
    const auto round = static_cast<std::size_t>(taken[static_cast<std::size_t>(data->label(i))]++);
    if (round >= rounds.size()) rounds.resize(round + 1);
    rounds[round].push_back(i);
  }
  std::vector<std::int64_t> places;
  for (const auto& round : rounds)
    for (const std::int64_t place : round)
      if (std::ssize(places) < count) places.push_back(place);
  std::sort(places.begin(), places.end());
  return std::make_shared<const ImageSubset>(data, std::move(places));
}

}  // namespace anther::inline v0_1::vision
