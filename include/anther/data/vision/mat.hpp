// MATLAB 5 files (.mat): one numeric array, by its name.
//
// The format: The MathWorks, "MAT-File Format", Level 5. A header of 128 bytes, then elements, each
// a type, a size and data padded to 8 bytes; an element may hold another one, zlib-compressed.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/data/vision/bytes.hpp"
#include "anther/data/vision/stb.hpp"

namespace anther::inline v0_1::vision {

// A real array of numbers. Whole numbers are exact up to 2^53.
struct MatArray {
  std::string name;
  std::vector<std::int64_t> shape;  // at least two extents, as MATLAB has it
  std::vector<double> values;       // the first extent runs fastest
};

// Reads elements one after another. `where` opens every message.
class MatReader {
 public:
  MatReader(ByteSpan bytes, std::string where) : bytes_(bytes), where_(std::move(where)) {}

  // Types of elements.
  static constexpr std::uint32_t mi_int8 = 1, mi_int32 = 5, mi_uint32 = 6, mi_matrix = 14,
                                 mi_compressed = 15;

  struct Element {
    std::uint32_t type = 0;
    ByteSpan data;
  };

  bool at_end() const { return at_ >= bytes_.size(); }

  Element next() {
    detail::check(at_ + 8 <= bytes_.size(), where_,
                  ": the data ends early (within an element's tag)");
    const std::uint32_t first = load_le32(&bytes_[at_]);
    if (first >> 16 != 0) {  // up to four bytes within the tag
      const std::size_t size = first >> 16;
      detail::check(size <= 4, where_, ": a small element of ", size, " bytes");
      const Element element{first & 0xFFFF, bytes_.subspan(at_ + 4, size)};
      at_ += 8;
      return element;
    }
    const std::size_t size = load_le32(&bytes_[at_ + 4]);
    detail::check(size <= bytes_.size() - at_ - 8, where_, ": the data ends early (an element of ",
                  size, " bytes, ", bytes_.size() - at_ - 8, " bytes left)");
    const Element element{first, bytes_.subspan(at_ + 8, size)};
    // The last element may lack its padding; a compressed one has none.
    const std::size_t padded = first == mi_compressed ? size : (size + 7) / 8 * 8;
    at_ = std::min(at_ + 8 + padded, bytes_.size());
    return element;
  }

  Element next(std::uint32_t type, std::string_view what) {
    const Element element = next();
    detail::check(element.type == type, where_, ": expected ", what, " (type ", type,
                  "), found type ", element.type);
    return element;
  }

