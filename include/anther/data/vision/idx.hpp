// IDX files, the format of MNIST and of the data sets in its form (Fashion-MNIST, EMNIST): four
// bytes that say the type and the number of dimensions, the dimensions, then the elements.
// https://yann.lecun.com/exdb/mnist/
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/data/dataset.hpp"
#include "anther/data/vision/bytes.hpp"

namespace anther::inline v0_1::vision {

// An array of bytes, as it stands in the file after the first `header` bytes.
struct IdxArray {
  Shape shape;
  Bytes file;
  std::size_t header = 0;

  const std::uint8_t* data() const { return file.data() + header; }
};

// Reads an IDX file of bytes with so many dimensions. Throws, naming the file, if it is none, or is
// shorter or longer than its dimensions say.
ANTHER_ONCE IdxArray read_idx(const std::filesystem::path& path, int rank) {
  const std::string name = path.string();
  IdxArray array{
      .shape = {}, .file = read_file(path), .header = static_cast<std::size_t>(4 + 4 * rank)};
  const Bytes& bytes = array.file;
  detail::check(!bytes_at(bytes, 0, "\x1f\x8b"), name,
                ": the file is compressed; unpack it with gunzip first");
  detail::check(bytes.size() >= 4 && bytes[0] == 0 && bytes[1] == 0, name,
                ": not an IDX file: expected it to begin with two bytes of 0");
  detail::check(bytes[2] == 8, name, ": expected elements of the type 8 (bytes), got ", bytes[2]);
  detail::check(bytes[3] == rank, name, ": expected ", rank, " dimensions, got ", bytes[3]);
  detail::check(bytes.size() >= array.header, name, ": the file ends within its dimensions");
  std::uint64_t size = 1;
  for (std::size_t at = 4; at < array.header; at += 4) {
    const std::uint64_t extent = load_be32(bytes.data() + at);
    detail::check(extent > 0, name, ": expected dimensions of at least 1, got 0");
    detail::check(size <= max_file_bytes / extent, name,
                  ": the dimensions are too large for a file of 2 GiB");
    size *= extent;
    array.shape.push_back(static_cast<std::int64_t>(extent));
  }
  detail::check(bytes.size() == array.header + size, name, ": expected ", array.header + size,
                " bytes for the dimensions ", array.shape, ", got ", bytes.size());
  return array;
}

// Grey images from a pair of IDX files, held in memory as bytes: inputs (H, W, 1) between 0 and 1,
// targets a class.
class IdxImages final : public data::Dataset {
 public:
  // Throws, naming the file, if one cannot be read, the files have different numbers of images, or
  // a label is not below `classes`.
  IdxImages(const std::filesystem::path& images, const std::filesystem::path& labels,
            std::int64_t classes = 10)
      : path_(images.string()), images_(read_idx(images, 3)), labels_(read_idx(labels, 1)) {
    detail::check(images_.shape[0] == labels_.shape[0], labels.string(), ": expected ",
                  images_.shape[0], " labels for the images of ", path_, ", got ",
                  labels_.shape[0]);
    for (std::int64_t i = 0; i < size(); ++i)
      detail::check(labels_.data()[i] < classes, labels.string(), ": label ", i, ": expected 0 to ",
                    classes - 1, ", got ", labels_.data()[i]);
    for (std::int64_t c = 0; c < classes; ++c) class_names_.push_back(std::to_string(c));
  }

  std::int64_t size() const override { return images_.shape[0]; }
  Shape input_shape() const override { return {images_.shape[1], images_.shape[2], 1}; }
  data::TargetSpec target() const override { return data::classes(); }
  void load(std::int64_t index, RandomKey, const data::Sample& sample) const override {
    const std::uint8_t* from = images_.data() + index * std::ssize(sample.input);
    for (std::size_t i = 0; i < sample.input.size(); ++i)
      sample.input[i] = static_cast<float>(from[i]) / 255;
    sample.classes[0] = labels_.data()[index];
  }
  std::string name(std::int64_t index) const override {
    return path_ + ": image " + std::to_string(index);
  }
  const std::vector<std::string>& class_names() const override { return class_names_; }

 private:
  std::string path_;
  IdxArray images_, labels_;
  std::vector<std::string> class_names_;
};

// MNIST, or another data set with its files' names: train-images-idx3-ubyte,
// train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte. Throws, naming the path,
// if something is missing or wrong.
struct MnistParts {
  data::DatasetPointer train, test;
};
ANTHER_ONCE MnistParts open_mnist(const std::filesystem::path& folder) {
  const auto file = [&](const std::string& name) {
    std::error_code error;
    const std::filesystem::path path = folder / name, packed = folder / (name + ".gz");
    detail::check(std::filesystem::exists(path, error) || !std::filesystem::exists(packed, error),
                  packed.string(), ": the file is compressed; unpack it with gunzip first");
    return path;
  };
  const auto part = [&](const std::string& name) {
    return std::make_shared<const IdxImages>(file(name + "-images-idx3-ubyte"),
                                             file(name + "-labels-idx1-ubyte"));
  };
  return {part("train"), part("t10k")};
}

}  // namespace anther::inline v0_1::vision
