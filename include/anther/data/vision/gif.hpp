// GIF files: the first picture of one (GIF89a, appendix F).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/data/vision/bytes.hpp"
#include "anther/data/vision/image.hpp"
#include "anther/data/vision/image_limits.hpp"

namespace anther::inline v0_1::vision {

class GifFile {
 public:
  // Reads up to the first picture's data. Throws with the name where there is none.
  GifFile(ByteSpan file, std::string_view name) : file_(file), name_(name) {
    const std::uint8_t* screen = next(13);
    width_ = load_le16(screen + 6);
    height_ = load_le16(screen + 8);
    if (screen[10] & 0x80) read_palette(screen[10]);
    for (;;) {
      const std::uint8_t block = *next(1);
      if (block == 0x2C) break;
      detail::check(block != 0x3B, name, ": the GIF has no picture");
      if (block != 0x21) continue;  // stray bytes
      const std::uint8_t label = *next(1);
      bool first = true;
      while (const std::size_t size = *next(1)) {
        const std::uint8_t* data = next(size);
        if (label == 0xF9 && first && size >= 4 && (data[0] & 1)) background_ = data[3];
        first = false;
      }
    }
    const std::uint8_t* frame = next(9);
    left_ = load_le16(frame);
    top_ = load_le16(frame + 2);
    columns_ = load_le16(frame + 4);
    rows_ = load_le16(frame + 6);
    interlaced_ = (frame[8] & 0x40) != 0;
    if (frame[8] & 0x80) read_palette(frame[8]);
    // Some pictures are larger than the screen that they are for.
    width_ = std::max(width_, left_ + columns_);
    height_ = std::max(height_, top_ + rows_);
    check_image_size(width_, height_, name);
  }

  std::int64_t width() const { return width_; }
  std::int64_t height() const { return height_; }

  // What is transparent has the colour that the palette gives it, as Pillow's convert("RGB") does.
  Image decode() {
    Bytes indices;
    const auto count = static_cast<std::size_t>(columns_ * rows_);
    unpack(count, indices);
    detail::check(indices.size() >= count, name_,
                  ": the GIF's picture is incomplete: the file is truncated (", file_.size(),
                  " bytes)");
    Image image(static_cast<int>(width_), static_cast<int>(height_));
    for (std::int64_t y = 0; y < height_; ++y)
      for (std::int64_t x = 0; x < width_; ++x) set(image, x, y, background_);
    std::size_t at = 0;
    const auto put_row = [&](std::int64_t row) {
      for (std::int64_t x = 0; x < columns_; ++x) set(image, left_ + x, top_ + row, indices[at++]);
    };
    if (!interlaced_) {
      for (std::int64_t row = 0; row < rows_; ++row) put_row(row);
      return image;
    }
    constexpr std::int64_t passes[4][2] = {{0, 8}, {4, 8}, {2, 4}, {1, 2}};  // first row, step
    for (const auto& [first, step] : passes)
      for (std::int64_t row = first; row < rows_; row += step) put_row(row);
    return image;
  }

 private:
  const std::uint8_t* next(std::size_t bytes) {
    detail::check(at_ + bytes <= file_.size(), name_,
                  ": the GIF ends early: the file is truncated (", file_.size(), " bytes)");
    at_ += bytes;
    return file_.data() + at_ - bytes;
  }
  // Colours that the file lacks are black; without a palette, levels of grey.
  void read_palette(std::uint8_t flags) {
    const std::size_t count = std::size_t{2} << (flags & 7);
    const std::uint8_t* colours = next(3 * count);
    palette_.assign(256, {});
    for (std::size_t i = 0; i < count; ++i) std::copy_n(colours + 3 * i, 3, palette_[i].begin());
  }
  void set(Image& image, std::int64_t x, std::int64_t y, std::uint8_t index) const {
    std::uint8_t* pixel = image.row(static_cast<int>(y)) + 3 * x;
    if (palette_.empty())
      std::fill_n(pixel, 3, index);
    else
      std::copy_n(palette_[index].begin(), 3, pixel);
  }

  // LZW with codes that grow to 12 bits, in blocks of up to 255 bytes: at most `count` indices.
  void unpack(std::size_t count, Bytes& indices) {
    const int least = *next(1);
    detail::check(least >= 1 && least <= 11, name_, ": corrupt GIF (codes of ", least, " bits)");
    constexpr std::size_t most = 4096;
    struct Entry {
      std::uint16_t before = 0;
      std::uint16_t length = 1;
      std::uint8_t first = 0, last = 0;
    };
    std::vector<Entry> entries(most);
    const std::size_t clear = std::size_t{1} << least, end = clear + 1;
    for (std::size_t i = 0; i < clear; ++i)
      entries[i].first = entries[i].last = static_cast<std::uint8_t>(i);
    std::size_t used = end + 1, previous = most, block = 0;
    int size = least + 1, have = 0;
    std::uint32_t bits = 0;
    while (indices.size() < count) {
      while (have < size) {
        if (block == 0) {
          if (at_ >= file_.size() || file_[at_] == 0) return;
          block = file_[at_++];
        }
        if (at_ >= file_.size()) return;
        bits |= std::uint32_t{file_[at_++]} << have;
        have += 8;
        --block;
      }
      const std::size_t code = bits & ((1u << size) - 1);
      bits >>= size;
      have -= size;
      if (code == end) return;
      if (code == clear) {
        used = end + 1;
        size = least + 1;
        previous = most;
        continue;
      }
      detail::check(code < used || (code == used && previous != most && used < most), name_,
                    ": corrupt GIF (a code that means nothing)");
      if (previous != most && used < most) {
        // The text before, and the first letter of this one, which may be the new entry itself.
        const Entry& before = entries[previous];
        entries[used] = {static_cast<std::uint16_t>(previous),
                         static_cast<std::uint16_t>(before.length + 1), before.first,
                         code == used ? before.first : entries[code].first};
        ++used;
        if (used == std::size_t{1} << size && size < 12) ++size;
      }
      const std::size_t begin = indices.size();
      indices.resize(begin + entries[code].length);
      std::size_t entry = code;
      for (std::size_t i = indices.size(); i > begin; --i) {
        indices[i - 1] = entries[entry].last;
        entry = entries[entry].before;
      }
      previous = code;
    }
  }

  ByteSpan file_;
  std::string_view name_;
  std::size_t at_ = 0;
  std::int64_t width_ = 0, height_ = 0;
  std::int64_t left_ = 0, top_ = 0, columns_ = 0, rows_ = 0;
  bool interlaced_ = false;
  std::uint8_t background_ = 0;  // the transparent colour, or the first
  std::vector<std::array<std::uint8_t, 3>> palette_;
};

}  // namespace anther::inline v0_1::vision
