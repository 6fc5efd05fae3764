// Writes painted flowers as files, for tests of the example programs.
//
//   paint FOLDER TRAIN VAL      so many PNGs in FOLDER/train/<class>/ and FOLDER/val/<class>/
//   paint FOLDER TRAIN VAL TEST the layout of Flowers-102, with so many in trnid, valid and tstid
#include "../data/vision/mat_writer.hpp"

#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "anther/data/vision/open.hpp"
#include "anther/data/vision/png.hpp"
#include "anther/io/atomic_file.hpp"
#include "anther/painted/opener.hpp"
#include "anther/report/progress.hpp"

namespace {

using namespace anther;
using namespace anther::detail;
using namespace anther::data;
using namespace anther::io;
using namespace anther::report;
using namespace anther::vision;

void write_class_folders(const std::filesystem::path& folder, const OpenedData& data) {
  const auto write = [&](const char* part, const ImageSet& images) {
    for (std::int64_t i = 0; i < images.size(); ++i) {
      const auto own =
          folder / part / images.class_names()[static_cast<std::size_t>(images.label(i))];
      std::filesystem::create_directories(own);
      write_png(own / text_of(1000 + i, ".png"), images.image(i));
    }
  };
  write("train", *data.train);
  write("val", *data.val);
}

void write_flowers102(const std::filesystem::path& folder, const OpenedData& data) {
  std::filesystem::create_directories(folder / "jpg");
  const auto write = [&](const char* name, const mat_writer::Bytes& bytes) {
    write_file_atomically(
        folder / name, std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  };
  std::vector<double> labels;
  std::vector<mat_writer::Bytes> parts;
  const auto add_part = [&](const char* name, const ImageSet& images) {
    std::vector<double> numbers;
    for (std::int64_t i = 0; i < images.size(); ++i) {
      labels.push_back(images.label(i) + 1);
      numbers.push_back(static_cast<double>(labels.size()));
      write(formatted("jpg/image_%05.0f.jpg", numbers.back()).c_str(),
            encode_jpeg(images.image(i)));
    }
    parts.push_back(mat_writer::array(name, {1, static_cast<double>(numbers.size())}, 9, numbers));
  };
  add_part("trnid", *data.train);
  add_part("valid", *data.val);
  add_part("tstid", *data.test);
  write("setid.mat", mat_writer::file(parts));
  write("imagelabels.mat", mat_writer::file({mat_writer::array(
                               "labels", {1, static_cast<double>(labels.size())}, 9, labels)}));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const OpenedData data =
      open_data("painted", {.image_size = 48},
                {painted::opener({.train = std::atoll(argv[2]),
                                  .val = std::atoll(argv[3]),
                                  .test = argc > 4 ? std::atoll(argv[4]) : 1})});
  if (argc > 4)
    write_flowers102(argv[1], data);
  else
    write_class_folders(argv[1], data);
}
