// The entropy-coded data of a JPEG file, walked code by code without a pixel being computed: where
// the data of a scan ends, and whether all of it is there (ITU-T T.81, annexes F and G).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "anther/data/vision/bytes.hpp"

namespace anther::inline v0_1::vision {

// A Huffman table. Codes of up to 8 bits are looked up; longer ones are searched for by length.
class JpegCodes {
 public:
  // counts: of the codes of 1 to 16 bits. Both have been checked to be within their segment.
  JpegCodes() = default;
  JpegCodes(const std::uint8_t* counts, ByteSpan symbols)
      : symbols_(symbols.begin(), symbols.end()) {
    std::uint32_t code = 0;
    std::int32_t index = 0;
    for (std::size_t length = 1; length <= 16; ++length) {
      offset_[length] = index - static_cast<std::int32_t>(code);
      for (int i = 0; i < counts[length - 1]; ++i, ++code, ++index)
        if (length <= 8) {
          const std::uint32_t first = code << (8 - length);
          for (std::uint32_t j = 0; j < (1u << (8 - length)) && first + j < 256; ++j)
            short_[first + j] = {static_cast<std::uint8_t>(length),
                                 symbols_[static_cast<std::size_t>(index)]};
        }
      end_[length] = code;  // the first that is no code of this length
      code <<= 1;
    }
  }

  struct Symbol {
    std::uint8_t length = 0;  // 0: no code
    std::uint8_t value = 0;
  };
  // The symbol whose code the 16 bits begin with.
  Symbol find(std::uint32_t bits) const {
    if (const Symbol found = short_[bits >> 8]; found.length != 0) return found;
    for (std::size_t length = 9; length <= 16; ++length) {
      const std::uint32_t code = bits >> (16 - length);
      if (code >= end_[length]) continue;
      const std::int64_t index = std::int64_t{code} + offset_[length];
      if (index < 0 || index >= std::ssize(symbols_)) return {};
      return {static_cast<std::uint8_t>(length), symbols_[static_cast<std::size_t>(index)]};
    }
    return {};
  }

 private:
  std::vector<std::uint8_t> symbols_;
  std::array<Symbol, 256> short_{};
  std::array<std::int32_t, 17> offset_{};
  std::array<std::uint32_t, 17> end_{};
};

// A component of the frame.
struct JpegComponent {
  int id = 0;
  int h = 1, v = 1;          // sampling factors
  std::int64_t columns = 0;  // blocks of a row, of its own scans
  std::int64_t rows = 0;
  std::int64_t stride = 0;             // blocks of a row that interleaved scans have
  std::vector<std::uint64_t> known;    // progressive: for each block, which coefficients are not 0
  std::array<std::int8_t, 64> left{};  // for each coefficient, the bits to come; -1: all
};

// What a scan's header says.
struct JpegScan {
  struct Part {
    std::size_t component = 0;
    int dc = 0, ac = 0;  // tables
  };
  std::vector<Part> parts;
  int first = 0, last = 63;  // coefficients
  int high = 0, low = 0;     // successive approximation
};

// Walks the data of one scan.
class JpegScanWalk {
 public:
  using Tables = std::array<JpegCodes, 4>;
  struct Frame {
    bool progressive = false;
    std::int64_t columns = 0, rows = 0;  // interleaved units (MCUs)
    int restart_interval = 0;
    std::vector<JpegComponent> components;
    Tables dc, ac;
  };

  JpegScanWalk(ByteSpan file, Frame& frame, const JpegScan& scan)
      : file_(file), frame_(frame), scan_(scan) {}

  // Whether all of the scan is there. Its bytes from `at` on, without what stands between its parts
  // and does not belong to it, are appended to `data`; `at` is behind its last byte then.
  bool walk(std::size_t& at, Bytes& data) {
    const bool single = scan_.parts.size() == 1;
    const JpegComponent& one = frame_.components[scan_.parts[0].component];
    const std::int64_t columns = single ? one.columns : frame_.columns;
    const std::int64_t units = columns * (single ? one.rows : frame_.rows);
    const std::int64_t interval = frame_.restart_interval > 0 ? frame_.restart_interval : units;
    for (std::int64_t unit = 0; unit < units;) {
      if (unit > 0) {
        // Between intervals stands the next of eight markers, and before it at most stray bytes.
        const auto marker = static_cast<std::uint8_t>(0xD0 + (unit / interval - 1) % 8);
        while (at + 1 < file_.size() &&
               !(file_[at] == 0xFF && file_[at + 1] != 0 && file_[at + 1] != 0xFF))
          ++at;
        if (at + 1 >= file_.size() || file_[at + 1] != marker) return false;
        at += 2;
        data.push_back(0xFF);
        data.push_back(marker);
      }
      open(at);
      const std::int64_t end = std::min(units, unit + interval);
      for (; unit < end; ++unit) {
        if (single) {
          if (!block(scan_.parts[0], unit / columns, unit % columns)) return false;
        } else if (!interleaved(unit / columns, unit % columns)) {
          return false;
        }
        if (bit_ > 8 * size_) return false;
      }
      close(at, data);
    }
    return true;
  }

