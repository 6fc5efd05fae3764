// A JPEG file, walked from its first marker to its end: its size, its orientation, and whether it
// is whole.
//
// Files from cameras and downloads have bytes that belong nowhere: between the last scan and the
// end marker, or within the header; others lack the end marker. Decoders, and versions of one,
// differ in what they make of them. Such a file is written anew without them, so that every decoder
// gets the same bytes; a usual file is left as it is.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "anther/core/check.hpp"
#include "anther/data/vision/bytes.hpp"
#include "anther/data/vision/exif.hpp"
#include "anther/data/vision/image_limits.hpp"
#include "anther/data/vision/jpeg_scan.hpp"
#include "anther/data/vision/jpeg_tables.hpp"

namespace anther::inline v0_1::vision {

// The most scans of a JPEG.
inline constexpr int max_jpeg_scans = 100;

class JpegFile {
 public:
  // Throws with the name where the file ends early, is damaged, or is of a kind that is not
  // decoded. exact: walks the data of the scans, even if the file is a usual one.
  JpegFile(ByteSpan file, std::string_view name, bool exact = false) : file_(file), name_(name) {
    if (exact || !is_usual()) read(true);
  }

  std::int64_t width() const { return width_; }
  std::int64_t height() const { return height_; }
  int orientation() const { return orientation_.value(); }
  // The file for a decoder; empty: as it is.
  Bytes& rewritten() { return rewritten_; }

 private:
  static bool is_restart(std::uint8_t marker) { return marker >= 0xD0 && marker <= 0xD7; }

  bool is_usual() {
    try {
      return read(false);
    } catch (const Error&) {
      // The second look says why, or that the image was complete before; but it may take as long
      // as a hostile file wants.
      if (scans_ > max_jpeg_scans) throw;
      return false;
    }
  }

  // Not exact: false as soon as the file is seen to be no usual one, or not whole.
  bool read(bool exact) {
    frame_ = {};
    scans_ = 0;
    components_ = 0;
    tables_ = 0;
    adobe_transform_ = -1;
    orientation_ = {};
    rewritten_ = {0xFF, 0xD8};
    std::size_t at = 2;
    while (!complete(exact)) {
      const std::size_t before = at;
      while (at + 1 < file_.size() && !begins_marker(at)) ++at;
      if (at + 1 >= file_.size()) {
        if (!exact) return false;
        detail::fail(name_, ": the JPEG ends before its end marker: the file is truncated (",
                     file_.size(), " bytes)");
      }
      const std::uint8_t marker = file_[at + 1];
      if (!exact && at != before && !is_fill(before, at)) return false;
      at += 2;
      if (marker == 0xD9) break;  // end of image
      if (marker == 0x01 || marker == 0xD8 || is_restart(marker)) {
        if (!exact) return false;
        continue;  // no length follows these
      }
      const bool whole = at + 2 <= file_.size() && at + load_be16(&file_[at]) <= file_.size();
      if (!whole || load_be16(&file_[at]) < 2) {
        if (!exact) return false;
        detail::check(whole, name_, ": the JPEG ends within its header: the file is truncated (",
                      file_.size(), " bytes)");
        detail::fail(name_, ": corrupt JPEG (a segment of ", load_be16(&file_[at]), " bytes)");
      }
      const std::size_t length = load_be16(&file_[at]);
      const ByteSpan segment = file_.subspan(at + 2, length - 2);
      const bool used = segment_of(marker, segment, exact);
      if (!used && !exact && !is_known(marker)) return false;
      if (marker == 0xDA && !has_tables(segment, exact)) return false;
      if (exact && used)
        rewritten_.insert(rewritten_.end(), file_.begin() + static_cast<std::ptrdiff_t>(at - 2),
                          file_.begin() + static_cast<std::ptrdiff_t>(at + length));
      at += length;
      if (marker == 0xDA && !scan(segment, at, exact)) return false;
    }
    detail::check(scans_ > 0, name_, ": the JPEG has no image data");
    // Four components are CMYK, or YCCK, and are stored inverted if Adobe's marker is present.
    // Without the marker nobody can tell which, and the decoder would take them for YCbCr with
    // alpha.
    detail::check(
        components_ != 4 || adobe_transform_ == 0 || adobe_transform_ == 2, name_,
        ": JPEG with four components and no Adobe marker is not supported; convert it to RGB");
    if (exact) {
      rewritten_.push_back(0xFF);
      rewritten_.push_back(0xD9);
    } else {
      rewritten_.clear();
    }
    return true;
  }

