// BMP files: Windows' and OS/2's headers, palettes, run lengths and bit fields.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "anther/core/check.hpp"
#include "anther/data/vision/bytes.hpp"
#include "anther/data/vision/image.hpp"
#include "anther/data/vision/image_limits.hpp"

namespace anther::inline v0_1::vision {

class BmpFile {
 public:
  // Reads the header. Throws with the name where it is cut off or of a kind that is not decoded, or
  // where rows are missing.
  BmpFile(ByteSpan file, std::string_view name) : file_(file), name_(name) {
    need(18);
    offset_ = load_le32(&file[10]);
    header_ = load_le32(&file[14]);
    detail::check(
        header_ == 12 || (header_ >= 16 && header_ <= 64) || header_ == 108 || header_ == 124, name,
        ": BMP with a header of ", header_, " bytes is not supported");
    need(std::size_t{14} + header_);
    const bool core = header_ == 12;  // OS/2's first, with sizes of 16 bits
    const auto size_at = [&](std::size_t at) {
      return core ? static_cast<std::int64_t>(load_le16(&file[at]))
                  : static_cast<std::int64_t>(static_cast<std::int32_t>(load_le32(&file[at])));
    };
    width_ = size_at(18);
    height_ = size_at(core ? 20 : 22);
    top_down_ = height_ < 0;  // the top row comes first
    height_ = std::abs(height_);
    bits_ = static_cast<int>(load_le16(&file[core ? 24 : 28]));
    if (header_ >= 20) compression_ = load_le32(&file[30]);
    check_image_size(width_, height_, name);
    detail::check(std::ranges::find(depths, bits_) != depths.end(), name, ": BMP with ", bits_,
                  " bits a pixel is not supported");
    const bool os2 = header_ == 64;
    runs_ = (compression_ == 1 && bits_ == 8) || (compression_ == 2 && bits_ == 4) ||
            (os2 && compression_ == 4 && bits_ == 24);
    const bool fields =
        !os2 && (compression_ == 3 || compression_ == 6) && (bits_ == 16 || bits_ == 32);
    detail::check(compression_ == 0 || runs_ || fields, name, ": BMP with compression ",
                  compression_, " and ", bits_, " bits a pixel is not supported");

    std::size_t after = std::size_t{14} + header_;
    if (bits_ == 16) masks_ = {0x7C00, 0x3E0, 0x1F};
    if (bits_ == 32) masks_ = {0xFF0000, 0xFF00, 0xFF};
    if (fields) {
      const std::size_t size = compression_ == 6 ? 16 : 12;
      if (header_ < 52) after += size;
      need(std::max<std::size_t>(after, 66));
      for (std::size_t c = 0; c < 3; ++c) masks_[c] = load_le32(&file[54 + 4 * c]);
    }
    if (bits_ <= 8) read_palette(after, core ? 3 : 4);
    const auto row = static_cast<std::uint64_t>((width_ * bits_ + 31) / 32 * 4);
    const auto padding = row - static_cast<std::uint64_t>((width_ * bits_ + 7) / 8);
    const std::uint64_t wanted =
        offset_ + (runs_ ? 0 : row * static_cast<std::uint64_t>(height_) - padding);
    detail::check(file.size() >= wanted, name, ": the BMP has ", file.size(), " bytes, expected ",
                  wanted, ": the file is truncated");
  }

  std::int64_t width() const { return width_; }
  std::int64_t height() const { return height_; }

  Image decode() const {
    Image image(static_cast<int>(width_), static_cast<int>(height_));
    if (runs_) {
      decode_runs(image);
      return image;
    }
    const auto stride = static_cast<std::size_t>((width_ * bits_ + 31) / 32 * 4);
    for (std::int64_t y = 0; y < height_; ++y) {
      const std::uint8_t* from = &file_[offset_ + static_cast<std::size_t>(y) * stride];
      std::uint8_t* to = row_of(image, y);
      for (std::int64_t x = 0; x < width_; ++x, to += 3) {
        const auto column = static_cast<std::size_t>(x);
        if (bits_ <= 8) {
          const std::size_t bit = column * static_cast<std::size_t>(bits_);
          const int value = from[bit / 8] >> (8 - static_cast<int>(bit % 8) - bits_);
          set(to, static_cast<std::uint32_t>(value & ((1 << bits_) - 1)));
        } else if (bits_ == 24) {
          for (std::size_t c = 0; c < 3; ++c) to[c] = from[3 * column + 2 - c];
        } else {
          const std::uint32_t value =
              bits_ == 16 ? load_le16(from + 2 * column) : load_le32(from + 4 * column);
          for (std::size_t c = 0; c < 3; ++c) to[c] = field(value, masks_[c]);
        }
      }
    }
    return image;
  }

 private:
  static constexpr std::array<int, 7> depths = {1, 2, 4, 8, 16, 24, 32};