 private:
  // Takes the bytes up to the next marker, FF 00 as FF.
  void open(std::size_t at) {
    bytes_.clear();
    while (at < file_.size()) {
      const std::uint8_t byte = file_[at];
      if (byte == 0xFF) {
        if (at + 1 >= file_.size()) break;
        if (file_[at + 1] == 0xFF) {  // a fill byte
          ++at;
          continue;
        }
        if (file_[at + 1] != 0) break;
        ++at;
      }
      bytes_.push_back(byte);
      ++at;
    }
    size_ = bytes_.size();
    bytes_.resize(size_ + 8);  // zeros to read ahead of the check
    bit_ = 0;
    end_of_band_ = 0;
  }
  // Appends the bytes that were used, and moves `at` behind them.
  void close(std::size_t& at, Bytes& data) const {
    for (std::size_t used = (bit_ + 7) / 8; used > 0;) {
      if (file_[at] == 0xFF && file_[at + 1] == 0xFF) {
        ++at;
        continue;
      }
      data.push_back(file_[at]);
      if (file_[at] == 0xFF) {
        data.push_back(0);
        ++at;
      }
      ++at;
      --used;
    }
  }

  std::uint32_t peek16() const {
    const std::size_t byte = bit_ / 8;
    if (byte >= size_) return 0;
    const std::uint32_t bits = load_be16(&bytes_[byte]) << 8 | bytes_[byte + 2];
    return bits >> (8 - bit_ % 8) & 0xFFFF;
  }
  // The number of the next n bits, n <= 16.
  std::uint32_t number(int n) {
    const std::uint32_t value = n == 0 ? 0 : peek16() >> (16 - n);
    bit_ += static_cast<std::size_t>(n);
    return value;
  }
  bool symbol(const JpegCodes& codes, int& value) {
    const JpegCodes::Symbol found = codes.find(peek16());
    bit_ += found.length;
    value = found.value;
    return found.length != 0;
  }

  bool interleaved(std::int64_t row, std::int64_t column) {
    for (const JpegScan::Part& part : scan_.parts) {
      const JpegComponent& component = frame_.components[part.component];
      for (int y = 0; y < component.v; ++y)
        for (int x = 0; x < component.h; ++x)
          if (!block(part, row * component.v + y, column * component.h + x)) return false;
    }
    return true;
  }

  bool block(const JpegScan::Part& part, std::int64_t row, std::int64_t column) {
    const auto& dc = frame_.dc[static_cast<std::size_t>(part.dc)];
    const auto& ac = frame_.ac[static_cast<std::size_t>(part.ac)];
    if (!frame_.progressive) return dc_first(dc) && sequential_ac(ac);
    if (scan_.first == 0) {
      if (scan_.high == 0) return dc_first(dc);
      ++bit_;
      return true;
    }
    JpegComponent& component = frame_.components[part.component];
    std::uint64_t& known =
        component.known[static_cast<std::size_t>(row * component.stride + column)];
    return scan_.high == 0 ? ac_first(ac, known) : ac_refined(ac, known);
  }

  bool dc_first(const JpegCodes& codes) {
    int size = 0;
    if (!symbol(codes, size) || size > 15) return false;
    bit_ += static_cast<std::size_t>(size);
    return true;
  }

  bool sequential_ac(const JpegCodes& codes) {
    for (int k = 1; k < 64; ++k) {
      int value = 0;
      if (!symbol(codes, value)) return false;
      const int zeros = value >> 4, size = value & 15;
      if (size == 0 && zeros != 15) break;
      k += zeros;
      if (k > 63 && size != 0) return false;
      bit_ += static_cast<std::size_t>(size);
    }
    return true;
  }

  bool ac_first(const JpegCodes& codes, std::uint64_t& known) {
    if (end_of_band_ > 0) {
      --end_of_band_;
      return true;
    }
    for (int k = scan_.first; k <= scan_.last; ++k) {
      int value = 0;
      if (!symbol(codes, value)) return false;
      const int zeros = value >> 4, size = value & 15;
      if (size == 0 && zeros != 15) {
        end_of_band_ = (1u << zeros) - 1 + number(zeros);
        break;
      }
      k += zeros;
      if (k > scan_.last && size != 0) return false;
      bit_ += static_cast<std::size_t>(size);
      if (size != 0) known |= std::uint64_t{1} << k;
    }
    return true;
  }

  bool ac_refined(const JpegCodes& codes, std::uint64_t& known) {
    int k = scan_.first;
    if (end_of_band_ == 0) {
      for (; k <= scan_.last; ++k) {
        int value = 0;
        if (!symbol(codes, value)) return false;
        int zeros = value >> 4;
        const int size = value & 15;
        if (size == 0 && zeros != 15) {
          end_of_band_ = (1u << zeros) + number(zeros);
          break;
        }
        if (size > 1) return false;
        if (size == 1) ++bit_;
        // Past so many zeros; what is not zero has a bit more.
        for (; k <= scan_.last; ++k) {
          if (known >> k & 1)
            ++bit_;
          else if (--zeros < 0)
            break;
        }
        if (size == 1) {
          if (k > scan_.last) return false;
          known |= std::uint64_t{1} << k;
        }
      }
    }
    if (end_of_band_ > 0) {
      for (; k <= scan_.last; ++k) bit_ += known >> k & 1;
      --end_of_band_;
    }
    return true;
  }

  ByteSpan file_;
  Frame& frame_;
  const JpegScan& scan_;
  Bytes bytes_;  // of the current restart interval
  std::size_t size_ = 0;
  std::size_t bit_ = 0;
  std::uint32_t end_of_band_ = 0;  // blocks to come that have no more in this scan
};

}  // namespace anther::inline v0_1::vision
