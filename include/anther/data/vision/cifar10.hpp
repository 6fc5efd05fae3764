// CIFAR-10, "binary version": data_batch_1.bin to data_batch_5.bin and test_batch.bin, each 10,000
// records of a label and 32x32 pixels, channel after channel. A. Krizhevsky, "Learning multiple
// layers of features from tiny images", 2009.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/data/vision/bytes.hpp"
#include "anther/data/vision/image_set.hpp"

namespace anther::inline v0_1::vision {

inline constexpr std::array<std::string_view, 10> cifar10_names = {
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"};

// Images of one or more of CIFAR-10's binary files, held in memory: 3,073 bytes each.
class Cifar10 final : public ImageSet {
 public:
  static constexpr std::size_t side = 32, plane = side * side, record = 1 + 3 * plane;

  // Throws, naming the file, if one cannot be read, does not have exactly `records` records, or has
  // a label above 9.
  explicit Cifar10(std::vector<std::filesystem::path> files, std::size_t records = 10'000)
      : files_(std::move(files)), records_(records) {
    for (const std::filesystem::path& path : files_) {
      Bytes bytes = read_file(path);
      detail::check(bytes.size() == records * record, path.string(), ": expected ",
                    records * record, " bytes (", records, " images of CIFAR-10), found ",
                    bytes.size());
      for (std::size_t i = 0; i < records; ++i)
        detail::check(bytes[i * record] < 10, path.string(), ": image ", i,
                      ": expected a label of 0 to 9, found ", bytes[i * record]);
      bytes_.push_back(std::move(bytes));
    }
    class_names_.assign(cifar10_names.begin(), cifar10_names.end());
  }

  std::int64_t size() const override { return static_cast<std::int64_t>(files_.size() * records_); }
  int label(std::int64_t index) const override { return *at(index); }
  std::string name(std::int64_t index) const override {
    const std::size_t i = static_cast<std::size_t>(index);
    return files_[i / records_].string() + ": image " + std::to_string(i % records_);
  }
  const std::vector<std::string>& class_names() const override { return class_names_; }

  Image image(std::int64_t index) const override {
    Image image(static_cast<int>(side), static_cast<int>(side));
    const std::uint8_t* planes = at(index) + 1;
    for (std::size_t pixel = 0; pixel < plane; ++pixel)
      for (std::size_t channel = 0; channel < 3; ++channel)
        image.pixels[3 * pixel + channel] = planes[channel * plane + pixel];
    return image;
  }

 private:
  const std::uint8_t* at(std::int64_t index) const {
    const std::size_t i = static_cast<std::size_t>(index);
    return bytes_[i / records_].data() + i % records_ * record;
  }

  std::vector<std::filesystem::path> files_;
  std::size_t records_;
  std::vector<Bytes> bytes_;
  std::vector<std::string> class_names_;
};

// The folder that holds CIFAR-10's binary files: the one given, or cifar-10-batches-bin within it,
// as the published archive unpacks. Empty if there is none.
ANTHER_ONCE std::filesystem::path cifar10_folder(const std::filesystem::path& folder) {
  std::error_code error;
  for (const auto& place : {folder, folder / "cifar-10-batches-bin"})
    for (const char* file : {"data_batch_1.bin", "test_batch.bin"})
      if (std::filesystem::exists(place / file, error)) return place;
  return {};
}

// Opens CIFAR-10: 50,000 images to train on, 10,000 to test. Throws, naming the path, if a file
// is missing or has another size.
struct Cifar10Parts {
  ImageSetPointer train;
  ImageSetPointer test;
};
ANTHER_ONCE Cifar10Parts open_cifar10(const std::filesystem::path& folder) {
  const std::filesystem::path place = cifar10_folder(folder);
  detail::check(!place.empty(), folder.string(), ": no CIFAR-10 here (expected data_batch_1.bin)");
  std::vector<std::filesystem::path> train;
  for (int batch = 1; batch <= 5; ++batch)
    train.push_back(place / ("data_batch_" + std::to_string(batch) + ".bin"));
  std::vector<std::filesystem::path> test = {place / "test_batch.bin"};
  return {std::make_shared<const Cifar10>(std::move(train)),
          std::make_shared<const Cifar10>(std::move(test))};
}

}  // namespace anther::inline v0_1::vision
