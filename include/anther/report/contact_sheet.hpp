// A picture of a batch, which shows what a model is fed: the first images of the batch side by
// side, as they were before the normalisation, with the names of their classes.
//
//   write_png(run / "train_batch0.png", contact_sheet(batch, preprocess, class_names));
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/data/batch.hpp"
#include "anther/data/vision/color.hpp"
#include "anther/data/vision/image.hpp"
#include "anther/data/vision/png.hpp"
#include "anther/data/vision/transforms.hpp"
#include "anther/report/font.hpp"

namespace anther::inline v0_1::report {

struct ContactSheetOptions {
  int images = 16;  // at most
  int columns = 4;
};

// An image of a batch as levels: the normalisation is undone, and what is out of range is cut off.
ANTHER_ONCE vision::Image denormalized(const float* values, int width, int height,
                                       const vision::Preprocess& preprocess) {
  vision::Image image(width, height);
  for (std::size_t i = 0; i < image.pixels.size(); ++i)
    image.pixels[i] = static_cast<std::uint8_t>(
        vision::level_of(values[i] * preprocess.std[i % 3] + preprocess.mean[i % 3]));
  return image;
}

// Two lines of at most `columns` letters: the name, cut at a space if possible; or, for a mixed
// image, both names with their shares.
ANTHER_ONCE std::vector<std::string> caption(const data::Batch& batch, std::size_t i,
                                             const std::vector<std::string>& class_names,
                                             std::size_t columns) {
  const auto name = [&](std::int32_t label) -> std::string {
    const auto at = static_cast<std::size_t>(label);
    // A name in letters that the font lacks says less than its number.
    const bool named = at < class_names.size() && is_legible(class_names[at]);
    return named ? to_ascii(class_names[at]) : detail::text_of("class ", label);
  };
  const std::string own = name(batch.labels[i]);
  if (!batch.lambda.empty() && batch.lambda[i] < 1) {
    const long share = std::lround(100 * batch.lambda[i]);
    return {detail::text_of(share, "% ", own).substr(0, columns),
            detail::text_of(100 - share, "% ", name(batch.labels2[i])).substr(0, columns)};
  }
  if (own.size() <= columns) return {own};
  const std::size_t space = own.rfind(' ', columns);
  const std::size_t cut = space == std::string::npos ? columns : space;
  return {own.substr(0, cut), own.substr(space == std::string::npos ? cut : cut + 1, columns)};
}

// Small images are shown larger, each pixel as a square.
ANTHER_ONCE vision::Image contact_sheet(const data::Batch& batch,
                                        const vision::Preprocess& preprocess,
                                        const std::vector<std::string>& class_names,
                                        const ContactSheetOptions& options = {}) {
  detail::check(batch.size() > 0 && batch.inputs.shape().rank() == 4,
                "contact sheet: expected a batch with images, got ", batch.size());
  detail::check(options.images >= 1 && options.columns >= 1,
                "contact sheet: expected at least 1 image and 1 column, got ", options.images,
                " and ", options.columns);
  const int height = static_cast<int>(batch.inputs.shape()[1]);
  const int width = static_cast<int>(batch.inputs.shape()[2]);
  const int count = static_cast<int>(std::min<std::int64_t>(options.images, batch.size()));
  const int columns = std::min(options.columns, count), lines = (count + columns - 1) / columns;
  const int zoom = std::max(1, (127 + width) / width), gap = 4;
  const int tile_width = width * zoom + gap, text = height * zoom + 2;
  const int tile_height = text + 2 * font_height + gap;

  vision::Image sheet(gap + columns * tile_width, gap + lines * tile_height);
  std::fill(sheet.pixels.begin(), sheet.pixels.end(), std::uint8_t{255});
  for (int n = 0; n < count; ++n) {
    const int left = gap + n % columns * tile_width, top = gap + n / columns * tile_height;
    const vision::Image image = denormalized(
        batch.inputs.data() + std::int64_t{n} * height * width * 3, width, height, preprocess);
    for (int y = 0; y < height * zoom; ++y)
      for (int x = 0; x < width * zoom; ++x)
        std::copy_n(image.row(y / zoom) + 3 * (x / zoom), 3, sheet.row(top + y) + 3 * (left + x));
    int below = top + text;
    for (const std::string& line : caption(batch, static_cast<std::size_t>(n), class_names,
                                           static_cast<std::size_t>(width * zoom / font_width))) {
      draw_text(sheet, left, below, line, {0, 0, 0});
      below += font_height;
    }
  }
  return sheet;
}

}  // namespace anther::inline v0_1::report
