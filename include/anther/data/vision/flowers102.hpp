// Oxford Flowers-102 in its published layout: jpg/image_00001.jpg to image_08189.jpg,
// imagelabels.mat and setid.mat. M.-E. Nilsback and A. Zisserman, "Automated flower classification
// over a large number of classes", 2008.
//
// The split `official` trains on trnid (10 images a class), validates on valid (10 a class) and
// tests on tstid (6,149 images). `trainval` trains on trnid and valid, so that nothing is left to
// validate on but the test images. `paddle` swaps trnid and tstid, as PaddlePaddle's data set does.
#pragma once

#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/data/vision/decode.hpp"
#include "anther/data/vision/flower_names.hpp"
#include "anther/data/vision/image_set.hpp"
#include "anther/data/vision/mat.hpp"

namespace anther::inline v0_1::vision {

// One part of Flowers-102, in the order of setid.mat. Made by open_flowers102.
class Flowers102 final : public ImageSet {
 public:
  // numbers: the images' published numbers, 1 the first; labels: of each number, from 0.
  Flowers102(std::filesystem::path folder, std::vector<int> numbers, const std::vector<int>& labels)
      : folder_(std::move(folder)), numbers_(std::move(numbers)) {
    for (const int number : numbers_)
      labels_.push_back(labels[static_cast<std::size_t>(number) - 1]);
    class_names_.assign(flower_names.begin(), flower_names.end());
  }

  std::int64_t size() const override { return static_cast<std::int64_t>(numbers_.size()); }
  Image image(std::int64_t index) const override { return decode_image(path(index)); }
  int label(std::int64_t index) const override { return labels_[static_cast<std::size_t>(index)]; }
  std::string name(std::int64_t index) const override { return path(index).string(); }
  const std::vector<std::string>& class_names() const override { return class_names_; }

  // The published number of an image, from 1.
  int number(std::int64_t index) const { return numbers_[static_cast<std::size_t>(index)]; }
  std::filesystem::path path(std::int64_t index) const override {
    char file[32];
    std::snprintf(file, sizeof file, "image_%05d.jpg", number(index));
    return folder_ / "jpg" / file;
  }

 private:
  std::filesystem::path folder_;
  std::vector<int> numbers_;
  std::vector<int> labels_;
  std::vector<std::string> class_names_;
};

// The three parts of a data set.
struct Splits {
  ImageSetPointer train;
  ImageSetPointer val;
  ImageSetPointer test;
};

// Whole numbers of a variable of a .mat file, each between lowest and highest.
ANTHER_ONCE std::vector<int> read_mat_integers(const std::filesystem::path& path,
                                               std::string_view name, int lowest, int highest) {
  const MatArray array = read_mat(path, name);
  std::vector<int> integers;
  integers.reserve(array.values.size());
  for (const double value : array.values) {
    detail::check(value >= lowest && value <= highest && value == static_cast<int>(value),
                  path.string(), ": variable ", name, ": expected whole numbers from ", lowest,
                  " to ", highest, ", found ", value);
    integers.push_back(static_cast<int>(value));
  }
  detail::check(!integers.empty(), path.string(), ": variable ", name, " is empty");
  return integers;
}

// Whether the folder looks like Flowers-102: one of its two .mat files is there.
inline bool is_flowers102(const std::filesystem::path& folder) {
  std::error_code error;
  return std::filesystem::exists(folder / "setid.mat", error) ||
         std::filesystem::exists(folder / "imagelabels.mat", error);
}

// Opens Flowers-102. split: "paddle", "official", or "trainval", whose val is its test. Labels are
// 0 to 101. No image is decoded, but each file must exist. Throws, naming the path, if a file is
// missing or wrong.
ANTHER_ONCE Splits open_flowers102(const std::filesystem::path& folder, std::string_view split) {
  detail::check(split == "paddle" || split == "official" || split == "trainval",
                "split: expected \"paddle\", \"official\" or \"trainval\" for Flowers-102, got \"",
                split, "\"");
  detail::check(std::filesystem::is_directory(folder), folder.string(), ": no such folder");
  std::vector<int> labels = read_mat_integers(folder / "imagelabels.mat", "labels", 1, 102);
  for (int& label : labels) --label;
  const int images = static_cast<int>(labels.size());

  const auto numbers = [&](std::string_view variable) {
    return read_mat_integers(folder / "setid.mat", variable, 1, images);
  };
  const auto part = [&](std::vector<int> own) {
    auto data = std::make_shared<const Flowers102>(folder, std::move(own), labels);
    for (std::int64_t i = 0; i < data->size(); ++i)
      detail::check(std::filesystem::exists(data->path(i)), data->name(i),
                    ": missing (Flowers-102 has ", images, " images in its folder jpg)");
    return data;
  };
  std::vector<int> train = numbers("trnid");
  const std::vector<int> valid = numbers("valid");
  const ImageSetPointer test = part(numbers("tstid"));
  if (split == "trainval") {
    train.insert(train.end(), valid.begin(), valid.end());
    return {part(std::move(train)), test, test};
  }
  Splits splits{part(std::move(train)), part(valid), test};
  if (split == "paddle") std::swap(splits.train, splits.test);
  return splits;
}

}  // namespace anther::inline v0_1::vision
