// The header of a safetensors file: JSON that says where each tensor lies in the bytes after it.
//
//   {"__metadata__": {"key": "text", ...},
//    "head.weight": {"dtype": "F32", "shape": [102, 288], "data_offsets": [0, 117504]}, ...}
//
// The format: https://github.com/huggingface/safetensors (README, "Format"). Everything is checked:
// a header may come from anywhere.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"
#include "anther/core/once.hpp"
#include "anther/core/shape.hpp"
#include "anther/io/dtype.hpp"

namespace anther::inline v0_1::io {

// The largest header that safetensors' own reader takes.
inline constexpr std::int64_t max_safetensors_header = 100'000'000;

// A tensor in a file: bytes [begin, end) of the part after the header.
struct SafetensorsEntry {
  std::string name;
  Dtype dtype = Dtype::f32;
  Shape shape = {};
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::optional<std::uint32_t> crc32 = {};  // of its bytes, where the file says it
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;  // in the order of their bytes
  std::map<std::string, std::string> metadata;
};

// Text from a file, for a message: short, and without anything that a terminal would obey.
ANTHER_ONCE std::string printable(std::string_view text, std::size_t longest = 300) {
  std::string result;
  for (const char c : text.substr(0, longest))
    result += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? '?' : c;
  return result + (text.size() > longest ? "..." : "");
}
inline std::string in_quotes(std::string_view text) {
  return "'" + printable(text, 80) + "'";
}

// Text as JSON has it, in quotes. Throws, the message starting with `where`, unless it is UTF-8.
ANTHER_ONCE std::string json_string(const std::string& text, std::string_view where) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::exception&) {
    detail::fail(where, "expected text in UTF-8, got ", in_quotes(text));
  }
}

// Follows the JSON while it is parsed, so that nothing that the format does not allow is ever
// stored.
class SafetensorsHeaderParser : public nlohmann::json_sax<nlohmann::json> {
 public:
  // Messages start with `where`.
  explicit SafetensorsHeaderParser(std::string where) : where_(std::move(where)) {}

  SafetensorsHeader take() { return std::move(header_); }

  bool start_object(std::size_t) override {
    if (state_ == State::outside) {
      state_ = State::top;
    } else if (state_ == State::top_value && name_ == "__metadata__") {
      state_ = State::metadata;
    } else if (state_ == State::top_value) {
      state_ = State::tensor;
      fields_.clear();
      header_.entries.emplace_back().name = name_;
    } else {
      unexpected("an object");
    }
    return true;
  }

  bool end_object() override {
    if (state_ == State::tensor)
      for (const char* field : {"dtype", "shape", "data_offsets"})
        detail::check(fields_.contains(field), where_, item(), ": has no ", field);
    state_ = state_ == State::top ? State::outside : State::top;
    return true;
  }

  bool key(std::string& key) override {
    if (state_ == State::top) {
      detail::check(names_.insert(key).second, where_, in_quotes(key), " is there twice");
      name_ = key;
      state_ = State::top_value;
    } else if (state_ == State::metadata) {
      detail::check(header_.metadata.emplace(key, "").second, where_, "the metadata have ",
                    in_quotes(key), " twice");
      field_ = key;
      state_ = State::metadata_value;
    } else {
      detail::check(fields_.insert(key).second, where_, item(), ": ", in_quotes(key),
                    " is there twice");
      field_ = key;
      if (key == "dtype")
        state_ = State::dtype;
      else if (key == "shape")
        state_ = State::before_shape;
      else if (key == "data_offsets")
        state_ = State::before_offsets;
      else
        detail::fail(where_, item(), ": expected dtype, shape and data_offsets, got ",
                     in_quotes(key));
    }
    return true;
  }

  bool string(std::string& text) override {
    if (state_ == State::metadata_value) {
      header_.metadata[field_] = text;
      state_ = State::metadata;
    } else if (state_ == State::dtype) {
      const auto dtype = dtype_named(text);
      detail::check(dtype.has_value(), where_, item(), ": dtype ", in_quotes(text),
                    " is none that Anther reads: BOOL, U8 to U64, I8 to I64, F16, BF16, F32, F64");
      entry().dtype = *dtype;
      state_ = State::tensor;
    } else {
      unexpected("a string");
    }
    return true;
  }

  bool start_array(std::size_t) override {
    if (state_ == State::before_shape)
      state_ = State::shape;
    else if (state_ == State::before_offsets)
      state_ = State::offsets;
    else
      unexpected("an array");
    offsets_ = 0;
    return true;
  }

  bool end_array() override {
    detail::check(state_ == State::shape || offsets_ == 2, where_, item(),
                  ": data_offsets: expected two numbers, got ", offsets_);
    state_ = State::tensor;
    return true;
  }