  bool begins_marker(std::size_t at) const {
    return file_[at] == 0xFF && file_[at + 1] != 0 && file_[at + 1] != 0xFF;
  }
  // Whether the bytes are FF, of which any number may stand ahead of a marker.
  bool is_fill(std::size_t begin, std::size_t end) const {
    return std::all_of(file_.begin() + static_cast<std::ptrdiff_t>(begin),
                       file_.begin() + static_cast<std::ptrdiff_t>(end),
                       [](std::uint8_t byte) { return byte == 0xFF; });
  }
  // APP0 to APP15 and comments, which every decoder passes over.
  static bool is_known(std::uint8_t marker) {
    return (marker >= 0xE0 && marker <= 0xEF) || marker == 0xFE;
  }

  // Whether decoders need the segment.
  bool segment_of(std::uint8_t marker, ByteSpan segment, bool exact) {
    if (marker == 0xC4) {
      huffman_tables(segment, exact);
      return true;
    }
    if (marker >= 0xC0 && marker <= 0xCF && marker != 0xC8 && marker != 0xCC) {
      frame_header(marker, segment);
      return true;
    }
    detail::check(
        marker != 0xCC, name_,
        ": JPEG with arithmetic coding is not supported; convert it to a usual JPEG or PNG");
    if (marker == 0xDD && segment.size() >= 2)
      frame_.restart_interval = static_cast<int>(load_be16(&segment[0]));
    if (marker == 0xDD || marker == 0xDB || marker == 0xDA) return true;
    if (marker == 0xE1) {
      if (bytes_at(segment, 0, std::string_view("Exif\0", 5)) && segment.size() > 6)
        orientation_.add_exif(segment.subspan(6));
      constexpr std::string_view xmp("http://ns.adobe.com/xap/1.0/\0", 29);
      if (bytes_at(segment, 0, xmp)) orientation_.add_xmp(segment.subspan(xmp.size()));
      return false;
    }
    if (marker == 0xEE && segment.size() >= 12 &&
        bytes_at(segment, 0, std::string_view("Adobe\0", 6)))
      adobe_transform_ = segment[11];
    return marker == 0xEE || marker == 0xE0;  // with what decoders derive the colours from
  }

  // Each table at most 256 codes.
  void huffman_tables(ByteSpan segment, bool exact) {
    for (std::size_t at = 0; at < segment.size();) {
      std::size_t codes = 0;
      for (std::size_t i = 1; i <= 16 && at + i < segment.size(); ++i) codes += segment[at + i];
      const std::size_t end = at + 17 + codes;
      detail::check(codes <= 256 && end <= segment.size(), name_,
                    ": corrupt JPEG (a Huffman table)");
      if ((segment[at] & 0xEE) == 0) tables_ |= 1 << (segment[at] >> 3 | (segment[at] & 1));
      if (exact && (segment[at] & 15) < 4) {
        auto& tables = segment[at] >> 4 == 0 ? frame_.dc : frame_.ac;
        tables[segment[at] & 15] = JpegCodes(&segment[at + 1], segment.subspan(at + 17, codes));
      }
      at = end;
    }
  }