  void need(std::size_t bytes) const {
    detail::check(file_.size() >= bytes, name_,
                  ": the BMP ends within its header: the file is truncated (", file_.size(),
                  " bytes)");
  }

  // Colours that the file lacks are black.
  void read_palette(std::size_t at, std::size_t entry) {
    std::size_t count = std::size_t{1} << bits_;
    if (header_ >= 36)
      if (const std::uint32_t used = load_le32(&file_[46]); used > 0)
        count = std::min<std::size_t>(count, used);
    // Some writers give the place behind the header as that of the pixels, where the palette is.
    if (offset_ <= at) offset_ = at + entry * count;
    count = std::min(count, (offset_ - at) / entry);
    need(at + entry * count);
    for (std::size_t i = 0; i < count; ++i)
      for (std::size_t c = 0; c < 3; ++c) palette_[i][c] = file_[at + entry * i + 2 - c];
  }

  std::uint8_t* row_of(Image& image, std::int64_t y) const {
    return image.row(static_cast<int>(top_down_ ? y : height_ - 1 - y));
  }
  void set(std::uint8_t* pixel, std::uint32_t index) const {
    std::copy_n(palette_[index].begin(), 3, pixel);
  }

  // The bits of a mask as 8 bits: those of fewer are repeated until there are as many.
  static std::uint8_t field(std::uint32_t value, std::uint32_t mask) {
    if (mask == 0) return 0;
    const int shift = std::countr_zero(mask), bits = std::countr_one(mask >> shift);
    std::uint32_t v = (value & mask) >> shift;
    if (bits >= 8) return static_cast<std::uint8_t>(v >> (bits - 8));
    v <<= 8 - bits;
    for (int have = bits; have < 8; have *= 2) v |= v >> have;
    return static_cast<std::uint8_t>(v);
  }

  // A count and what to repeat; or 0 and an escape: 0 the row's end, 1 the image's end, 2 a move,
  // else a count of pixels that follow one by one. Pixels that are never set have the first colour.
  void decode_runs(Image& image) const {
    std::size_t at = offset_;
    std::int64_t x = 0, y = 0;
    const auto next = [&](std::size_t bytes) {
      detail::check(at + bytes <= file_.size(), name_,
                    ": the BMP ends within its pixels: the file is truncated (", file_.size(),
                    " bytes)");
      at += bytes;
      return file_.data() + at - bytes;
    };
    const bool colours = bits_ == 24;
    // Puts the i-th pixel of those that stand at p.
    const auto put = [&](const std::uint8_t* p, std::size_t i) {
      if (x < width_ && y < height_) {
        std::uint8_t* pixel = row_of(image, y) + 3 * x;
        if (colours)
          for (std::size_t c = 0; c < 3; ++c) pixel[c] = p[3 * i + 2 - c];
        else
          set(pixel, bits_ == 8 ? p[i] : i % 2 == 0 ? p[i / 2] >> 4 : p[i / 2] & 15);
      }
      ++x;
    };
    if (!colours)
      for (std::int64_t row = 0; row < height_; ++row)
        for (std::int64_t column = 0; column < width_; ++column)
          set(image.row(static_cast<int>(row)) + 3 * column, 0);
    while (y < height_) {
      // Files whose last row is whole may lack the end.
      if (at >= file_.size() && y == height_ - 1 && x >= width_) return;
      const std::size_t count = *next(1);
      if (count > 0) {
        const std::uint8_t* p = next(colours ? 3 : 1);
        for (std::size_t i = 0; i < count; ++i) put(p, bits_ == 4 ? i % 2 : 0);
        continue;
      }
      const std::size_t escape = *next(1);
      if (escape == 0) {
        x = 0;
        ++y;
      } else if (escape == 1) {
        return;
      } else if (escape == 2) {
        const std::uint8_t* move = next(2);
        x += move[0];
        y += move[1];
      } else {
        const std::size_t bytes = colours ? 3 * escape : bits_ == 8 ? escape : (escape + 1) / 2;
        const std::uint8_t* p = next(bytes);
        for (std::size_t i = 0; i < escape; ++i) put(p, i);
        // Encoders may round the length of a row up.
        detail::check(x < width_ + 8, name_, ": damaged BMP (pixels leave their row)");
        if (bytes % 2 == 1 && at < file_.size()) ++at;  // of an even length
      }
    }
  }

  ByteSpan file_;
  std::string_view name_;
  std::size_t offset_ = 0;  // of the pixels
  std::uint32_t header_ = 0;
  std::int64_t width_ = 0, height_ = 0;
  bool top_down_ = false;
  int bits_ = 0;
  std::uint32_t compression_ = 0;
  bool runs_ = false;
  std::array<std::uint32_t, 3> masks_{};  // of red, green and blue
  std::array<std::array<std::uint8_t, 3>, 256> palette_{};
};

}  // namespace anther::inline v0_1::vision
