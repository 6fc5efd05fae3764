// Protocol buffers' wire format, as far as writing files needs it. A message is fields one after
// another, each a key (field number 8, plus a wire type below 8) and a value:
//
//   0  a varint: 7 bits a byte, the lowest first, the top bit set on all but the last
//   1  eight bytes, little-endian: a double
//   2  a varint of the length, and that many bytes: text, or a message
//   5  four bytes, little-endian: a float
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace anther::inline v0_1::io {

static_assert(std::endian::native == std::endian::little, "files are written in the host's order");

class ProtobufMessage {
 public:
  ProtobufMessage& integer(int field, std::int64_t value) {
    key(field, 0);
    varint(static_cast<std::uint64_t>(value));
    return *this;
  }
  ProtobufMessage& number(int field, float value) { return fixed(field, 5, value); }
  ProtobufMessage& number(int field, double value) { return fixed(field, 1, value); }
  ProtobufMessage& text(int field, std::string_view value) {
    key(field, 2);
    varint(value.size());
    bytes_ += value;
    return *this;
  }
  ProtobufMessage& message(int field, const ProtobufMessage& value) {
    return text(field, value.bytes_);
  }

  const std::string& bytes() const { return bytes_; }

 private:
  template <class Number>
  ProtobufMessage& fixed(int field, int wire_type, Number value) {
    key(field, wire_type);
    char bytes[sizeof value];
    std::memcpy(bytes, &value, sizeof value);
    bytes_.append(bytes, sizeof value);
    return *this;
  }
  void key(int field, int wire_type) { varint(static_cast<std::uint64_t>(field * 8 + wire_type)); }
  void varint(std::uint64_t value) {
    for (; value >= 128; value >>= 7) bytes_ += static_cast<char>(value | 128);
    bytes_ += static_cast<char>(value);
  }

  std::string bytes_;
};

}  // namespace anther::inline v0_1::io
