// A WebP file's parts (RFC 9649): its size, its orientation, and its first picture.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "anther/core/check.hpp"
#include "anther/data/vision/bytes.hpp"
#include "anther/data/vision/exif.hpp"

namespace anther::inline v0_1::vision {

class WebpFile {
 public:
  // Throws with the name where the file ends early, or has no picture.
  WebpFile(ByteSpan file, std::string_view name) : name_(name) {
    constexpr std::size_t header = 12;
    check_whole(file.size() >= header, file.size());
    const std::size_t size = std::size_t{8} + load_le32(&file[4]);
    check_whole(size >= header && size <= file.size(), file.size());
    walk(file.subspan(header, size - header), file.size(), false);
    detail::check(!frame_.empty(), name, ": the WebP has no picture");
    // Without a header for all there is one picture, of which the size is the file's.
    if (width_ == 0) width_ = frame_width_, height_ = frame_height_;
    detail::check(left_ + frame_width_ <= width_ && top_ + frame_height_ <= height_, name,
                  ": corrupt WebP (two sizes)");
  }

  std::int64_t width() const { return width_; }
  std::int64_t height() const { return height_; }
  int orientation() const { return orientation_.value(); }
  // The bitstream of the first picture, and where it stands in the whole.
  ByteSpan frame() const { return frame_; }
  std::int64_t left() const { return left_; }
  std::int64_t top() const { return top_; }
  std::int64_t frame_width() const { return frame_width_; }
  std::int64_t frame_height() const { return frame_height_; }

 private:
  static std::int64_t load_le24(const std::uint8_t* p) {
    return static_cast<std::int64_t>(load_le16(p) | static_cast<std::uint32_t>(p[2]) << 16);
  }
  void check_whole(bool whole, std::size_t size) const {
    detail::check(whole, name_, ": the WebP ends early: the file is truncated (", size, " bytes)");
  }

  // The chunks of the file, or of one picture of an animation.
  void walk(ByteSpan chunks, std::size_t size, bool within) {
    for (std::size_t at = 0; at + 8 <= chunks.size();) {
      const std::size_t length = load_le32(&chunks[at + 4]);
      check_whole(length <= chunks.size() - at - 8, size);
      const ByteSpan data = chunks.subspan(at + 8, length);
      const auto is = [&](std::string_view type) { return bytes_at(chunks, at, type); };
      if (is("VP8X") && data.size() >= 10 && !within) {
        width_ = load_le24(&data[4]) + 1;
        height_ = load_le24(&data[7]) + 1;
      } else if (is("ANMF") && data.size() >= 16 && !within && frame_.empty()) {
        left_ = 2 * load_le24(&data[0]);
        top_ = 2 * load_le24(&data[3]);
        walk(data.subspan(16), size, true);
      } else if (is("VP8 ") && frame_.empty()) {
        detail::check(data.size() >= 10, name_, ": corrupt WebP (a picture's header)");
        set_frame(data, load_le16(&data[6]) & 0x3FFF, load_le16(&data[8]) & 0x3FFF);
      } else if (is("VP8L") && frame_.empty()) {
        detail::check(data.size() >= 5, name_, ": corrupt WebP (a picture's header)");
        const std::uint32_t bits = load_le32(&data[1]);
        set_frame(data, (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1);
      } else if (is("EXIF")) {
        orientation_.add_exif(data);
      } else if (is("XMP ")) {
        orientation_.add_xmp(data);
      }
      at += 8 + length + length % 2;
    }
  }
  void set_frame(ByteSpan data, std::uint32_t width, std::uint32_t height) {
    frame_ = data;
    frame_width_ = width;
    frame_height_ = height;
  }

  std::string_view name_;
  std::int64_t width_ = 0, height_ = 0;
  Orientation orientation_;
  ByteSpan frame_;
  std::int64_t left_ = 0, top_ = 0, frame_width_ = 0, frame_height_ = 0;
};

}  // namespace anther::inline v0_1::vision
