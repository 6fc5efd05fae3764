// What one rank tells the others, as bytes: values that are written one after another, and read in
// the same order. All ranks have the same program and processor, so that these bytes need no
// format.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "anther/core/check.hpp"

namespace anther::inline v0_1 {

class Message {
 public:
  Message() = default;
  explicit Message(std::string bytes) : bytes_(std::move(bytes)) {}

  const std::string& bytes() const { return bytes_; }

  template <class T>
  requires std::is_trivially_copyable_v<T>
  void put(const T& value) { bytes_.append(reinterpret_cast<const char*>(&value), sizeof value); }
  void put(std::string_view text) { put(text.data(), text.size()); }
  void put(const std::string& text) { put(std::string_view(text)); }
  template <class T>
  void put(const std::vector<T>& values) {
    put(values.data(), values.size());
  }
  // A number of values, and these.
  template <class T>
  void put(const T* values, std::size_t count) {
    static_assert(std::is_trivially_copyable_v<T>);
    put(static_cast<std::int64_t>(count));
    if (count > 0) bytes_.append(reinterpret_cast<const char*>(values), count * sizeof(T));
  }

  bool at_end() const { return at_ == bytes_.size(); }
  template <class T>
  requires std::is_trivially_copyable_v<T> T get() {
    T value;
    std::memcpy(&value, take(sizeof value), sizeof value);
    return value;
  }
  std::string get_text() {
    const auto size = static_cast<std::size_t>(get<std::int64_t>());
    return {take(size), size};
  }
  template <class T>
  std::vector<T> get_all() {
    std::vector<T> values(static_cast<std::size_t>(get<std::int64_t>()));
    const std::size_t size = values.size() * sizeof(T);
    if (size > 0) std::memcpy(values.data(), take(size), size);
    return values;
  }

 private:
  // Inlined, GCC 12 takes the buffer of a short string for one that may not be initialised.
  [[gnu::noinline]] const char* take(std::size_t size) {
    detail::check(size <= bytes_.size() - at_, "message of a rank: expected ", size,
                  " more bytes, got ", bytes_.size() - at_);
    const char* from = bytes_.data() + at_;
    at_ += size;
    return from;
  }

  std::string bytes_;
  std::size_t at_ = 0;
};

}  // namespace anther::inline v0_1