 private:
  ByteSpan bytes_;
  std::string where_;
  std::size_t at_ = 0;
};

// The size in bytes of a number of one of MATLAB's types; 0 if the type is not numeric.
constexpr std::size_t mat_number_size(std::uint32_t type) {
  constexpr std::size_t sizes[] = {0, 1, 1, 2, 2, 4, 4, 4, 0, 8, 0, 0, 8, 8};
  return type < std::size(sizes) ? sizes[type] : 0;
}

ANTHER_ONCE double mat_number(std::uint32_t type, const std::uint8_t* p) {
  switch (type) {
    case 1:
      return static_cast<double>(static_cast<std::int8_t>(*p));
    case 2:
      return static_cast<double>(*p);
    case 3:
      return static_cast<double>(static_cast<std::int16_t>(load_le16(p)));
    case 4:
      return static_cast<double>(load_le16(p));
    case 5:
      return static_cast<double>(static_cast<std::int32_t>(load_le32(p)));
    case 6:
      return static_cast<double>(load_le32(p));
    case 7:
      return static_cast<double>(std::bit_cast<float>(load_le32(p)));
    case 9:
      return std::bit_cast<double>(load_le64(p));
    case 12:
      return static_cast<double>(static_cast<std::int64_t>(load_le64(p)));
    default:
      return static_cast<double>(load_le64(p));
  }
}

// The numbers of an element of any numeric type.
ANTHER_ONCE std::vector<double> mat_numbers(const MatReader::Element& element,
                                            std::string_view where) {
  const std::size_t size = mat_number_size(element.type);
  detail::check(size != 0, where, ": type ", element.type, " is not a numeric one");
  detail::check(element.data.size() % size == 0, where, ": ", element.data.size(),
                " bytes are not whole numbers of ", size, " bytes");
  std::vector<double> numbers(element.data.size() / size);
  for (std::size_t i = 0; i < numbers.size(); ++i)
    numbers[i] = mat_number(element.type, &element.data[i * size]);
  return numbers;
}

// The array in a matrix element if it has that name; else adds its name to `others`.
ANTHER_ONCE bool read_mat_array(ByteSpan matrix, std::string_view file, std::string_view name,
                                MatArray& array, std::string& others) {
  MatReader reader(matrix, std::string(file));
  const ByteSpan flags = reader.next(MatReader::mi_uint32, "an array's flags").data;
  detail::check(flags.size() == 8, file, ": an array's flags have ", flags.size(),
                " bytes, expected 8");
  const std::uint32_t array_class = flags[0];
  const bool complex = (flags[1] & 8) != 0;
  const auto shape_element = reader.next(MatReader::mi_int32, "an array's extents");
  const ByteSpan text = reader.next(MatReader::mi_int8, "an array's name").data;
  const std::string found(text.begin(), text.end());
  if (found != name) {
    others += (others.empty() ? "" : ", ") + found;
    return false;
  }

  const std::string where = detail::text_of(file, ": variable ", name);
  detail::check(array_class >= 6 && array_class <= 15, where,
                ": expected a numeric array, found MATLAB's class ", array_class,
                " (a cell, struct, text ...)");
  detail::check(!complex, where, ": complex numbers are not supported");
  array.name = found;
  array.shape.clear();
  std::uint64_t count = 1;
  for (const double extent : mat_numbers(shape_element, where)) {
    detail::check(extent >= 0, where, ": a negative extent");
    array.shape.push_back(static_cast<std::int64_t>(extent));
    // Each extent is less than 2^31, and there cannot be more numbers than bytes.
    count = std::min<std::uint64_t>(count * static_cast<std::uint64_t>(extent), max_file_bytes);
  }
  detail::check(array.shape.size() >= 2, where, ": expected at least two extents, found ",
                array.shape.size());
  array.values = mat_numbers(reader.next(), where);
  detail::check(array.values.size() == count, where, ": expected ", count, " numbers, found ",
                array.values.size());
  return true;
}

// Reads the numeric array of that name from a MATLAB 5 file that is in memory. Throws, naming the
// file and the variable, where the file is not one, is damaged, or has no such array. `file` is the
// name for messages.
ANTHER_ONCE MatArray read_mat(ByteSpan bytes, std::string_view name, std::string_view file) {
  constexpr std::size_t header = 128;
  detail::check(!bytes_at(bytes, 0, "MATLAB 7.3"), file,
                ": a MATLAB 7.3 file (HDF5) is not supported; save it with -v7");
  detail::check(bytes.size() >= header && bytes_at(bytes, 0, "MATLAB 5.0"), file,
                ": not a MATLAB 5 file (it does not begin with \"MATLAB 5.0\")");
  detail::check(!(bytes[126] == 'M' && bytes[127] == 'I'), file,
                ": a big-endian MATLAB file is not supported");
  detail::check(bytes[126] == 'I' && bytes[127] == 'M' && load_le16(&bytes[124]) == 0x0100, file,
                ": not a MATLAB 5 file (its version or byte order is unknown)");

  MatArray array;
  std::string others;
  MatReader reader(bytes.subspan(header), std::string(file));
  while (!reader.at_end()) {
    MatReader::Element element = reader.next();
    Bytes inflated;
    if (element.type == MatReader::mi_compressed) {
      inflated = stb_inflate(element.data, file);
      element = MatReader(inflated, std::string(file)).next();
    }
    if (element.type == MatReader::mi_matrix &&
        read_mat_array(element.data, file, name, array, others))
      return array;
  }
  detail::fail(file, ": no variable ", name, " (found: ", others.empty() ? "none" : others, ")");
}

// The same for a file on disk; messages name its path.
inline MatArray read_mat(const std::filesystem::path& path, std::string_view name) {
  return read_mat(read_file(path), name, path.string());
}

}  // namespace anther::inline v0_1::vision