  // Whether the tables of a scan are there. Exact: where they are not, it adds those of the
  // standard.
  bool has_tables(ByteSpan scan, bool exact) {
    int missing = 0;
    for (std::size_t i = 1; !frame_.progressive && i + 1 < scan.size() && i < 2u * scan[0]; i += 2)
      missing |= (1 << (scan[i + 1] >> 4 & 1) | 4 << (scan[i + 1] & 1)) & ~tables_;
    if (missing == 0) return true;
    if (!exact) return false;
    const auto add = [&](int bit, ByteSpan table) {
      if ((missing & 1 << bit) == 0) return;
      rewritten_.insert(rewritten_.end(),
                        {0xFF, 0xC4, 0, static_cast<std::uint8_t>(table.size() + 2)});
      rewritten_.insert(rewritten_.end(), table.begin(), table.end());
      huffman_tables(table, true);
    };
    add(0, jpeg_standard_dc0);
    add(1, jpeg_standard_dc1);
    add(2, jpeg_standard_ac0);
    add(3, jpeg_standard_ac1);
    return true;
  }

  void frame_header(std::uint8_t marker, ByteSpan segment) {
    detail::check(
        marker < 0xC9, name_,
        ": JPEG with arithmetic coding is not supported; convert it to a usual JPEG or PNG");
    detail::check(
        marker <= 0xC2, name_,
        ": lossless or hierarchical JPEG is not supported; convert it to a usual JPEG or PNG");
    detail::check(components_ == 0, name_, ": corrupt JPEG (two frames)");
    detail::check(segment.size() >= 6, name_, ": corrupt JPEG (its frame header)");
    detail::check(segment[0] == 8, name_, ": JPEG with ", segment[0],
                  " bits a sample is not supported");
    height_ = load_be16(&segment[1]);
    width_ = load_be16(&segment[3]);
    components_ = segment[5];
    check_image_size(width_, height_, name_);
    detail::check(components_ == 1 || components_ == 3 || components_ == 4, name_, ": JPEG with ",
                  components_, " components is not supported");
    detail::check(segment.size() >= 6 + 3 * std::size_t{components_}, name_,
                  ": corrupt JPEG (its frame header)");
    frame_.progressive = marker == 0xC2;
    frame_.components.resize(components_);
    int h = 1, v = 1;
    for (std::size_t i = 0; i < components_; ++i) {
      JpegComponent& component = frame_.components[i];
      component.id = segment[6 + 3 * i];
      component.h = segment[7 + 3 * i] >> 4;
      component.v = segment[7 + 3 * i] & 15;
      detail::check(component.h >= 1 && component.h <= 4 && component.v >= 1 && component.v <= 4,
                    name_, ": corrupt JPEG (its sampling factors)");
      h = std::max(h, component.h);
      v = std::max(v, component.v);
    }
    frame_.columns = (width_ + 8 * h - 1) / (8 * h);
    frame_.rows = (height_ + 8 * v - 1) / (8 * v);
    for (JpegComponent& component : frame_.components) {
      detail::check(h % component.h == 0 && v % component.v == 0, name_,
                    ": JPEG with sampling factors of ", component.h, " x ", component.v, " beside ",
                    h, " x ", v, " is not supported");
      component.columns = (width_ * component.h + 8 * h - 1) / (8 * h);
      component.rows = (height_ * component.v + 8 * v - 1) / (8 * v);
      component.stride = frame_.columns * component.h;
      component.left.fill(-1);
    }
  }