  bool number_unsigned(std::uint64_t number) override {
    if (state_ != State::shape && state_ != State::offsets) unexpected("a number");
    detail::check(std::in_range<std::int64_t>(number), where_, item(), ": ", field_, ": ", number,
                  " is too large");
    const auto value = static_cast<std::int64_t>(number);
    if (state_ == State::shape) {
      detail::check(entry().shape.rank() < Shape::max_rank, where_, item(),
                    ": shape: expected at most ", Shape::max_rank, " extents");
      entry().shape.push_back(value);
    } else {
      detail::check(++offsets_ <= 2, where_, item(),
                    ": data_offsets: expected two numbers, got more");
      (offsets_ == 1 ? entry().begin : entry().end) = value;
    }
    return true;
  }

  bool number_integer(std::int64_t) override { unexpected("a negative number"); }
  bool number_float(double, const std::string&) override {
    unexpected("a number that is not a whole one of at most 64 bits");
  }
  bool null() override { unexpected("null"); }
  bool boolean(bool) override { unexpected("true or false"); }
  bool binary(nlohmann::json::binary_t&) override { unexpected("binary data"); }
  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception& error) override {
    detail::fail(where_, "not valid JSON at byte ", position, ": ", in_quotes(error.what()));
  }

 private:
  enum class State {
    outside,
    top,
    top_value,
    metadata,
    metadata_value,
    tensor,
    dtype,
    before_shape,
    shape,
    before_offsets,
    offsets
  };

  [[noreturn]] void unexpected(std::string_view got) const {
    std::string_view expected = "an object with a tensor's dtype, shape and data_offsets";
    if (state_ == State::outside) expected = "an object";
    if (state_ == State::metadata_value) expected = "a string";
    if (state_ == State::top_value && name_ == "__metadata__") expected = "an object of strings";
    if (state_ == State::dtype) expected = "a string";
    if (state_ == State::before_shape) expected = "an array";
    if (state_ == State::before_offsets) expected = "an array";
    if (state_ == State::shape || state_ == State::offsets)
      expected = "whole numbers of at least 0";
    detail::fail(where_, state_ == State::outside ? "" : item() + ": ",
                 state_ > State::metadata ? field_.substr(0, 80) + ": " : "", "expected ", expected,
                 ", got ", got);
  }

  SafetensorsEntry& entry() { return header_.entries.back(); }
  std::string item() const {
    return name_ == "__metadata__" ? "the metadata" : "tensor " + in_quotes(name_);
  }

  std::string where_;
  SafetensorsHeader header_;
  State state_ = State::outside;
  std::string name_;              // the last key of the outermost object
  std::string field_;             // the last key within that
  std::set<std::string> names_;   // all keys of the outermost object
  std::set<std::string> fields_;  // all keys of the current tensor
  int offsets_ = 0;
};

// Parses and checks the header of a file with `data_bytes` bytes after it: known dtypes, shapes
// whose sizes do not overflow, each tensor's bytes as many as its shape needs, and all of them
// together covering the data exactly once. Throws Error, the message starting with `where`.
ANTHER_ONCE SafetensorsHeader parse_safetensors_header(std::string_view json,
                                                       std::int64_t data_bytes,
                                                       const std::string& where) {
  // The parser takes a byte order mark at the start and a zero byte as the end.
  detail::check(json.starts_with('{'), where, "expected it to start with '{'");
  detail::check(json.find('\0') == std::string_view::npos, where, "has a zero byte");
  SafetensorsHeaderParser parser(where);
  nlohmann::json::sax_parse(json.begin(), json.end(), &parser);
  SafetensorsHeader header = parser.take();

  for (const SafetensorsEntry& entry : header.entries) {
    const std::string tensor = detail::text_of(where, "tensor ", in_quotes(entry.name), ": ");
    std::int64_t bytes = size_of(entry.dtype);
    for (int axis = 0; axis < entry.shape.rank(); ++axis) {
      const std::int64_t extent = entry.shape[axis];
      detail::check(extent == 0 || bytes <= std::numeric_limits<std::int64_t>::max() / extent,
                    tensor, "the size of shape ", entry.shape, " overflows");
      bytes *= extent;
    }
    detail::check(entry.begin <= entry.end && entry.end <= data_bytes, tensor, "data_offsets [",
                  entry.begin, ", ", entry.end, "]: expected them in order and within the file's ",
                  data_bytes, " bytes of data (a download may be incomplete)");
    detail::check(entry.end - entry.begin == bytes, tensor, "shape ", entry.shape, " of ",
                  entry.dtype, " is ", bytes, " bytes, data_offsets give ",
                  entry.end - entry.begin);
  }

  std::sort(header.entries.begin(), header.entries.end(), [](const auto& a, const auto& b) {
    return std::tie(a.begin, a.end, a.name) < std::tie(b.begin, b.end, b.name);
  });
  std::int64_t end = 0;
  for (const SafetensorsEntry& entry : header.entries) {
    detail::check(entry.begin == end, where, "tensor ", in_quotes(entry.name),
                  ": expected it to start at byte ", end,
                  " of the data, where the one before ends, got ", entry.begin);
    end = entry.end;
  }
  detail::check(end == data_bytes, where, "the tensors take ", end, " bytes, the file has ",
                data_bytes, " bytes of data");
  return header;
}

}  // namespace anther::inline v0_1::io
