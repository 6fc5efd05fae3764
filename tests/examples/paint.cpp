// Writes painted flowers as PNG files in class folders, for tests of the example programs.
//
//   paint FOLDER TRAIN VAL      so many images in FOLDER/train/<class>/ and FOLDER/val/<class>/
#include <cstdlib>
#include <filesystem>
#include <string>

#include "anther/data/open.hpp"
#include "anther/data/png.hpp"

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const anther::OpenedData data = anther::open_data(
      "painted",
      {.image_size = 48, .painted_train = std::atoll(argv[2]), .painted_val = std::atoll(argv[3])});
  const auto write = [&](const char* part, const anther::Dataset& images) {
    for (std::int64_t i = 0; i < images.size(); ++i) {
      const auto folder = std::filesystem::path(argv[1]) / part /
                          images.class_names()[static_cast<std::size_t>(images.label(i))];
      std::filesystem::create_directories(folder);
      anther::write_png(folder / anther::text_of(1000 + i, ".png"), images.image(i));
    }
  };
  write("train", *data.train);
  write("val", *data.val);
}