  // The data of a scan, to which `at` points, and which it is moved behind.
  bool scan(ByteSpan header, std::size_t& at, bool exact) {
    detail::check(components_ != 0, name_, ": corrupt JPEG (a scan ahead of the frame)");
    // Each scan is a walk over the whole image, however little data it has. Encoders write about
    // ten.
    detail::check(++scans_ <= max_jpeg_scans, name_, ": JPEG with more than ", max_jpeg_scans,
                  " scans is not supported");
    const JpegScan scan = scan_header(header);
    if (!exact) return pass_over(at, restarts_of(scan));
    for (JpegComponent& component : frame_.components)
      if (frame_.progressive && component.known.empty())
        component.known.resize(
            static_cast<std::size_t>(component.stride * frame_.rows * component.v));
    const std::size_t begin = at;
    detail::check(JpegScanWalk(file_, frame_, scan).walk(at, rewritten_), name_,
                  ": the JPEG's image data, from byte ", begin,
                  " on, is damaged, or the file is truncated (", file_.size(), " bytes)");
    for (const JpegScan::Part& part : scan.parts)
      for (int k = scan.first; k <= scan.last; ++k)
        frame_.components[part.component].left[static_cast<std::size_t>(k)] =
            static_cast<std::int8_t>(scan.low);
    return true;
  }

  // How many markers part the intervals of a scan.
  std::int64_t restarts_of(const JpegScan& scan) const {
    if (frame_.restart_interval == 0) return 0;
    const JpegComponent& first = frame_.components[scan.parts[0].component];
    const std::int64_t units =
        scan.parts.size() == 1 ? first.columns * first.rows : frame_.columns * frame_.rows;
    return (units - 1) / frame_.restart_interval;
  }

  // Past the entropy-coded data, in which FF 00 stands for FF, and so many markers D0 to D7, in
  // their order, part the intervals. False if that is not so.
  bool pass_over(std::size_t& at, std::int64_t restarts) const {
    std::int64_t found = 0;
    for (; at + 1 < file_.size(); ++at) {
      if (!begins_marker(at)) continue;
      if (!is_restart(file_[at + 1])) return found == restarts;
      if (found == restarts || file_[at + 1] != 0xD0 + found % 8) return false;
      ++found;
      ++at;
    }
    return false;
  }

  JpegScan scan_header(ByteSpan header) const {
    JpegScan scan;
    const std::size_t count = header.empty() ? 0 : header[0];
    detail::check(count >= 1 && count <= components_ && header.size() >= 4 + 2 * count, name_,
                  ": corrupt JPEG (a scan's header)");
    for (std::size_t i = 0; i < count; ++i) {
      const auto found =
          std::ranges::find(frame_.components, int{header[1 + 2 * i]}, &JpegComponent::id);
      const int dc = header[2 + 2 * i] >> 4, ac = header[2 + 2 * i] & 15;
      detail::check(found != frame_.components.end() && dc < 4 && ac < 4, name_,
                    ": corrupt JPEG (a scan's header)");
      scan.parts.push_back({static_cast<std::size_t>(found - frame_.components.begin()), dc, ac});
    }
    if (!frame_.progressive) return scan;
    scan.first = header[1 + 2 * count];
    scan.last = header[2 + 2 * count];
    scan.high = header[3 + 2 * count] >> 4;
    scan.low = header[3 + 2 * count] & 15;
    detail::check(scan.first <= scan.last && scan.last <= 63 && scan.low <= 13 &&
                      (scan.first == 0 ? scan.last == 0 : count == 1),
                  name_, ": corrupt JPEG (a scan's header)");
    return scan;
  }

  // Whether every coefficient has come, to its last bit: what follows can change nothing.
  bool complete(bool exact) const {
    return exact && components_ != 0 &&
           std::ranges::all_of(frame_.components, [](const JpegComponent& component) {
             return std::ranges::all_of(component.left, [](int bits) { return bits == 0; });
           });
  }

  ByteSpan file_;
  std::string_view name_;
  std::int64_t width_ = 0, height_ = 0;
  std::uint32_t components_ = 0;
  int tables_ = 0;  // bits: DC 0, DC 1, AC 0, AC 1, where they were defined
  int adobe_transform_ = -1;
  int scans_ = 0;
  Orientation orientation_;
  JpegScanWalk::Frame frame_;
  Bytes rewritten_;
};

}  // namespace anther::inline v0_1::vision
