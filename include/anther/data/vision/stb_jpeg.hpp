// JPEG through stb: stb reads the file and its Huffman codes; transform, upsampling and colours are
// those of libjpeg-turbo, so that the pixels are Pillow's whether or not that library is there.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/isa.hpp"
#include "anther/data/vision/bytes.hpp"
#include "anther/data/vision/image.hpp"
#include "anther/data/vision/jpeg_cmyk.hpp"
#include "anther/data/vision/stb.hpp"
#include "anther/kernels/vec.hpp"

namespace anther::inline v0_1::vision {

#define ANTHER_BODY "anther/data/vision/jpeg_arithmetic.inl"
#include "anther/kernels/for_each_isa.inl"

// The rows of a component, as wide and as many as the image's.
//
// Chroma is mostly stored at half the width, or half of both. A sample then lies between pixels:
// each pixel takes 3/4 of the sample next to it and 1/4 of the one beyond, in each direction. The
// other ratios, and rows of up to 2 samples, are repeated.
class JpegPlane {
 public:
  // levels: (rows, stride), of which (rows, columns) are the component's; stride: a multiple of 8.
  // across, down: the image's pixels for each sample.
  struct Samples {
    const std::uint8_t* levels;
    int stride, columns, rows;
    int across, down;
  };
  explicit JpegPlane(const Samples& samples) : samples_(samples) {
    const bool widens = samples.across == 2 && samples.down <= 2 && samples.columns > 2;
    if (widens)
      kind_ = Kind::widened;
    else if (samples.across == 1 && samples.down == 2)
      kind_ = Kind::heightened;
    else if (samples.across > 1)
      kind_ = Kind::repeated;
    const auto columns = static_cast<std::size_t>(samples.stride);
    if (kind_ != Kind::plain) line_.resize(columns * static_cast<std::size_t>(samples.across));
    if (widens || kind_ == Kind::heightened) sums_.resize(columns + 2);
  }

  // Row y of the image; it holds until the next call. Behind its end, up to a multiple of 8, stands
  // anything.
  const std::uint8_t* row(int y) {
    const int at = y / samples_.down;
    const std::uint8_t* near = samples_.levels + offset(at);
    const bool lower = y % 2 == 1;
    const int beyond = std::clamp(lower ? at + 1 : at - 1, 0, samples_.rows - 1);
    const std::uint8_t* far = samples_.down == 2 ? samples_.levels + offset(beyond) : near;
    if (kind_ == Kind::plain) return near;
    if (kind_ == Kind::repeated) {
      for (int x = 0; x < samples_.columns; ++x)
        std::fill_n(line_.data() + std::ptrdiff_t{x} * samples_.across, samples_.across, near[x]);
      return line_.data();
    }
    short* sums = sums_.data() + 1;
    const int columns = samples_.columns;
    ANTHER_SELECT(jpeg_mix_rows<std::uint8_t>)(sums, near, far, columns);
    if (kind_ == Kind::heightened) {
      for (int x = 0; x < columns; ++x)
        line_[static_cast<std::size_t>(x)] =
            static_cast<std::uint8_t>((sums[x] + (lower ? 2 : 1)) >> 2);
      return line_.data();
    }
    sums[-1] = sums[0];
    sums[columns] = sums[columns - 1];
    const bool flat = samples_.down == 1;
    ANTHER_SELECT(jpeg_widen_row<std::uint8_t>)
    (line_.data(), sums, columns, flat ? 4 : 8, flat ? 8 : 7);
    return line_.data();
  }

 private:
  enum class Kind { plain, repeated, widened, heightened };

  std::ptrdiff_t offset(int row) const { return std::ptrdiff_t{row} * samples_.stride; }

