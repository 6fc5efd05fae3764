// Memory that owns its elements: a 64-byte-aligned buffer, and a tensor (a buffer with a shape).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include "anther/core/check.hpp"
#include "anther/core/shape.hpp"

namespace anther::inline v0_1 {

// The alignment that a cache line and the widest vector need. It is a constant, because a layout
// that depended on compiler flags could differ between two translation units.
inline constexpr std::size_t alignment = 64;

// An array that starts as zeros, is 64-byte aligned, and is moved without copying.
template <class T>
class AlignedBuffer {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::int64_t size) : AlignedBuffer(uninitialized(size)) {
    std::fill_n(data_, size, T{});
  }
  // Memory that takes up no space until it is written to.
  static AlignedBuffer uninitialized(std::int64_t size) {
    AlignedBuffer buffer;
    detail::check(size >= 0 && static_cast<std::uint64_t>(size) <=
                                   std::numeric_limits<std::ptrdiff_t>::max() / sizeof(T),
                  "buffer: expected a possible size, got ", size);
    if (size == 0) return buffer;
    const std::size_t bytes = static_cast<std::size_t>(size) * sizeof(T);
    buffer.data_ =
        static_cast<T*>(::operator new (bytes, std::align_val_t{alignment}, std::nothrow));
    detail::check(buffer.data_ != nullptr, "memory: the system does not give ", bytes,
                  " bytes more");
    buffer.size_ = size;
    return buffer;
  }
  AlignedBuffer(const AlignedBuffer& other) : AlignedBuffer(other.size_) {
    std::copy_n(other.data_, size_, data_);
  }
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~AlignedBuffer() { ::operator delete (data_, std::align_val_t{alignment}); }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::int64_t size() const { return size_; }
  T& operator[](std::int64_t i) { return data_[i]; }
  const T& operator[](std::int64_t i) const { return data_[i]; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }
  std::span<T> span() { return {data_, static_cast<std::size_t>(size_)}; }
  std::span<const T> span() const { return {data_, static_cast<std::size_t>(size_)}; }

 private:
  T* data_ = nullptr;
  std::int64_t size_ = 0;
};

// A tensor that owns its elements, row-major; a feature map is (N, H, W, C). Starts as zeros.
template <class T>
class Tensor {
 public:
  Tensor() = default;
  explicit Tensor(const Shape& shape) : shape_(shape), elements_(shape.numel()) {}
  Tensor(const Shape& shape, std::span<const T> values) : Tensor(shape) {
    detail::check(static_cast<std::int64_t>(values.size()) == size(), "tensor: the shape ", shape,
                  " has ", size(), " elements, got ", values.size());
    std::copy(values.begin(), values.end(), elements_.begin());
  }
  Tensor(const Tensor&) = default;
  // What is left behind is empty, and its shape says so.
  Tensor(Tensor&& other) noexcept
      : shape_(std::exchange(other.shape_, Shape{0})), elements_(std::move(other.elements_)) {}
  Tensor& operator=(Tensor other) noexcept {
    std::swap(shape_, other.shape_);
    std::swap(elements_, other.elements_);
    return *this;
  }
  ~Tensor() = default;

  const Shape& shape() const { return shape_; }
  std::int64_t size() const { return elements_.size(); }
  T* data() { return elements_.data(); }
  const T* data() const { return elements_.data(); }
  T& operator[](std::int64_t i) { return elements_[i]; }
  const T& operator[](std::int64_t i) const { return elements_[i]; }
  T* begin() { return elements_.begin(); }
  T* end() { return elements_.end(); }
  const T* begin() const { return elements_.begin(); }
  const T* end() const { return elements_.end(); }
  std::span<T> span() { return elements_.span(); }
  std::span<const T> span() const { return elements_.span(); }

 private:
  Shape shape_{0};
  AlignedBuffer<T> elements_;
};

}  // namespace anther::inline v0_1