  Samples samples_;
  Kind kind_ = Kind::plain;
  std::vector<short> sums_;  // with one more at each end
  std::vector<std::uint8_t> line_;
};

// stb's decoder, up to the planes. Its parts have had these names in all versions since 2.0.
class StbJpeg {
 public:
  // Throws with the name and stb's reason.
  StbJpeg(ByteSpan file, std::string_view name)
      : jpeg_(static_cast<stb::stbi__jpeg*>(std::calloc(1, sizeof(stb::stbi__jpeg)))) {
    detail::check(jpeg_ != nullptr, name, ": out of memory");
    stb::stbi__start_mem(&context_, file.data(), static_cast<int>(file.size()));
    jpeg_->s = &context_;
    stb::stbi__setup_jpeg(jpeg_.get());
    jpeg_->idct_block_kernel = ANTHER_SELECT(jpeg_inverse_dct<stb::stbi_uc>);
    if (stb::stbi__decode_jpeg_image(jpeg_.get()) == 0) {
      const char* reason = stb::anther_stbi_failure_reason();
      detail::fail(name, ": cannot be decoded (", reason ? reason : "corrupt", ")");
    }
    clear_upper_vectors();
    for (int i = 0; i < context_.img_n; ++i) {
      const auto& part = jpeg_->img_comp[i];
      planes_.emplace_back(JpegPlane::Samples{part.data, part.w2, part.x, part.y,
                                              jpeg_->img_h_max / part.h,
                                              jpeg_->img_v_max / part.v});
    }
  }
  StbJpeg(const StbJpeg&) = delete;
  StbJpeg& operator=(const StbJpeg&) = delete;

  Image decode() {
    Image image(static_cast<int>(context_.img_x), static_cast<int>(context_.img_y));
    const auto width = static_cast<std::size_t>(image.width);
    Bytes colours(3 * (width + 8) + 1), inks(4 * width);
    for (int y = 0; y < image.height; ++y) {
      const std::uint8_t* rows[4] = {};
      for (std::size_t i = 0; i < planes_.size(); ++i) rows[i] = planes_[i].row(y);
      std::uint8_t* to = image.row(y);
      if (planes_.size() == 1 || (planes_.size() == 3 && is_rgb())) {
        const std::size_t step = planes_.size() / 2;  // 0: grey is repeated
        for (std::size_t x = 0; x < width; ++x)
          for (std::size_t c = 0; c < 3; ++c) to[3 * x + c] = rows[c * step][x];
        continue;
      }
      const bool converted = planes_.size() == 3 || jpeg_->app14_color_transform != 0;
      if (converted) ANTHER_SELECT(jpeg_rgb_row<std::uint8_t>)
      (colours.data(), rows[0], rows[1], rows[2], image.width);
      if (planes_.size() == 3) {
        std::copy_n(colours.data(), 3 * width, to);
        continue;
      }
      for (std::size_t x = 0; x < width; ++x) {
        for (std::size_t c = 0; c < 3; ++c)
          inks[4 * x + c] =
              converted ? static_cast<std::uint8_t>(255 - colours[3 * x + c]) : rows[c][x];
        inks[4 * x + 3] = rows[3][x];
      }
      rgb_from_inverted_cmyk(inks.data(), to, image.width);
    }
    clear_upper_vectors();
    return image;
  }

 private:
  // Whether three components are colours already. As libjpeg decides it: by JFIF's marker, else by
  // Adobe's, else by the components' names.
  bool is_rgb() const {
    if (jpeg_->jfif) return false;
    if (jpeg_->app14_color_transform >= 0) return jpeg_->app14_color_transform == 0;
    const auto& parts = jpeg_->img_comp;
    return parts[0].id == 'R' && parts[1].id == 'G' && parts[2].id == 'B';
  }

  struct Free {
    void operator()(stb::stbi__jpeg* jpeg) const {
      stb::stbi__cleanup_jpeg(jpeg);
      std::free(jpeg);
    }
  };
  stb::stbi__context context_{};
  std::unique_ptr<stb::stbi__jpeg, Free> jpeg_;
  std::vector<JpegPlane> planes_;
};

// Decodes a JPEG file. Throws with the name and stb's reason. Thread-safe.
inline Image stb_decode_jpeg(ByteSpan file, std::string_view name) {
  return StbJpeg(file, name).decode();
}

}  // namespace anther::inline v0_1::vision
